// Stream keys: the names that are allowed, and the Redis keys of shards.

import { StreamerError } from "../../resp/errors.ts";
import { shown } from "./id.ts";

/**
 * One shard of a stream. A stream without shards is reported as shard 0.
 *
 * @category Sharding
 */
export interface StreamShard {
  /** The name of the stream. */
  readonly streamKey: string;
  /** The number of the shard. 0 for a stream without shards. */
  readonly shardId: number;
}

/** Maximum length of a stream key, in characters. */
export const MAX_STREAM_KEY = 249;
/** Maximum number of shards of one stream. */
export const MAX_SHARDS = 1_024;

const ALLOWED = /^[A-Za-z0-9._\-:/{}]{1,249}$/;
/** The Rust library treats a message to this stream as a command to itself. */
const RESERVED = "SEA_STREAMER_INTERNAL";

/**
 * Returns the key if it is valid.
 *
 * @throws {StreamerError} `INVALID_STREAM_KEY`
 */
export function checkStreamKey(key: unknown): string {
  if (typeof key !== "string" || !ALLOWED.test(key) || key === RESERVED) {
    const why = key === RESERVED
      ? "this name is reserved"
      : `use 1 to ${MAX_STREAM_KEY} characters of A–Z a–z 0–9 . _ - : / { }`;
    throw new StreamerError("INVALID_STREAM_KEY", `Invalid stream key ${shown(key)}: ${why}`);
  }
  return key;
}

/** The Redis key of a stream's shard. */
export function shardRedisKey(streamKey: string, shardId: number): string {
  return `${streamKey}:${shardId}`;
}

/** The shard number in a Redis key of this stream, in the form of {@linkcode shardRedisKey}. `undefined` for any other key. */
export function shardOfKey(redisKey: string, streamKey: string): number | undefined {
  if (!redisKey.startsWith(`${streamKey}:`)) return undefined;
  const suffix = redisKey.slice(streamKey.length + 1);
  if (!/^(0|[1-9]\d{0,15})$/.test(suffix)) return undefined;
  const number = Number(suffix);
  return Number.isSafeInteger(number) ? number : undefined;
}
