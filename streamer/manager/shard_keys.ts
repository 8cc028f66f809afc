// What a manager needs from its streamer, and the Redis keys that a stream's name stands for.

import type { Command } from "../../resp/connection/command.ts";
import type { RunOptions } from "../../resp/connection/lane.ts";
import type { Pipeline } from "../../resp/connection/pipeline/pipeline.ts";
import type { NodeName } from "../cluster/router.ts";
import type { ScanRounds } from "../cluster/scanning/scan_rounds.ts";
import type { FindShards } from "../cluster/shard_walks.ts";
import { shardsIn } from "../cluster/shards.ts";
import type { TimestampFormat } from "../model/id.ts";
import { shardRedisKey, type StreamShard } from "../model/key.ts";
import type { CheckedChoice } from "./options.ts";

/** Runs a command that never blocks. Repeatable commands are sent again after a lost connection. */
export type RunOn = <T>(command: Command<T>, options: RunOptions) => Promise<T>;

/** A server that stores keys. */
export interface Primary {
  /** Its host and port. */
  readonly name: NodeName;
  /** Runs a command there. Rejects with a `NodeLeftError` once it owns no slots any more. */
  readonly run: RunOn;
}

/** Runs commands on a connection of their own, which is closed afterwards. */
export type RunAlone = <T>(
  redisKey: string,
  options: RunOptions,
  use: (pipeline: Pipeline) => Promise<T>,
) => Promise<T>;

/** What a manager needs from its streamer. */
export interface ManagerContext {
  readonly timestampFormat: TimestampFormat;
  /** The name of the payload field. */
  readonly field: Uint8Array;
  /** Maximum bytes of a reply. */
  readonly replyLimit: number;
  /** Runs a command on the server of its key. */
  readonly run: RunOn;
  /**
   * The same for commands whose replies may exceed the limits. Such a reply ends its connection, with all other commands that wait
   * on it. So these commands have a connection apart from the others.
   */
  readonly read: RunOn;
  /** Runs several commands on a connection of their own to the server of a key, for transactions. */
  readonly alone: RunAlone;
  /** The server that stores a key now. */
  readonly primaryOf: (redisKey: string) => Primary;
  /** The name and version of a key's server, as in `"redis 8.0.6"`; `undefined` if the server does not say. */
  readonly serverOf: (redisKey: string) => string | undefined;
  /** Every primary of now. Without a cluster it is the one server. */
  readonly primaries: () => readonly Primary[];
  /** A primary by its name. */
  readonly primary: (name: NodeName) => Primary;
  /** Begins a scan of all primaries. */
  readonly rounds: (signal: AbortSignal) => ScanRounds;
  /** Looks for the shards of several streams at once. Concurrent calls share their scans. */
  readonly findShards: FindShards;
}

/** One shard and its Redis key. */
export interface ShardKey extends StreamShard {
  readonly redisKey: string;
}

/**
 * The keys that the options choose. If all shards are chosen, they are looked for now. If there are none, it is the plain key.
 *
 * Rejects with `INVALID_OPTION` if there are more than 1,024 shards, and with the refusals of servers.
 */
export async function shardKeys(
  context: ManagerContext,
  streamKey: string,
  { choice, signal }: { readonly choice: CheckedChoice; readonly signal: AbortSignal | undefined },
): Promise<ShardKey[]> {
  if (choice !== "all") {
    const { shardId } = choice;
    const redisKey = shardId === undefined ? streamKey : shardRedisKey(streamKey, shardId);
    return [{ streamKey, shardId: shardId ?? 0, redisKey }];
  }
  const { numbers, forbidden } = shardsIn(await context.findShards([streamKey], signal), streamKey);
  if (forbidden !== undefined) throw forbidden;
  if (numbers.length === 0) return [{ streamKey, shardId: 0, redisKey: streamKey }];
  return numbers.map((shardId) => ({ streamKey, shardId, redisKey: shardRedisKey(streamKey, shardId) }));
}
