// Which of the shards that were found came later than the group that is to read them: a group that lives on other shards of
// the stream has never been at the end of these. It must not know how groups are made.

import { sleep } from "../../resp/connection/clock.ts";
import type { FoundStream } from "./discover.ts";
import { type GroupsPorts, hasGroup } from "./groups.ts";
import { numberedShard, plainShard, type SubscribedShard } from "./shard.ts";

/** Milliseconds after which another consumer that is just making its groups has made all of them. */
const MAKING = 500;

/** The Redis keys of the shards that a group has to begin with their first entry, whatever its options say of new groups. */
export async function latecomers(
  streams: readonly FoundStream[],
  ports: Pick<GroupsPorts, "anchor" | "member">,
  signal: AbortSignal,
): Promise<ReadonlySet<string>> {
  const keys = await Promise.all(streams.map((stream) => latecomersOf(stream, ports, signal)));
  return new Set(keys.flat());
}

async function latecomersOf(
  { streamKey, numbers, ignoredPlain }: FoundStream,
  ports: Pick<GroupsPorts, "anchor" | "member">,
  signal: AbortSignal,
): Promise<string[]> {
  const shards = numbers.map((number) => numberedShard(streamKey, number));
  const older = ignoredPlain ? [...shards, plainShard(streamKey)] : shards;
  if (older.length < 2) return [];
  const without = await withoutGroup(older, ports, signal);
  const isLate = ({ redisKey }: SubscribedShard) => shards.some((shard) => shard.redisKey === redisKey);
  if (without.length === older.length || !without.some(isLate)) return [];
  // Or else another consumer is making the group on all of them at this moment, at their ends.
  await sleep(ports.anchor.clock, MAKING, signal);
  return (await withoutGroup(without.filter(isLate), ports, signal)).map(({ redisKey }) => redisKey);
}

async function withoutGroup(
  shards: readonly SubscribedShard[],
  ports: Pick<GroupsPorts, "anchor" | "member">,
  signal: AbortSignal,
): Promise<SubscribedShard[]> {
  const there = await Promise.all(shards.map((shard) => hasGroup(shard, ports, signal)));
  return shards.filter((_, i) => !there[i]);
}
