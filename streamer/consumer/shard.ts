// One shard that is read: its Redis key, and how far it was read. It must not know who reads it.

import { StreamerError } from "../../resp/errors.ts";
import type { MessageId } from "../model/id.ts";
import { shardRedisKey, type StreamShard } from "../model/key.ts";
import { checkNumber, invalidOption } from "../model/options.ts";
import type { AutoStreamReset } from "./options.ts";

/** A shard of a subscription, and the Redis key it stands for. */
export interface SubscribedShard extends StreamShard {
  readonly redisKey: string;
}

/** A shard that is read, and how far. */
export interface ShardPosition extends SubscribedShard {
  /** What is read next is behind this id. */
  position: MessageId;
  /** The highest id the stream is known to have reached. */
  reached: MessageId;
  /** Whether the stream was found deleted, and has not been seen since. */
  gone: boolean;
}

/** Shards that were found, to be read too. */
export interface Addition {
  readonly shards: readonly SubscribedShard[];
  /** Whether one still is to be read, asked when its turn has come: it may have been unassigned meanwhile. */
  readonly isWanted: (shard: SubscribedShard) => boolean;
  /** To be called in the same step in which it is done, if any still was to be read. */
  readonly done: () => void;
}

/** A plain key that is read no more, and what is read in its place. */
export interface Replacement extends Addition {
  readonly plain: SubscribedShard;
  /** The id up to which the plain key must have been read. */
  readonly until: MessageId;
}

/** The shard of a subscription; `sharded` are its numbers where it has any, else shard 0 is the plain key. */
export function subscribedShard(
  streamKey: string,
  shardId: number,
  sharded: readonly number[] | undefined,
): SubscribedShard {
  const plain = sharded === undefined && shardId === 0;
  return { streamKey, shardId, redisKey: plain ? streamKey : shardRedisKey(streamKey, shardId) };
}

/** The shard of a stream that has shards. */
export function numberedShard(streamKey: string, shardId: number): SubscribedShard {
  return { streamKey, shardId, redisKey: shardRedisKey(streamKey, shardId) };
}

/** The shard of a stream that has none: its plain key. */
export function plainShard(streamKey: string): SubscribedShard {
  return { streamKey, shardId: 0, redisKey: streamKey };
}

/** Two shards of one subscription may not stand for the same Redis key: neither could tell whose its messages are. */
export function checkDistinct(shards: readonly SubscribedShard[]): void {
  const keys = new Map<string, SubscribedShard>();
  for (const shard of shards) {
    const other = keys.get(shard.redisKey);
    if (other !== undefined) {
      const taken = `shard ${other.shardId} of ${other.streamKey}`;
      throw invalidOption(
        "shardId",
        shard.shardId,
        `another than that of the Redis key ${shard.redisKey}, which is ${taken}`,
      );
    }
    keys.set(shard.redisKey, shard);
  }
}

/** Whether it is this shard. */
export function isShard(shard: StreamShard, streamKey: string, shardId: number): boolean {
  return shard.streamKey === streamKey && shard.shardId === shardId;
}

/** Where a shard begins that has no position yet. */
export type StartAt = "beginning" | "end";

/** The same as options say it. */
export function startAt(reset: AutoStreamReset): StartAt {
  return reset === "earliest" ? "beginning" : "end";
}

/** Refuses what is no shard of a subscribed stream. */
export function checkSubscribed(streamKeys: readonly string[], { streamKey, shardId }: StreamShard): void {
  checkNumber("shardId", shardId, 0, { min: 0, max: Number.MAX_SAFE_INTEGER, integer: true });
  if (!streamKeys.includes(streamKey)) throw notFound(streamKey, shardId);
}

/** There is no such shard. */
export function notFound(streamKey: string, shardId: number): StreamerError {
  return new StreamerError(
    "STREAM_KEY_NOT_FOUND",
    `Cannot find shard ${shardId} of ${JSON.stringify(streamKey)} among the subscribed ones`,
  );
}

/** There has to be one at least. */
export function lastShard(streamKey: string, shardId: number): StreamerError {
  return new StreamerError(
    "STREAM_KEY_EMPTY",
    `Cannot unassign shard ${shardId} of ${streamKey} as it is the last one`,
  );
}
