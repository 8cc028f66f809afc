// Stream keys: which names are allowed, and the Redis keys that stand behind their shards. It must not know urls.

import { StreamerError } from "../../resp/errors.ts";
import { shown } from "./id.ts";

/** One shard of a stream. An unsharded stream has the shard 0. */
export interface StreamShard {
  /** The stream's name. */
  readonly streamKey: string;
  /** Its number; 0 for a stream without shards. */
  readonly shardId: number;
}

/** Longest stream key. */
export const MAX_STREAM_KEY = 249;
/** Most shards of one stream. */
export const MAX_SHARDS = 1_024;

const ALLOWED = /^[A-Za-z0-9._\-:/{}]{1,249}$/;
/** The original library takes a message to this stream for a command to itself. */
const RESERVED = "SEA_STREAMER_INTERNAL";

/**
 * Gives the key back when it is one.
 *
 * @throws {StreamerError} `INVALID_STREAM_KEY`
 */
export function checkStreamKey(key: unknown): string {
  if (typeof key !== "string" || !ALLOWED.test(key) || key === RESERVED) {
    throw new StreamerError(
      "INVALID_STREAM_KEY",
      `Cannot use a stream key as it must be 1 to ${MAX_STREAM_KEY} characters of A–Z a–z 0–9 . _ - : / { } and not ${RESERVED}: ` +
        `current value is ${shown(key)}`,
    );
  }
  return key;
}

/** The Redis key of a stream's shard. */
export function shardRedisKey(streamKey: string, shardId: number): string {
  return `${streamKey}:${shardId}`;
}

/** The number of the shard that a Redis key is of this stream, as {@linkcode shardRedisKey} writes it; `undefined` for any other key. */
export function shardOfKey(redisKey: string, streamKey: string): number | undefined {
  if (!redisKey.startsWith(`${streamKey}:`)) return undefined;
  const suffix = redisKey.slice(streamKey.length + 1);
  if (!/^(0|[1-9]\d{0,15})$/.test(suffix)) return undefined;
  const number = Number(suffix);
  return Number.isSafeInteger(number) ? number : undefined;
}
