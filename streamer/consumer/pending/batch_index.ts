// The batches of one shard with tracked entries, and where among them an id is.

import { compareIds, type MessageId } from "../../model/id.ts";
import { type EntryPlace, type PendingBatch, timeOf } from "./pending_batch.ts";

/** Batches that are done and may still be in the index, beyond as many as are not done. */
const FEW_DONE = 16;

/**
 * Batches by the ids of their entries. Adding and deleting take constant time: batches are sorted when an id is looked up, which
 * most consumers never do. A look-up is a binary search for the last batch that begins at the id or before it. From there it
 * goes back only over batches that reach as far as the id: few, as pages of new entries do not overlap.
 */
export class BatchIndex {
  readonly #batches = new Set<PendingBatch>();
  #added: PendingBatch[] = []; // and not sorted yet
  #sorted: PendingBatch[] = []; // by first id; some may be done
  #reach: PendingBatch[] = []; // for each sorted batch: of it and all before, the one with the highest last id

  /** Number of batches. */
  get size(): number {
    return this.#batches.size;
  }

  /** All batches in the order in which they came; some may be deleted during the iteration. */
  [Symbol.iterator](): IterableIterator<PendingBatch> {
    return this.#batches.values();
  }

  add(batch: PendingBatch): void {
    this.#batches.add(batch);
    this.#added.push(batch);
  }

  /** Adds a batch that was deleted. Rare, and linear in the number of batches. */
  restore(batch: PendingBatch): void {
    this.#batches.add(batch);
    if (!this.#sorted.includes(batch) && !this.#added.includes(batch)) this.#added.push(batch);
  }

  delete(batch: PendingBatch): void {
    if (!this.#batches.delete(batch)) return;
    if (this.#sorted.length + this.#added.length <= this.#batches.size * 2 + FEW_DONE) return;
    const isOpen = (one: PendingBatch) => this.#batches.has(one);
    this.#added = this.#added.filter(isOpen);
    this.#sorted = this.#sorted.filter(isOpen);
    this.#reach = [];
    for (const one of this.#sorted) this.#reach.push(this.#furthest(this.#reach.length, one));
  }

  /** The places of an id, tracked or not; the batch that begins last comes first. */
  *find(id: MessageId): Generator<EntryPlace> {
    this.#sortAdded();
    const time = timeOf(id);
    for (let i = this.#after(id, time) - 1; i >= 0 && !endsBefore(this.#reach[i], id, time); i--) {
      const batch = this.#sorted[i];
      const index = !this.#batches.has(batch) || endsBefore(batch, id, time) ? -1 : batch.find(id);
      if (index >= 0) yield { batch, index };
    }
  }

  #sortAdded(): void {
    for (const batch of this.#added) {
      if (!this.#batches.has(batch)) continue;
      const at = this.#placeOf(batch);
      if (at === this.#sorted.length) {
        this.#sorted.push(batch);
        this.#reach.push(this.#furthest(at, batch));
        continue;
      }
      this.#sorted.splice(at, 0, batch);
      this.#reach.splice(at, 0, this.#furthest(at, batch));
      const { id, time } = batch.last;
      for (let i = at + 1; i < this.#reach.length && endsBefore(this.#reach[i], id, time); i++) this.#reach[i] = batch;
    }
    this.#added = [];
  }

  /** Where a batch belongs: mostly after all others. */
  #placeOf({ first }: PendingBatch): number {
    const last = this.#sorted.at(-1);
    if (last === undefined || endsBefore(last, first.id, first.time)) return this.#sorted.length;
    return this.#after(first.id, first.time);
  }

  /** Of a batch and the sorted ones before a place, the one with the highest last id. */
  #furthest(at: number, batch: PendingBatch): PendingBatch {
    if (at === 0) return batch;
    const before = this.#reach[at - 1];
    return endsBefore(before, batch.last.id, batch.last.time) ? batch : before;
  }

  /** How many sorted batches begin at an id or before it. */
  #after(id: MessageId, time: number): number {
    let [from, to] = [0, this.#sorted.length];
    while (from < to) {
      const middle = (from + to) >> 1;
      const { first } = this.#sorted[middle];
      if (first.time < time || (first.time === time && compareIds(first.id, id) <= 0)) from = middle + 1;
      else to = middle;
    }
    return from;
  }
}

/** Whether all of a batch is before an id. Times that differ decide alone, even if they are not exact. */
function endsBefore({ last }: PendingBatch, id: MessageId, time: number): boolean {
  return last.time < time || (last.time === time && compareIds(last.id, id) < 0);
}
