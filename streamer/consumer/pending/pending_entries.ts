// The entries that were delivered to a consumer in a group, from their arrival to the confirmed acknowledgement.

import { compareIds, type MessageId } from "../../model/id.ts";
import type { Message } from "../../model/message.ts";
import type { GroupShard } from "../shards/group_shard.ts";
import type { AckBatch } from "./ack_batch.ts";
import { DeliveryTimes } from "./delivery_times.ts";
import { ENTRY_STATE, isTracked } from "./entry_state.ts";
import { EntryTable } from "./entry_table.ts";
import { GatedInput, type GatedInputOwner } from "./gated_input.ts";
import { OutgoingAcks } from "./outgoing_acks.ts";
import type { EntryPlace, PendingBatch } from "./pending_batch.ts";
import { Releases } from "./releases.ts";
import { SettledWatches } from "./settled_watch.ts";

export type { AckBatch } from "./ack_batch.ts";
export type { EntryPlace, PendingBatch } from "./pending_batch.ts";

/** A pending entry that the program has not got, and how often it counts as delivered from now on. */
export interface UndeliveredEntry {
  readonly id: MessageId;
  readonly deliveries: number;
}

/** How entries are acknowledged. */
export interface PendingEntriesOptions {
  /** Whether entries are acknowledged some time after their delivery. */
  readonly byTime: boolean;
}

/**
 * Tracks entries by batch and index. An entry is tracked until its acknowledgement is confirmed, it is released, or another
 * consumer gets it. Verbs return false, or nothing, where the entry is in a state in which they do not apply.
 */
export class PendingEntries {
  readonly #table = new EntryTable();
  readonly #acks = new OutgoingAcks(this.#table);
  readonly #times: DeliveryTimes | undefined; // only if time acknowledges
  readonly #watches = new SettledWatches();

  /** Entries that were released while they were in flight, and the messages on which handlers work. */
  readonly releases: Releases = new Releases();

  constructor({ byTime }: PendingEntriesOptions) {
    this.#times = byTime ? new DeliveryTimes() : undefined;
  }

  /** Entries that were delivered to the program and are not acknowledged. */
  get inFlight(): number {
    return this.#table.count(ENTRY_STATE.inFlight);
  }

  /** Whether the program has any message that it has not settled, or a handler works on one. */
  get isWithProgram(): boolean {
    return this.inFlight > 0 || this.releases.hasWork;
  }

  /** Entries that wait to be delivered again. */
  get nacked(): number {
    return this.#table.count(ENTRY_STATE.nacked);
  }

  /** Entries that are in flight, nacked, or being settled one by one. */
  get unacked(): number {
    return this.inFlight + this.nacked + this.#table.count(ENTRY_STATE.settling);
  }

  /** Acknowledgements to send. */
  get unsent(): number {
    return this.#acks.unsent;
  }

  /** Acknowledgements that are being sent. */
  get sending(): number {
    return this.#acks.sending;
  }

  /** Acknowledgements that the server has confirmed. */
  get confirmed(): number {
    return this.#acks.confirmed;
  }

  /** When the oldest entry that time will acknowledge was delivered. */
  get oldestDelivery(): number | undefined {
    return this.#times?.oldest;
  }

  /** The batches of a shard with tracked entries. */
  batchesOf(shard: GroupShard): Iterable<PendingBatch> {
    return this.#table.batchesOf(shard);
  }

  /** Whether an entry of a shard is tracked, or to be acknowledged. */
  hasAny(shard: GroupShard): boolean {
    return this.#table.hasAny(shard) || this.#acks.hasUntracked(shard);
  }

  /** How many entries of a shard are tracked. */
  countOf(shard: GroupShard): number {
    let count = 0;
    for (const batch of this.batchesOf(shard)) count += batch.open;
    return count;
  }

  /** The tracked entry with this id, if there is one. */
  find(shard: GroupShard, id: MessageId): EntryPlace | undefined {
    return this.#table.find(shard, id);
  }

  /** The delivery of an entry that counts: this one, or a newer one of the same entry; none if it is settled for good. */
  latestOf(place: EntryPlace): EntryPlace | undefined {
    const { batch, index } = place;
    const state = batch.states[index];
    if (isTracked(state)) return place;
    const id = batch.idAt(index);
    return this.find(batch.shard, id) ?? this.releases.find(batch.shard, id) ??
      (state === ENTRY_STATE.released ? place : undefined);
  }

  /** Whether an entry was released, and not delivered here since. */
  isReleased({ batch, index }: EntryPlace): boolean {
    if (batch.states[index] !== ENTRY_STATE.released) return false;
    return this.find(batch.shard, batch.idAt(index)) === undefined;
  }

  /** Whether an untracked entry is to be acknowledged, or that is being sent. */
  isAcking(shard: GroupShard, id: MessageId): boolean {
    return this.#acks.isUntracked(shard, id);
  }

