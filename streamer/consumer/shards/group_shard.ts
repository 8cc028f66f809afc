// One shard that is read through a group: its Redis key, its phase, how far its group has come, and which of its entries were
// released when the group was moved.

import { compareIds, FIRST_ID, type MessageId } from "../../model/id.ts";
import { type GroupPhase, type PhaseEvent, TRANSITIONS } from "./group_phase.ts";
import type { ReadShard, SubscribedShard } from "./shard.ts";

/** Milliseconds that released entries seem to be idle at least: longer than any consumer may lease a message. */
export const LONG_IDLE = 86_400_000;

/** Milliseconds with which they are released: an hour more, as the idle time falls if the server's clock is set back. */
export const RELEASED_IDLE = LONG_IDLE + 3_600_000;

/** A shard of a consumer in a group. It is one object for as long as the consumer exists. */
export class GroupShard implements ReadShard {
  readonly streamKey: string;
  readonly shardId: number;
  readonly redisKey: string;
  #phase: GroupPhase = "released:replaying";
  #position: MessageId = FIRST_ID;
  #reached: MessageId = FIRST_ID;
  #drainedTo: MessageId | undefined;
  #moved = false; // whether this consumer moved the group, so that its position says nothing about the length of the stream
  readonly #releasedEntries = new Set<MessageId>();

  /** A shard that has not been read yet. */
  constructor({ streamKey, shardId, redisKey }: SubscribedShard) {
    this.streamKey = streamKey;
    this.shardId = shardId;
    this.redisKey = redisKey;
  }

  get phase(): GroupPhase {
    return this.#phase;
  }

  /** Whether the shard is read through its group. Entries that arrive of a released shard are released. */
  get isRead(): boolean {
    const phase = this.#phase;
    return phase === "reading" || phase === "replaying" || phase === "group-lost" || phase === "awaiting-stream";
  }

  /** Whether the group exists, as far as is known. */
  get hasGroup(): boolean {
    const phase = this.#phase;
    return phase === "reading" || phase === "replaying" || phase === "released:reading" ||
      phase === "released:replaying";
  }

  /** Whether entries that a previous session left pending have been delivered: from then on others' entries may be claimed. */
  get isReplayed(): boolean {
    return this.#phase === "reading" || this.#phase === "released:reading";
  }

  /** The id after which the group reads next. If the group is lost, it is recreated there. */
  get position(): MessageId {
    return this.#position;
  }

  /**
   * The end of the stream as of the last read, if the group had delivered all entries by then: entries that are added later are above it.
   * `undefined` if that is not known.
   */
  get drainedTo(): MessageId | undefined {
    return this.#drainedTo;
  }

  /** The highest id that was delivered here. If the group is moved back, lower ids can be pending here already. */
  get reached(): MessageId {
    return this.#reached;
  }

  /** The highest id that the stream is known to have reached. */
  get streamReached(): MessageId {
    return this.#moved ? this.#reached : this.#position;
  }

  /** The shard is read from now on. */
  assign(): void {
    this.#change("assign");
  }

  /** The shard is no longer read. */
  release(): void {
    this.#change("release");
  }

  /** A released shard is to be read again: its group is looked for, whatever was known of it. */
  prepare(): void {
    this.#change("prepare");
  }

  /** The group exists, and has come to this id. */
  groupFound(position: MessageId): void {
    this.#change("groupFound");
    this.#position = position;
  }

  /** The stream is missing when the consumer is created. */
  streamMissing(): void {
    this.#change("streamMissing");
  }

  /** The group was deleted. */
  groupLost(): void {
    this.#change("groupLost");
  }

  /** The lost group exists again. If its stream is a new one, nothing that was known of the old one holds any longer. */
  groupRecreated(position: MessageId, { isReset }: { readonly isReset: boolean }): void {
    this.#change("groupRecreated");
    this.#position = position;
    this.#drainedTo = undefined;
    if (!isReset) return;
    this.#reached = FIRST_ID;
    this.#moved = false;
    this.#releasedEntries.clear();
  }

  /** Entries that a previous session left pending have been delivered. */
  replayed(): void {
    this.#change("replayed");
  }

  /** A previous session left no entries pending, or they are not to be delivered. */
  skipReplay(): void {
    this.#change("skipReplay");
  }

  /** The group has delivered entries up to this id. */
  advance(position: MessageId): void {
    this.#position = position;
  }

  /** A read has shown that the group had delivered all entries, and had come to this id; or that there are more (`undefined`). */
  drained(position: MessageId | undefined): void {
    const isBehind = position !== undefined && compareIds(position, this.#position) < 0;
    this.#drainedTo = isBehind ? this.#position : position;
  }

  /** This consumer has moved the group. */
  moveTo(position: MessageId): void {
    this.#position = position;
    this.#drainedTo = undefined;
    this.#moved = true;
  }

  /** Entries up to this id were delivered here. */
  reach(id: MessageId): void {
    if (compareIds(id, this.#reached) > 0) this.#reached = id;
  }

  /**
   * These entries are released as the group was moved. They stay pending here until another consumer claims them, and are delivered again
   * only if the group delivers them once more. Entries that were released before are forgotten. They count as delivered here, even if
   * they were lost with a connection.
   */
  releaseEntries(ids: Iterable<MessageId>): void {
    this.#releasedEntries.clear();
    for (const id of ids) {
      this.#releasedEntries.add(id);
      this.reach(id);
    }
  }

  /** A released entry was delivered here once more. */
  redelivered(id: MessageId): void {
    this.#releasedEntries.delete(id);
  }

  /** Released entries that are still pending here are to be delivered after all. */
  forgetReleased(): void {
    this.#releasedEntries.clear();
  }

  /** How many entries were released, and not delivered here since. */
  get releasedCount(): number {
    return this.#releasedEntries.size;
  }

  /** Whether an entry was released, and not delivered here since. */
  hasReleased(id: MessageId): boolean {
    return this.#releasedEntries.has(id);
  }

  /** Whether a pending entry is a released one. Its idle time shows that no consumer has received it since. */
  isReleased({ id, idle }: { readonly id: MessageId; readonly idle: number }): boolean {
    return idle >= LONG_IDLE && this.#releasedEntries.has(id);
  }

  #change(event: PhaseEvent): void {
    const next = TRANSITIONS[this.#phase][event];
    if (next === undefined) {
      throw new Error(`Illegal transition of shard ${this.redisKey}: ${event} while ${this.#phase}`);
    }
    this.#phase = next;
  }
}

/** A shard as events name it. */
export function shardName(
  { streamKey, shardId }: GroupShard,
): { readonly streamKey: string; readonly shardId: number } {
  return { streamKey, shardId };
}
