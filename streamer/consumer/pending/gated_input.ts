// An entry whose acknowledgement depends on its outputs: a script stores them and acknowledges the entry, or leaves it pending.

import type { MessageId } from "../../model/id.ts";
import { type Message, messagePlace } from "../../model/message.ts";
import { type EntryPlace, PendingBatch } from "./pending_batch.ts";

/** The verbs of pending entries that gated inputs use. */
export interface SettlingEntries {
  latestOf(place: EntryPlace): EntryPlace | undefined;
  settle(batch: PendingBatch, index: number): boolean;
  settleReleased(batch: PendingBatch, index: number): boolean;
  unsettle(batch: PendingBatch, index: number): boolean;
  release(batch: PendingBatch, index: number, now: number): void;
  acknowledged(batch: PendingBatch, index: number): void;
}

/** The listeners of a gated input. */
export interface GatedInputOwner {
  readonly now: () => number;
  /** Fewer entries are unacknowledged. */
  readonly onSettled: () => void;
}

/** One delivery of an entry, from the return of its handler until the server has answered. */
export class GatedInput {
  readonly redisKey: string;
  readonly id: MessageId;
  readonly place: EntryPlace;
  readonly #entries: SettlingEntries;
  readonly #owner: GatedInputOwner;
  readonly #settling: EntryPlace | undefined; // the delivery that counts; none if another consumer has got the entry
  readonly #released: boolean;

  /**
   * Begins with a delivery: the entry keeps its lease, is not delivered again, and cannot be lost. `undefined` for a message that is
   * pending nowhere.
   */
  static begin(message: Message, entries: SettlingEntries, owner: GatedInputOwner): GatedInput | undefined {
    const { batch, index } = messagePlace(message) ?? {};
    if (!(batch instanceof PendingBatch) || index === undefined) return undefined;
    return new GatedInput({ batch, index }, entries, owner);
  }

  private constructor(place: EntryPlace, entries: SettlingEntries, owner: GatedInputOwner) {
    const { batch, index } = place;
    this.redisKey = batch.shard.redisKey;
    this.id = batch.idAt(index);
    this.place = place;
    this.#entries = entries;
    this.#owner = owner;
    const latest = entries.latestOf(place);
    this.#released = latest !== undefined && entries.settleReleased(latest.batch, latest.index);
    const begun = latest !== undefined && (this.#released || entries.settle(latest.batch, latest.index));
    this.#settling = begun ? latest : undefined;
  }

  /** Whether the group is known to have been lost after this delivery: the entry is pending nowhere. */
  get isOrphaned(): boolean {
    return this.place.batch.isOrphaned;
  }

  /** The entry is not pending any more. */
  acknowledged(): void {
    if (this.#settling !== undefined) this.#entries.acknowledged(this.#settling.batch, this.#settling.index);
    this.#owner.onSettled();
  }

  /** The entry stays pending: it is in the state of before. */
  giveUp(): void {
    if (this.#settling === undefined) return;
    const { batch, index } = this.#settling;
    if (this.#entries.unsettle(batch, index) && this.#released) this.#entries.release(batch, index, this.#owner.now());
  }
}
