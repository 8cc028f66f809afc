// The current Redis keys of a stream: all its shards, or the plain key.

import { classOf } from "../../../resp/connection/server_errors.ts";
import { globOf } from "../../commands/scan.ts";
import type { Manager } from "../../manager/manager.ts";
import { shardOfKey } from "../../model/key.ts";
import type { Note } from "./session.ts";

/** The keys of a stream. */
export interface StreamKeys {
  readonly streamKey: string;
  /** Its shards in the order of their numbers; empty for a plain key. */
  readonly shards: readonly { readonly shardId: number; readonly redisKey: string }[];
}

/** Finds the shards of a stream. If the server forbids the search, the stream is treated as a plain key. */
export async function keysOf(
  manager: Manager,
  streamKey: string,
  { signal, note }: { readonly signal: AbortSignal; readonly note: Note },
): Promise<StreamKeys> {
  const shards: { shardId: number; redisKey: string }[] = [];
  try {
    for await (const redisKey of manager.streams({ match: `${globOf(streamKey)}:*`, signal })) {
      const shardId = shardOfKey(redisKey, streamKey);
      if (shardId !== undefined) shards.push({ shardId, redisKey });
    }
  } catch (error) {
    if (classOf(error) !== "forbidden") throw error;
    note(`${streamKey} is treated as a stream without shards: the server forbids the search for shards`);
    return { streamKey, shards: [] };
  }
  return { streamKey, shards: shards.sort((one, other) => one.shardId - other.shardId) };
}
