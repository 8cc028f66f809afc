// Trims a stream: finds its Redis keys, trims all of them concurrently, and sums up the removed entries.

import type { FindShards } from "../cluster/shard_walks.ts";
import { type RunCommand, shardsIn } from "../cluster/shards.ts";
import { trimInPasses } from "../commands/trim_passes.ts";
import { xlen } from "../commands/xlen.ts";
import { type TrimTarget, xtrim } from "../commands/xtrim.ts";
import { shardRedisKey } from "../model/key.ts";

/** How a stream is trimmed. */
export interface Cut {
  /** The length or the first id of each Redis key after trimming. */
  readonly target: TrimTarget;
  readonly exact: boolean;
  /** Whether to trim the shards of the stream, if it has any. Otherwise only the plain key is trimmed. */
  readonly sharded: boolean;
}

/** Runs commands for the keys of a stream. */
export interface TrimServers {
  readonly run: RunCommand;
  /** Finds the shards of streams. */
  readonly findShards: FindShards;
  /** Aborts the search. */
  readonly signal: AbortSignal | undefined;
}

/**
 * Trims a stream or all of its shards. Returns the number of removed entries.
 *
 * Rejects with the first error reply, after all keys were tried. Rejects, too, if the server does not allow to search for shards: a
 * result of 0 would be wrong then.
 */
export async function trimStream(streamKey: string, servers: TrimServers, cut: Cut): Promise<number> {
  const { target, exact, sharded } = cut;
  const keys = sharded ? await keysOf(streamKey, servers) : [streamKey];
  const trims = await Promise.allSettled(keys.map((key) => trimKey(servers.run, key, { target, exact })));
  let removed = 0;
  for (const trim of trims) {
    if (trim.status === "rejected") throw trim.reason;
    removed += trim.value;
  }
  return removed;
}

async function trimKey(run: RunCommand, key: string, { target, exact }: Omit<Cut, "sharded">): Promise<number> {
  const pass = () => run(xtrim(key, target, exact));
  if (exact) return await pass();
  const keep = "maxLength" in target ? target.maxLength : 0;
  return await trimInPasses({ pass, length: () => run(xlen(key)), keep });
}

async function keysOf(streamKey: string, servers: TrimServers): Promise<readonly string[]> {
  const { numbers, forbidden } = shardsIn(await servers.findShards([streamKey], servers.signal), streamKey);
  if (forbidden !== undefined) throw forbidden;
  return numbers.length === 0 ? [streamKey] : numbers.map((number) => shardRedisKey(streamKey, number));
}
