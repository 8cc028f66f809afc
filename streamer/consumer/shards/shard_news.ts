// Whether any shard may have been added or removed, asked for all streams of a consumer together.

import { RedisError } from "../../../resp/errors.ts";
import { countThere, type KeyServers, probedNumbers, type RunCommand } from "../../cluster/shards.ts";
import { xlen } from "../../commands/xlen.ts";
import { shardRedisKey } from "../../model/key.ts";

/** A stream that is looked at. */
export interface WatchedStream {
  readonly streamKey: string;
  /** Numbers that are no longer looked for. */
  readonly known: ReadonlySet<number>;
  /** Known numbers that were found missing. */
  readonly gone: ReadonlySet<number>;
  /** Known numbers that are read. */
  readonly read: readonly number[];
}

/** Most keys of one command: well below a millisecond of the server's time. */
export const MOST_KEYS = 1_000;

/**
 * Whether any shard may have been added, removed or recreated. It costs two commands for each slot of the streams' keys, or a few
 * more for very many shards; a single server is one slot. If the commands are forbidden, a change is possible.
 */
export async function mayHaveNews(streams: readonly WatchedStream[], servers: KeyServers): Promise<boolean> {
  const there = streams.flatMap(({ streamKey, read, gone }) => {
    return read.filter((number) => !gone.has(number)).map((number) => shardRedisKey(streamKey, number));
  });
  const absent = streams.flatMap(({ streamKey, known, read, gone }) => {
    const lost = read.filter((number) => gone.has(number));
    return [...lost, ...probedNumbers(known)].map((number) => shardRedisKey(streamKey, number));
  });
  const [present, unexpected] = await Promise.all([
    countThere(there, servers, MOST_KEYS),
    countThere(absent, servers, MOST_KEYS),
  ]);
  return present !== there.length || unexpected !== 0;
}

/** Those of these keys that are streams with entries, or of which that cannot be known. */
export async function withEntries(redisKeys: readonly string[], run: RunCommand): Promise<string[]> {
  const lengths = await Promise.all(redisKeys.map(async (redisKey) => {
    try {
      return await run(xlen(redisKey));
    } catch (error) {
      if (error instanceof RedisError) return undefined;
      throw error;
    }
  }));
  return redisKeys.filter((_, i) => lengths[i] !== 0);
}
