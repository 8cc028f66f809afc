// Cutting a stream: which Redis keys that means, all of them at once, and the sum. It must not know producers.

import type { Command } from "../../resp/connection/command.ts";
import { findShards, type RunCommand, type ShardServers } from "../cluster/shards.ts";
import { type TrimTarget, xtrim } from "../commands/xtrim.ts";
import { shardRedisKey } from "../model/key.ts";

/** Servers end an approximate cut after about 10,000 entries. When so many went, there may be more; fewer may have come since. */
const LARGE_PASS = 5_000;

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
  const trims = await Promise.allSettled(keys.map((key) => trimKey(servers.run, xtrim(key, target, exact), exact)));
  let removed = 0;
  for (const trim of trims) {
    if (trim.status === "rejected") throw trim.reason;
    removed += trim.value;
  }
  return removed;
}

/** Pass after pass, as long as there may be more to cut. */
async function trimKey(run: RunCommand, pass: Command<number>, exact: boolean): Promise<number> {
  for (let sum = 0;;) {
    const removed = await run(pass);
    sum += removed;
    if (exact || removed < LARGE_PASS) return sum;
  }
}

async function keysOf(streamKey: string, servers: ShardServers): Promise<readonly string[]> {
  const { numbers, forbidden } = await findShards(streamKey, servers);
  if (forbidden !== undefined) throw forbidden;
  return numbers.length === 0 ? [streamKey] : numbers.map((number) => shardRedisKey(streamKey, number));
}
