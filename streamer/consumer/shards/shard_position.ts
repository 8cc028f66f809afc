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
  #servedBy: string | undefined; // the node that has answered last
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

  /** The node whose entries were read last, or that is to serve the first read. `undefined` before there is a connection. */
  get servedBy(): string | undefined {
    return this.#servedBy;
  }

  /** Whether the node that has answered last was lost since, or has not served. */
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

  /** Its node has answered a read. A redirect is no answer: it may come from a replica that was the primary. */
  served(): void {
    this.#isCut = false;
    this.#servedBy = this.#node;
  }

  /**
   * The shard is read from this node. If another one has answered last, this one may have lost entries: a primary that becomes a replica
   * also redirects, as one whose slot was moved does.
   */
  comeTo(node: string): void {
    this.#node = node;
    this.#servedBy ??= node;
    if (this.#servedBy !== node) this.#isDoubtful = true;
  }

  /** Its new primary has all that was read, as far as is known. */
  settle(): void {
    this.#isDoubtful = false;
    this.served();
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
    moved.#servedBy = this.#servedBy;
    moved.#isCut = this.#isCut;
    moved.#isDoubtful = this.#isDoubtful;
    return moved;
  }
}
