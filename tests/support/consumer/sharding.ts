// Shared by the tests of shard discovery: `shards` events, and which shards were read.

import type { Consumer, Message, RedisStreamer, StreamerEventDetails } from "../../../mod.ts";
import { until } from "../events.ts";
import type { Monitor } from "./reading.ts";

/** The detail of a `shards` event. */
export type ShardsDetail = StreamerEventDetails["shards"];

/** Every `shards` event from now on. */
export function shardsTold(streamer: RedisStreamer): ShardsDetail[] {
  const told: ShardsDetail[] = [];
  streamer.addEventListener("shards", ({ detail }) => told.push(detail));
  return told;
}

/** Waits for so many events. */
export async function toldTimes(told: readonly ShardsDetail[], count: number): Promise<void> {
  await until(() => told.length >= count, { what: `${count} shards events` });
}

/** The numbers of the shards of one stream that a consumer reads. */
export function numbersOf(consumer: Consumer, streamKey: string): number[] {
  return consumer.streamShards.filter((shard) => shard.streamKey === streamKey).map(({ shardId }) => shardId);
}

/** Payloads by the shard they came from, in the order in which they came. */
export function byShard(messages: readonly Message[]): Record<string, string[]> {
  const texts: Record<string, string[]> = {};
  for (const message of messages) (texts[message.shardId] ??= []).push(message.text());
  return texts;
}

/** Returns after two more lookups of a shard: a complete look for shards lies between them. */
export async function lookedFor(monitor: Monitor, redisKey: string): Promise<void> {
  const before = asksFor(monitor, redisKey);
  await until(() => asksFor(monitor, redisKey) >= before + 2, { what: "shards are looked for" });
}

/** The number of lookups of a shard, alone or with others. */
export function asksFor(monitor: Monitor, redisKey: string): number {
  return monitor.count("EXISTS", redisKey) + monitor.count("TYPE", redisKey);
}
