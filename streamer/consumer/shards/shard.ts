// The shards of a subscription: their names, Redis keys and checks.

import { StreamerError } from "../../../resp/errors.ts";
import type { MessageId } from "../../model/id.ts";
import { shardRedisKey, type StreamShard } from "../../model/key.ts";
import { checkNumber, invalidOption } from "../../model/options.ts";
import type { AutoStreamReset } from "../options.ts";

/** A shard of a subscription, and its Redis key. */
export interface SubscribedShard extends StreamShard {
  readonly redisKey: string;
}

/** A shard that is read, and how far. */
export interface ReadShard extends SubscribedShard {
  /** The id after which the shard is read next. */
  readonly position: MessageId;
  /** The highest known id of the shard. */
  readonly reached: MessageId;
}

/** The shard of a subscription. `sharded` are the numbers of its shards; without them shard 0 is the plain key. */
export function subscribedShard(
  streamKey: string,
  shardId: number,
  sharded: readonly number[] | undefined,
): SubscribedShard {
  const plain = sharded === undefined && shardId === 0;
  return { streamKey, shardId, redisKey: plain ? streamKey : shardRedisKey(streamKey, shardId) };
}

/** A shard of a stream that has shards. */
export function numberedShard(streamKey: string, shardId: number): SubscribedShard {
  return { streamKey, shardId, redisKey: shardRedisKey(streamKey, shardId) };
}

/** The only shard of a stream without shards: its plain key. */
export function plainShard(streamKey: string): SubscribedShard {
  return { streamKey, shardId: 0, redisKey: streamKey };
}

/** Throws if two shards of one subscription have the same Redis key: a message could belong to either. */
export function checkDistinct(shards: readonly SubscribedShard[]): void {
  const keys = new Map<string, SubscribedShard>();
  for (const shard of shards) {
    const other = keys.get(shard.redisKey);
    if (other !== undefined) {
      const taken = `shard ${other.shardId} of ${other.streamKey}`;
      throw invalidOption(
        "shardId",
        shard.shardId,
        `of another Redis key than ${shard.redisKey}, which is ${taken}`,
      );
    }
    keys.set(shard.redisKey, shard);
  }
}

/** Whether a shard has this name. */
export function isShard(shard: StreamShard, streamKey: string, shardId: number): boolean {
  return shard.streamKey === streamKey && shard.shardId === shardId;
}

/** Where a shard without a position is read from. */
export type StartAt = "beginning" | "end";

/** Where the options say that it is read from. */
export function startAt(reset: AutoStreamReset): StartAt {
  return reset === "earliest" ? "beginning" : "end";
}

/** Throws unless this is a shard of a subscribed stream. */
export function checkSubscribed(streamKeys: readonly string[], { streamKey, shardId }: StreamShard): void {
  checkNumber("shardId", shardId, 0, { min: 0, max: Number.MAX_SAFE_INTEGER, integer: true });
  if (!streamKeys.includes(streamKey)) throw notFound(streamKey, shardId);
}

/** The error for a shard that is not subscribed. */
export function notFound(streamKey: string, shardId: number): StreamerError {
  return new StreamerError(
    "STREAM_KEY_NOT_FOUND",
    `Shard ${shardId} of stream ${JSON.stringify(streamKey)} is not subscribed`,
  );
}

/** The error for unassigning the last shard. */
export function lastShard(streamKey: string, shardId: number): StreamerError {
  return new StreamerError(
    "STREAM_KEY_EMPTY",
    `Shard ${shardId} of stream ${streamKey} cannot be unassigned: it is the last one.`,
  );
}
