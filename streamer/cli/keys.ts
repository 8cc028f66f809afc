// The Redis keys of streams as of now: all shards, or the plain key. It must not know what is done with them.

import { RedisError } from "../../resp/errors.ts";
import { globOf } from "../commands/scan.ts";
import type { Manager } from "../manager/manager.ts";
import { shardOfKey } from "../model/key.ts";
import type { Note } from "./session.ts";

/** The keys of a stream. */
export interface StreamKeys {
  readonly streamKey: string;
  /** Its shards by their numbers; none where it is one plain key. */
  readonly shards: readonly { readonly shardId: number; readonly redisKey: string }[];
}

/** Looks for the shards of a stream. Where that is forbidden it is taken for a plain key. */
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
    if (!(error instanceof RedisError) || error.code !== "NOPERM") throw error;
    note(`${streamKey} is taken for a stream without shards, since looking for them is forbidden`);
    return { streamKey, shards: [] };
  }
  return { streamKey, shards: shards.sort((one, other) => one.shardId - other.shardId) };
}
