// How far a shard was read without a group.

import type { MessageId } from "../../model/id.ts";
import type { ReadShard, SubscribedShard } from "./shard.ts";

/** Where a shard begins, and the highest id that its stream is known to have reached. */
export interface StartPosition {
  readonly position: MessageId;
  readonly reached: MessageId;
}

/** A shard that is read from a position of its own. */
export class ShardPosition implements ReadShard {
  readonly streamKey: string;
  readonly shardId: number;
  readonly redisKey: string;
  #position: MessageId;
  #reached: MessageId;
  #gone = false;

  constructor({ streamKey, shardId, redisKey }: SubscribedShard, { position, reached }: StartPosition) {
    this.streamKey = streamKey;
    this.shardId = shardId;
    this.redisKey = redisKey;
    this.#position = position;
    this.#reached = reached;
  }

  /** The id after which the shard is read next. */
  get position(): MessageId {
    return this.#position;
  }

  /** The highest id that the stream is known to have reached. */
  get reached(): MessageId {
    return this.#reached;
  }

  /** Whether the stream was found deleted, and has not been seen since. */
  get gone(): boolean {
    return this.#gone;
  }

  /** Entries up to this id were read. */
  advance(id: MessageId): void {
    this.#position = this.#reached = id;
  }

  /** Entries that were read are to be read once more: their page was malformed. */
  revert(position: MessageId, reached: MessageId): void {
    this.#position = position;
    this.#reached = reached;
  }

  /** The shard is read from another position. */
  moveTo(position: MessageId): void {
    this.#position = position;
  }

  /** The stream has reached this id. */
  reach(id: MessageId): void {
    this.#reached = id;
  }

  /** The stream was found deleted. */
  foundGone(): void {
    this.#gone = true;
  }

  /** A stream that was found deleted exists again. */
  returned(): void {
    this.#gone = false;
  }

  /** The same shard, from another position. The original is left as it is, in case the move fails. */
  movedTo(position: MessageId): ShardPosition {
    const moved = new ShardPosition(this, { position, reached: this.#reached });
    moved.#gone = this.#gone;
    return moved;
  }

  /** The same shard, from the end of its stream. */
  movedToEnd(end: MessageId): ShardPosition {
    return new ShardPosition(this, { position: end, reached: end });
  }
}