  /** Whether an entry is acked or settled, and the server has not confirmed that. */
  isSettled(shard: GroupShard, id: MessageId): boolean {
    const place = this.find(shard, id);
    if (place === undefined) return this.isAcking(shard, id);
    const state = place.batch.states[place.index];
    return state === ENTRY_STATE.acked || state === ENTRY_STATE.sending || state === ENTRY_STATE.settling;
  }

  /** A check of ids of a shard: whether an entry must not be delivered here now, as it is settled, or a handler works on it. */
  undeliverable(shard: GroupShard): (id: MessageId) => boolean {
    const workedOn = this.releases.workedOn(shard);
    return (id) => workedOn.has(id) || this.isSettled(shard, id);
  }

  /** Runs a redelivery of these entries; it gets a set of those that are settled meanwhile. */
  redelivering<T>(
    shard: GroupShard,
    ids: readonly MessageId[],
    work: (settled: ReadonlySet<MessageId>) => Promise<T>,
  ): Promise<T> {
    return this.#watches.during(shard, ids, work);
  }

  /** Tracks the entries of a page that has arrived. */
  add(batch: PendingBatch): void {
    this.#table.add(batch);
  }

  /** Delivers an entry to the program. */
  take(batch: PendingBatch, index: number, now: number): boolean {
    if (batch.states[index] !== ENTRY_STATE.queued) return false;
    this.#table.move(batch, index, ENTRY_STATE.inFlight);
    if (this.#times === undefined) batch.markDelivered(index, now);
    else this.#times.add(batch, index, now);
    return true;
  }

  /** Counts an entry in flight as read ahead until {@linkcode begin}. */
  postpone({ batch, index }: EntryPlace): boolean {
    if (!batch.isInFlight(index)) return false;
    batch.markPostponed(index);
    return true;
  }

  /** Acknowledges a delivery. */
  ack(batch: PendingBatch, index: number): boolean {
    if (!isUnsettled(batch.states[index])) return false;
    this.#noteSettled(batch, index);
    this.#table.move(batch, index, ENTRY_STATE.acked);
    this.#acks.add(batch);
    return true;
  }

  /** Acknowledges an entry by any of its deliveries. */
  ackAny(place: EntryPlace): boolean {
    const { batch, index } = place;
    if (this.ack(batch, index)) return true;
    if (isTracked(batch.states[index])) return false;
    this.#ackById(batch.shard, batch.idAt(index), place);
    return true;
  }

  /** Acknowledges the entry with this id, also if it is not tracked. */
  ackById(shard: GroupShard, id: MessageId): void {
    this.#ackById(shard, id, this.releases.find(shard, id));
  }

  /** Acknowledges all entries in flight that were delivered at that time or before, if time acknowledges. */
  ackDelivered(until: number): void {
    const times = this.#times;
    for (let range = times?.takeUntil(until); range !== undefined; range = times?.takeUntil(until)) {
      const { batch, from, to } = range;
      for (let i = from; i < to; i++) if (batch.isInFlight(i)) this.ack(batch, i);
    }
  }

  /** Has an entry in flight wait to be delivered again. */
  nack(batch: PendingBatch, index: number): boolean {
    if (!batch.isInFlight(index)) return false;
    this.#table.move(batch, index, ENTRY_STATE.nacked);
    return true;
  }

  /** The same for a released entry, which is tracked again. */
  nackReleased(batch: PendingBatch, index: number): boolean {
    if (!this.#trackAgain(batch, index, ENTRY_STATE.nacked)) return false;
    batch.markOwned(-Infinity); // the server has not said so of this entry
    return true;
  }

  /**
   * Begins to settle an entry by a command of its own; {@linkcode acknowledged}, {@linkcode finish} or {@linkcode unsettle} ends
   * that.
   */
  settle(batch: PendingBatch, index: number): boolean {
    if (!isUnsettled(batch.states[index])) return false;
    this.#noteSettled(batch, index);
    this.#table.move(batch, index, ENTRY_STATE.settling);
    return true;
  }

  /** The same for a released entry, which is tracked again. */
  settleReleased(batch: PendingBatch, index: number): boolean {
    if (!this.#trackAgain(batch, index, ENTRY_STATE.settling)) return false;
    this.#noteSettled(batch, index);
    batch.markOwned(-Infinity);
    return true;
  }

  /** An entry could not be settled: it is in flight again. */
  unsettle(batch: PendingBatch, index: number): boolean {
    if (batch.states[index] !== ENTRY_STATE.settling) return false;
    this.#table.move(batch, index, ENTRY_STATE.inFlight);
    return true;
  }

  /** Settles the entry of a message together with its outputs. `undefined` for a message that is pending nowhere. */
  gated(message: Message, owner: GatedInputOwner): GatedInput | undefined {
    return GatedInput.begin(message, this, owner);
  }

  /** Releases an entry in flight: it is tracked no longer, and remembered until something becomes of it. */
  release(batch: PendingBatch, index: number, now: number): void {
    this.#table.release(batch, index);
    this.releases.add(batch, index, now);
  }

  /** Another consumer has got an entry, or has acknowledged it; returns whether the program is working on it. */
  lose(batch: PendingBatch, index: number): boolean {
    const state = batch.states[index];
    const delivered = state === ENTRY_STATE.inFlight && !batch.isPostponed(index);
    if (delivered) this.#table.release(batch, index);
    else if (state < ENTRY_STATE.settling) this.finish(batch, index);
    return delivered;
  }

  /** The group of a shard was lost: the server lists none of its entries any more. */
  loseGroup(shard: GroupShard): void {
    for (const batch of this.batchesOf(shard)) batch.markGroupLost();
  }

  /** The server says that the group of a shard is missing: the returned function notes that for the entries tracked now. */
  orphans(shard: GroupShard): () => void {
    const batches = [...this.batchesOf(shard)];
    return () => batches.forEach((batch) => batch.markOrphaned());
  }

  /** A released entry is delivered here once more; false if it was settled meanwhile. */
  outdate({ batch, index }: EntryPlace): boolean {
    const state = batch.states[index];
    if (state === ENTRY_STATE.released) this.#table.forget(batch, index);
    else if (state === ENTRY_STATE.nacked) this.finish(batch, index);
    else return false;
    return true;
  }

  /** An entry was delivered once more while it was tracked: the newer delivery counts, unless the older one is being settled. */
  supersede(shard: GroupShard, id: MessageId): void {
    const place = this.find(shard, id);
    if (place === undefined) return;
    const state = place.batch.states[place.index];
    if (state !== ENTRY_STATE.sending && state !== ENTRY_STATE.settling) this.finish(place.batch, place.index);
  }

  /** Forgets the entries of a shard that the program has not got, and returns those that the server lists. */
  dropUndelivered(shard: GroupShard): UndeliveredEntry[] {
    const dropped: UndeliveredEntry[] = [];
    for (const batch of this.batchesOf(shard)) {
      for (let index = 0; index < batch.size; index++) {
        const state = batch.states[index];
        const unseen = state === ENTRY_STATE.queued || batch.isPostponed(index);
        const isWaiting = state === ENTRY_STATE.nacked || state === ENTRY_STATE.queued;
        if (!isWaiting && !(state === ENTRY_STATE.inFlight && unseen)) continue;
        this.finish(batch, index);
        if (batch.groupLost) continue;
        dropped.push({ id: batch.idAt(index), deliveries: batch.deliveriesOf(index) - Number(unseen) });
      }
    }
    return dropped;
  }

  /** Forgets entries above a position that are in flight or acked: the group delivers them once more. */
  forgetAfter(shard: GroupShard, position: MessageId): void {
    for (const batch of this.batchesOf(shard)) {
      for (let index = batch.size - 1; index >= 0 && compareIds(batch.idAt(index), position) > 0; index--) {
        if (batch.isInFlight(index) || batch.states[index] === ENTRY_STATE.acked) this.finish(batch, index);
      }
    }
  }

  /** Tracks an entry no longer. */
  finish(batch: PendingBatch, index: number): void {
    this.#table.finish(batch, index);
  }

  /** The server has acknowledged an entry that was settled. */
  acknowledged(batch: PendingBatch, index: number): void {
    this.#acks.confirmOne();
    this.finish(batch, index);
  }

  /** Takes all acknowledgements to send; each batch is then {@linkcode confirm}ed or {@linkcode restore}d. */
  collect(): AckBatch[] {
    return this.#acks.collect();
  }

  /** The acknowledgement of untracked entries, to be sent at once; then {@linkcode confirm}ed or {@linkcode restore}d. */
  dismiss(shard: GroupShard, ids: readonly MessageId[]): AckBatch {
    return this.#acks.dismiss(shard, ids);
  }

  /** The server has answered an acknowledgement: so many entries had been pending. */
  confirm(acks: AckBatch, fresh: number = acks.count): void {
    this.#acks.confirm(acks, fresh);
  }

  /** An acknowledgement could not be sent: its entries are to be acknowledged again. */
  restore(acks: AckBatch): void {
    this.#acks.restore(acks);
    for (const id of acks.untracked) this.#watches.note(acks.shard, id);
  }

  #ackById(shard: GroupShard, id: MessageId, released: EntryPlace | undefined): void {
    const place = this.find(shard, id);
    if (place !== undefined) return void this.ack(place.batch, place.index);
    this.#watches.note(shard, id);
    if (released === undefined || !this.#trackAgain(released.batch, released.index, ENTRY_STATE.acked)) {
      this.#acks.addUntracked(shard, id);
    } else {
      this.#acks.add(released.batch);
    }
  }

  #trackAgain(batch: PendingBatch, index: number, to: number): boolean {
    if (!this.#table.trackAgain(batch, index, to)) return false;
    this.releases.forget(batch.shard, batch.idAt(index));
    return true;
  }

  #noteSettled(batch: PendingBatch, index: number): void {
    if (!this.#watches.isEmpty) this.#watches.note(batch.shard, batch.idAt(index));
  }
}

/** Whether an entry can be acknowledged or settled. */
function isUnsettled(state: number): boolean {
  return state === ENTRY_STATE.inFlight || state === ENTRY_STATE.queued || state === ENTRY_STATE.nacked;
}
