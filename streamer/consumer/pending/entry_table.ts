// The tracked entries by shard and batch, and how many of them are in each state. Only this file changes the state of an
// entry.

import type { MessageId } from "../../model/id.ts";
import type { GroupShard } from "../shards/group_shard.ts";
import type { AckPart } from "./ack_batch.ts";
import { BatchIndex } from "./batch_index.ts";
import { ENTRY_STATE, isTracked, STATES } from "./entry_state.ts";
import type { EntryPlace, PendingBatch } from "./pending_batch.ts";

/** Finds and counts tracked entries. */
export class EntryTable {
  readonly #batches = new Map<GroupShard, BatchIndex>();
  readonly #counts = new Int32Array(STATES); // of tracked entries

  /** How many tracked entries are in a state. */
  count(state: number): number {
    return this.#counts[state];
  }

  /** The batches of a shard with tracked entries. */
  batchesOf(shard: GroupShard): Iterable<PendingBatch> {
    return this.#batches.get(shard) ?? [];
  }

  /** Whether an entry of a shard is tracked. */
  hasAny(shard: GroupShard): boolean {
    return (this.#batches.get(shard)?.size ?? 0) > 0;
  }

  /** The tracked entry with this id, if there is one. */
  find(shard: GroupShard, id: MessageId): EntryPlace | undefined {
    for (const place of this.#batches.get(shard)?.find(id) ?? []) {
      if (isTracked(place.batch.states[place.index])) return place;
    }
    return undefined;
  }

  /** Tracks the entries of a page; all of them are queued. */
  add(batch: PendingBatch): void {
    this.#counts[ENTRY_STATE.queued] += batch.size;
    this.#indexOf(batch.shard).add(batch);
  }

  /** Changes the state of a tracked entry to another one in which it is tracked. */
  move(batch: PendingBatch, index: number, to: number): void {
    this.#counts[batch.states[index]]--;
    this.#counts[to]++;
    batch.states[index] = to;
  }

  /** Marks acked entries as being sent, at most so many, the first of them at or after `from`; returns which. */
  sendAcked(batch: PendingBatch, from: number, most: number): AckPart | undefined {
    const { states, size } = batch;
    const first = states.indexOf(ENTRY_STATE.acked, from);
    if (first < 0) return undefined;
    const end = Math.min(size, first + most);
    let to = first;
    while (to < end && states[to] === ENTRY_STATE.acked) states[to++] = ENTRY_STATE.sending;
    this.#counts[ENTRY_STATE.acked] -= to - first;
    this.#counts[ENTRY_STATE.sending] += to - first;
    return { batch, from: first, to };
  }

  /** Marks entries that were being sent as acked. */
  restoreAcked({ batch, from, to }: AckPart): void {
    batch.states.fill(ENTRY_STATE.acked, from, to);
    this.#counts[ENTRY_STATE.sending] -= to - from;
    this.#counts[ENTRY_STATE.acked] += to - from;
  }

  /** Tracks consecutive entries no longer. */
  finishAll({ batch, from, to }: AckPart): void {
    const { states } = batch;
    let finished = 0;
    for (let i = from; i < to; i++) {
      const state = states[i];
      if (!isTracked(state)) continue;
      this.#counts[state]--;
      states[i] = ENTRY_STATE.done;
      finished++;
    }
    batch.open -= finished;
    if (finished > 0 && batch.open === 0) this.#batches.get(batch.shard)?.delete(batch);
  }

  /** Tracks an entry no longer. */
  finish(batch: PendingBatch, index: number): void {
    const state = batch.states[index];
    if (!isTracked(state)) return;
    this.#counts[state]--;
    batch.states[index] = ENTRY_STATE.done;
    if (--batch.open === 0) this.#batches.get(batch.shard)?.delete(batch);
  }

  /** Tracks an entry in flight no longer, in such a way that it can be {@linkcode trackAgain tracked again}. */
  release(batch: PendingBatch, index: number): void {
    this.finish(batch, index);
    batch.states[index] = ENTRY_STATE.released;
  }

  /** Tracks a released entry again; false if it is not released. */
  trackAgain(batch: PendingBatch, index: number, to: number): boolean {
    if (batch.states[index] !== ENTRY_STATE.released) return false;
    batch.states[index] = to;
    this.#counts[to]++;
    if (batch.open++ === 0) this.#indexOf(batch.shard).restore(batch);
    return true;
  }

  /** Marks a released entry as done. */
  forget(batch: PendingBatch, index: number): void {
    batch.states[index] = ENTRY_STATE.done;
  }

  #indexOf(shard: GroupShard): BatchIndex {
    let index = this.#batches.get(shard);
    if (index === undefined) this.#batches.set(shard, index = new BatchIndex());
    return index;
  }
}
