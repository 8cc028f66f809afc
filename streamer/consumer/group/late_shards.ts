// Which of the shards that were found are newer than the group that is to read them: a group that exists on other shards of the
// stream has to read these from their beginning.

import { sleep } from "../../../resp/connection/clock.ts";
import type { FoundStream } from "../shards/find_shards.ts";
import { type GroupsPorts, hasGroup } from "./groups.ts";
import { numberedShard, plainShard, type SubscribedShard } from "../shards/shard.ts";

/** Milliseconds in which another consumer that is creating its groups has created all of them. */
const CREATING = 500;

/** The Redis keys of the shards that a group has to read from their beginning, whatever the options say about new groups. */
export async function lateShards(
  streams: readonly FoundStream[],
  ports: Pick<GroupsPorts, "server" | "member">,
  signal: AbortSignal,
): Promise<ReadonlySet<string>> {
  const keys = await Promise.all(streams.map((stream) => lateShardsOf(stream, ports, signal)));
  return new Set(keys.flat());
}

async function lateShardsOf(
  { streamKey, numbers, plain }: FoundStream,
  ports: Pick<GroupsPorts, "server" | "member">,
  signal: AbortSignal,
): Promise<string[]> {
  const shards = numbers.map((number) => numberedShard(streamKey, number));
  const older = plain ? [...shards, plainShard(streamKey)] : shards;
  if (older.length < 2) return [];
  const without = await withoutGroup(older, ports, signal);
  const isLate = ({ redisKey }: SubscribedShard) => shards.some((shard) => shard.redisKey === redisKey);
  if (without.length === older.length || !without.some(isLate)) return [];
  // Otherwise another consumer may be creating the group on all shards at this moment, at their ends.
  await sleep(ports.server.clock, CREATING, signal);
  return (await withoutGroup(without.filter(isLate), ports, signal)).map(({ redisKey }) => redisKey);
}

async function withoutGroup(
  shards: readonly SubscribedShard[],
  ports: Pick<GroupsPorts, "server" | "member">,
  signal: AbortSignal,
): Promise<SubscribedShard[]> {
  const there = await Promise.all(shards.map((shard) => hasGroup(shard, ports, signal)));
  return shards.filter((_, i) => !there[i]);
}
