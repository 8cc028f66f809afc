// What a manager asks of the house it lives in, and which Redis keys a stream's name stands for. It must not know what is done
// with them.

import type { Command } from "../../resp/connection/command.ts";
import { findShards } from "../cluster/shards.ts";
import type { TimestampFormat } from "../model/id.ts";
import { shardRedisKey, type StreamShard } from "../model/key.ts";
import type { CheckedChoice, SignalOptions } from "./options.ts";

/** Runs a command that never blocks; what may be repeated is sent again after a cut. */
export type RunOn = <T>(command: Command<T>, options: SignalOptions) => Promise<T>;

/** A server that holds keys. */
export interface Primary {
  /** Its host and port. */
  readonly name: string;
  readonly run: RunOn;
}

/** What a manager asks of the house it lives in. */
export interface ManagerHost {
  readonly timestampFormat: TimestampFormat;
  /** The name of the field that holds the payload. */
  readonly field: Uint8Array;
  /** Most bytes of a reply. */
  readonly replyLimit: number;
  /** Where a command goes by its key. */
  readonly run: RunOn;
  /**
   * The same for what may be answered with more than the limits allow: over a connection of its own, since that ends it, and
   * with it whatever else waits there and must not be sent twice.
   */
  readonly read: RunOn;
  /** The server's name and version, as in `"redis 8.0.6"`; `undefined` where it does not tell. */
  readonly server: () => string | undefined;
  /** Every primary there is now; without a cluster the one server. */
  readonly primaries: () => readonly Primary[];
}

/** One shard and the key it lives in. */
export interface ShardKey extends StreamShard {
  readonly redisKey: string;
}

/**
 * The keys that are meant. All shards are looked for now: where there are none, it is the plain key.
 *
 * Rejects with `INVALID_OPTION` where there are more than 1,024, and with what the servers refuse.
 */
export async function shardKeys(
  host: ManagerHost,
  streamKey: string,
  { choice, signal }: { readonly choice: CheckedChoice; readonly signal: AbortSignal | undefined },
): Promise<ShardKey[]> {
  if (choice !== "all") {
    const { shardId } = choice;
    const redisKey = shardId === undefined ? streamKey : shardRedisKey(streamKey, shardId);
    return [{ streamKey, shardId: shardId ?? 0, redisKey }];
  }
  const { numbers, forbidden } = await findShards(streamKey, {
    run: (command) => host.run(command, { signal }),
    primaries: host.primaries().map(({ run }) => (command) => run(command, { signal })),
  });
  if (forbidden !== undefined) throw forbidden;
  if (numbers.length === 0) return [{ streamKey, shardId: 0, redisKey: streamKey }];
  return numbers.map((shardId) => ({ streamKey, shardId, redisKey: shardRedisKey(streamKey, shardId) }));
}
