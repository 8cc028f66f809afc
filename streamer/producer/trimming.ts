// Cutting a stream: which Redis keys that means, all of them at once, and the sum. It must not know producers.

import { findShards, type RunCommand, type ShardServers } from "../cluster/shards.ts";
import { trimInPasses } from "../commands/trim_passes.ts";
import { xlen } from "../commands/xlen.ts";
import { type TrimTarget, xtrim } from "../commands/xtrim.ts";
import { shardRedisKey } from "../model/key.ts";

/** How a stream is cut. */
export interface Cut {
  /** To what each of its Redis keys is cut. */
  readonly target: TrimTarget;
  readonly exact: boolean;
  /** Whether the stream is split in shards, as far as there are any; else it is its plain key, whatever looks like shards of it. */
  readonly sharded: boolean;
}

/**
 * Cuts a stream, or every shard of it; gives how many entries were removed.
 *
 * Rejects with what a server refuses, once all has been tried; and, where the shards cannot be looked for, with that: to cut
 * nothing and say that nothing was to be removed would be a lie.
 */
export async function trimStream(streamKey: string, servers: ShardServers, cut: Cut): Promise<number> {
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

async function keysOf(streamKey: string, servers: ShardServers): Promise<readonly string[]> {
  const { numbers, forbidden } = await findShards(streamKey, servers);
  if (forbidden !== undefined) throw forbidden;
  return numbers.length === 0 ? [streamKey] : numbers.map((number) => shardRedisKey(streamKey, number));
}
