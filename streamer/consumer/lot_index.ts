// The lots of one shard that are not done, and where among them an id stands. It must not know what becomes of them, nor what their
// states mean.

import { compareIds, type MessageId } from "../model/id.ts";
import { type Lot, timeOf } from "./lot.ts";

/** Lots that are done and may still stand in the index, beyond as many as are not. */
const FEW_DONE = 16;

/**
 * Lots, found by the ids that are in them. Adding and deleting cost the same however many there are: they are put in order when
 * an id is looked for, which most consumers never do. A look-up halves its way to the last lot that begins at the id or before
 * it, and goes back from there only over lots that reach as far as the id: few, since pages of new entries do not overlap.
 */
export class LotIndex {
  readonly #lots = new Set<Lot>();
  #added: Lot[] = []; // and not put in order yet
  #sorted: Lot[] = []; // by first id; some may be done
  #reach: Lot[] = []; // for each of them, the one of it and all before that reaches furthest

  /** How many there are. */
  get size(): number {
    return this.#lots.size;
  }

  /** All of them, in the order in which they came; deleting some meanwhile is harmless. */
  [Symbol.iterator](): IterableIterator<Lot> {
    return this.#lots.values();
  }

  add(lot: Lot): void {
    this.#lots.add(lot);
    this.#added.push(lot);
  }

  delete(lot: Lot): void {
    if (!this.#lots.delete(lot)) return;
    if (this.#sorted.length + this.#added.length <= this.#lots.size * 2 + FEW_DONE) return;
    const isOpen = (one: Lot) => this.#lots.has(one);
    this.#added = this.#added.filter(isOpen);
    this.#sorted = this.#sorted.filter(isOpen);
    this.#reach = [];
    for (const one of this.#sorted) this.#reach.push(this.#furthest(this.#reach.length, one));
  }

  /** Where an id stands in lots, whether it still is held there or not; the lot that begins last comes first. */
  *find(id: MessageId): Generator<{ readonly lot: Lot; readonly index: number }> {
    this.#putInOrder();
    const time = timeOf(id);
    for (let i = this.#after(id, time) - 1; i >= 0 && !endsBefore(this.#reach[i], id, time); i--) {
      const lot = this.#sorted[i];
      const index = !this.#lots.has(lot) || endsBefore(lot, id, time) ? -1 : lot.find(id);
      if (index >= 0) yield { lot, index };
    }
  }

  #putInOrder(): void {
    for (const lot of this.#added) {
      if (!this.#lots.has(lot)) continue;
      const at = this.#placeOf(lot);
      if (at === this.#sorted.length) {
        this.#sorted.push(lot);
        this.#reach.push(this.#furthest(at, lot));
        continue;
      }
      this.#sorted.splice(at, 0, lot);
      this.#reach.splice(at, 0, this.#furthest(at, lot));
      const { id, time } = lot.last;
      for (let i = at + 1; i < this.#reach.length && endsBefore(this.#reach[i], id, time); i++) this.#reach[i] = lot;
    }
    this.#added = [];
  }

  /** Where a lot belongs: mostly behind all others. */
  #placeOf({ first }: Lot): number {
    const last = this.#sorted.at(-1);
    if (last === undefined || endsBefore(last, first.id, first.time)) return this.#sorted.length;
    return this.#after(first.id, first.time);
  }

  /** Of a lot and those in order before a place, which reaches furthest. */
  #furthest(at: number, lot: Lot): Lot {
    if (at === 0) return lot;
    const before = this.#reach[at - 1];
    return endsBefore(before, lot.last.id, lot.last.time) ? lot : before;
  }

  /** How many of those in order begin at an id or before it. */
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

/** Whether all of a lot is before an id. Times tell that alone where they differ, also where they are not exact. */
function endsBefore({ last }: Lot, id: MessageId, time: number): boolean {
  return last.time < time || (last.time === time && compareIds(last.id, id) < 0);
}
