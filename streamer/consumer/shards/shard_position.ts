// How far a shard was read without a group.

import { FIRST_ID, type MessageId } from "../../model/id.ts";
import { Milestones, type ReadEntries } from "./milestones.ts";
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
  readonly #milestones = new Milestones();
  readonly #start: MessageId | undefined; // the end of the stream, if the shard began there
  #position: MessageId;
  #reached: MessageId;
  #gone = false;
  #node: string | undefined; // where the shard is read
  #isCut = false;
  #isDoubtful = false;

  constructor({ streamKey, shardId, redisKey }: SubscribedShard, { position, reached }: StartPosition) {
    this.streamKey = streamKey;
    this.shardId = shardId;
    this.redisKey = redisKey;
    this.#position = position;
    this.#reached = reached;
    this.#start = position === reached && position !== FIRST_ID ? position : undefined;
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

  /** Ids of entries that were read, the latest first. Some between them are left out. */
  get milestones(): readonly MessageId[] {
    return this.#milestones.latestFirst;
  }

  /** The end of the stream, if the shard began there: most likely the id of an entry that was not read. */
  get start(): MessageId | undefined {
    return this.#start;
  }

  /** Whether nobody has answered for the shard since its primary may have changed. */
  get isCut(): boolean {
    return this.#isCut;
  }

  /** Whether its primary has changed and may have lost entries, so that the shard must not be read on yet. */
  get isDoubtful(): boolean {
    return this.#isDoubtful;
  }

  /** These entries were read, and accepted. */
  passed(entries: ReadEntries): void {
    this.#milestones.add(entries);
  }

  /** The connection to its node was lost, or the node does not serve: a replica may take its place. */
  cut(): void {
    this.#isCut = true;
  }

  /** Its node has answered a read. */
  served(): void {
    this.#isCut = false;
  }

  /** The shard is read from this node. Another one, after the shard was cut, is a primary that may have lost entries. */
  comeTo(node: string): void {
    if (this.#isCut && this.#node !== undefined && this.#node !== node) this.#isDoubtful = true;
    this.#node = node;
    this.#isCut = false;
  }

  /** Its new primary has all that was read, as far as is known. */
  settle(): void {
    this.#isDoubtful = false;
    if (this.#milestones.latestFirst.length > 0) this.#reached = this.#position; // more than that may have been lost
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
    this.#milestones.dropAfter(position);
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
    return this.#moved({ position, reached: this.#reached }, this.#gone);
  }

  /** The same shard, from the end of its stream. */
  movedToEnd(end: MessageId): ShardPosition {
    return this.#moved({ position: end, reached: end }, false);
  }

  #moved(start: StartPosition, isGone: boolean): ShardPosition {
    const moved = new ShardPosition(this, start);
    moved.#gone = isGone;
    moved.#node = this.#node;
    moved.#isCut = this.#isCut;
    moved.#isDoubtful = this.#isDoubtful;
    return moved;
  }
}
