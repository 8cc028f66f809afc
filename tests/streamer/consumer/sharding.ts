// Owns what the tests of shard discovery have in common: the events that tell of shards, and who was read from where. Must not
// decide what is right.

import type { Consumer, Message, RedisStreamer, StreamerEventDetails } from "../../../mod.ts";
import { until } from "../../support/events.ts";
import type { Monitor } from "./reading.ts";

/** What a `shards` event tells. */
export type ShardsDetail = StreamerEventDetails["shards"];

/** Every `shards` event from now on. */
export function shardsTold(streamer: RedisStreamer): ShardsDetail[] {
  const told: ShardsDetail[] = [];
  streamer.addEventListener("shards", ({ detail }) => told.push(detail));
  return told;
}

/** Waits until so many have been told. */
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

/** Returns when it was asked twice more whether a shard is there: then once from beginning to end. */
export async function lookedFor(monitor: Monitor, redisKey: string): Promise<void> {
  const before = asksFor(monitor, redisKey);
  await until(() => asksFor(monitor, redisKey) >= before + 2, { what: "shards are looked for" });
}

/** How often it was asked whether a shard is there, among others or alone. */
export function asksFor(monitor: Monitor, redisKey: string): number {
  return monitor.count("EXISTS", redisKey) + monitor.count("TYPE", redisKey);
}
