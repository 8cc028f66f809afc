// Finds the shards of the streams that a new consumer is to read, and says which Redis keys these are. It must not know who reads
// them.

import type { StreamerError } from "../../resp/errors.ts";
import { findShards, type RunCommand, type ShardServers } from "../cluster/shards.ts";
import { shardRedisKey } from "../model/key.ts";
import type { AnchorPorts } from "./anchor.ts";
import { persist } from "./persist.ts";
import { numberedShard, plainShard, type SubscribedShard } from "./shard.ts";

/** Which shards there are of a stream, as its consumers tell it. */
export interface ShardsDetail {
  readonly streamKey: string;
  readonly found: readonly number[];
  readonly gone: readonly number[];
  readonly ignoredPlain: boolean;
  readonly cause?: unknown;
}

/** What was found of one stream. */
export interface FoundStream {
  readonly streamKey: string;
  /** The numbers of its shards; none where its plain key is read. */
  readonly numbers: readonly number[];
  /** Whether the plain key is a stream that is not read. */
  readonly ignoredPlain: boolean;
  /** What forbids looking for shards. */
  readonly forbidden: StreamerError | undefined;
}

/** Streams that are looked for at a time: each is a walk over all keys. */
const AT_ONCE = 8;

/**
 * Looks for the shards of each stream, and waits while the server is away. Rejects with `INVALID_OPTION` where there are too
 * many, with what the server refuses for good, or with the signal's reason.
 */
export async function discoverStreams(
  streamKeys: readonly string[],
  anchor: AnchorPorts,
  signal: AbortSignal,
): Promise<readonly FoundStream[]> {
  const servers = shardServers(anchor, signal);
  const found: FoundStream[] = [];
  for (let from = 0; from < streamKeys.length; from += AT_ONCE) {
    const some = streamKeys.slice(from, from + AT_ONCE).map(async (streamKey): Promise<FoundStream> => {
      const { numbers, plain, forbidden } = await persist(anchor, signal, () => findShards(streamKey, servers));
      const own = ownNumbers(streamKey, numbers, streamKeys);
      return { streamKey, numbers: own, ignoredPlain: own.length > 0 && plain === true, forbidden };
    });
    found.push(...await Promise.all(some));
  }
  return found;
}

/** How the servers are asked; without a cluster there is one. */
export function shardServers({ run }: Pick<AnchorPorts, "run">, signal: AbortSignal): ShardServers {
  const ask: RunCommand = (command) => run(command, { signal });
  return { run: ask, primaries: [ask] };
}

/** Without the keys that are subscribed by name: whose their messages are could not be told. */
export function ownNumbers(
  streamKey: string,
  numbers: readonly number[],
  streamKeys: readonly string[],
): readonly number[] {
  const named = new Set(streamKeys);
  return numbers.filter((number) => !named.has(shardRedisKey(streamKey, number)));
}

/** The shards to read of a stream. */
export function shardsOf({ streamKey, numbers }: FoundStream): readonly SubscribedShard[] {
  if (numbers.length === 0) return [plainShard(streamKey)];
  return numbers.map((number) => numberedShard(streamKey, number));
}

/** What is told of a stream when its consumer is made; nothing where the plain key is all there is. */
export function detailOf({ streamKey, numbers, ignoredPlain, forbidden }: FoundStream): ShardsDetail | undefined {
  if (numbers.length === 0 && forbidden === undefined) return undefined;
  const cause = forbidden === undefined ? {} : { cause: forbidden };
  return { streamKey, found: numbers, gone: [], ignoredPlain, ...cause };
}
