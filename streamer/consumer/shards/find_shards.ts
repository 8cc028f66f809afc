// Finds the shards of the streams that a new consumer is to read.

import type { StreamerError } from "../../../resp/errors.ts";
import type { FindShards } from "../../cluster/shard_walks.ts";
import { holdsPlainEntries, type KeyServers, shardsIn } from "../../cluster/shards.ts";
import { shardRedisKey } from "../../model/key.ts";
import type { ShardsDetail } from "../events.ts";
import type { ServerAccess } from "../server/server.ts";
import { retryWhileUnavailable } from "../../../resp/connection/retry/retry.ts";
import { numberedShard, plainShard, type SubscribedShard } from "./shard.ts";

/** The shards that were found of one stream. */
export interface FoundStream {
  readonly streamKey: string;
  /** The numbers of its shards; none if its plain key is read. */
  readonly numbers: readonly number[];
  /** Whether the plain key is a stream, too, and not read. */
  readonly plain: boolean;
  /** Whether the plain key has entries. */
  readonly ignoredPlain: boolean;
  /** The error by which the server forbids looking for shards. */
  readonly forbidden: StreamerError | undefined;
}

/** What looking for shards needs. */
export interface DiscoverPorts {
  readonly server: ServerAccess;
  /** Looks for the shards of several streams at once, together with other consumers that look at the same time. */
  readonly findShards: FindShards;
}

/**
 * Looks for the shards of each stream, by one walk over all keys, and waits while the server is away. Rejects with `INVALID_OPTION`
 * if there are too many, with a final refusal of the server, or with the signal's reason.
 */
export async function discoverStreams(
  streamKeys: readonly string[],
  { server, findShards }: DiscoverPorts,
  signal: AbortSignal,
): Promise<readonly FoundStream[]> {
  const found = await retryWhileUnavailable(server, signal, () => findShards(streamKeys, signal));
  const servers = shardServers(server, signal);
  return await Promise.all(streamKeys.map(async (streamKey) => {
    const { numbers: all, plain: isStream, forbidden } = shardsIn(found, streamKey);
    const numbers = ownNumbers(streamKey, all, streamKeys);
    const plain = numbers.length > 0 && isStream === true;
    const ignoredPlain = plain &&
      await retryWhileUnavailable(server, signal, () => holdsPlainEntries(streamKey, servers));
    return { streamKey, numbers, plain, ignoredPlain, forbidden };
  }));
}

/** How commands reach the servers of shards, until the signal is aborted, and wait for a server for `within` milliseconds. */
export function shardServers(
  { run, slotOf, followsRedirects }: ServerAccess,
  signal: AbortSignal,
  within = Infinity,
): KeyServers {
  const options = within === Infinity ? { signal } : { signal, within }; // otherwise a limit of `run` itself counts
  return { run: (command) => run(command, options), slotOf, followsRedirects };
}

/** Without keys that are subscribed by their own name: a message could belong to either stream. */
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

/** The event for a stream when its consumer is created; none if the plain key is all there is. */
export function detailOf({ streamKey, numbers, ignoredPlain, forbidden }: FoundStream): ShardsDetail | undefined {
  if (numbers.length === 0 && forbidden === undefined) return undefined;
  const cause = forbidden === undefined ? {} : { cause: forbidden };
  return { streamKey, found: numbers, gone: [], ignoredPlain, ...cause };
}
