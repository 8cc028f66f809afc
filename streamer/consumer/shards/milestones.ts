// Ids that were read 1, 2, 4, 8 … entries ago: where reading can resume if a failover has lost the last entries of a stream.

import { compareIds, type MessageId } from "../../model/id.ts";

/** Entries that were read, in order. */
export interface ReadEntries {
  readonly count: number;
  readonly idAt: (index: number) => MessageId;
}

interface Milestone {
  readonly id: MessageId;
  /** How many entries had been read with this one. */
  readonly at: number;
}

/** How far back milestones are kept, in entries. */
const FARTHEST = 2 ** 20;
/** Milestones that are collected before superfluous ones are dropped: at most 40 are left. */
const MOST = 64;

/**
 * The milestones of one shard. If `t` entries are lost, the highest one that is left was read at most `2t` entries ago, so at most `t`
 * entries are read twice.
 */
export class Milestones {
  #milestones: Milestone[] = []; // ascending
  #read = 0; // entries so far

  /** The ids, the latest first. */
  get latestFirst(): MessageId[] {
    return this.#milestones.map(({ id }) => id).reverse();
  }

  /** These entries were read. */
  add({ count, idAt }: ReadEntries): void {
    for (const age of agesIn(count)) this.#milestones.push({ id: idAt(count - 1 - age), at: this.#read + count - age });
    this.#read += count;
    if (this.#milestones.length <= MOST) return;
    const ages = this.#milestones.map(({ at }) => this.#read - at).reverse();
    const last = this.#milestones.length - 1;
    this.#milestones = neededAges(ages).map((i) => this.#milestones[last - i]).reverse();
  }

  /** Reading continues after this id: later ones have not been read. */
  dropAfter(position: MessageId): void {
    while (this.#milestones.length > 0 && compareIds(this.#milestones[this.#milestones.length - 1].id, position) > 0) {
      this.#milestones.pop();
    }
  }
}

/** How long ago the milestones of a page with so many entries were read, in entries, the earliest first: …, 4, 2, 1, 0. */
function agesIn(count: number): number[] {
  const ages: number[] = count > 0 ? [0] : [];
  for (let age = 1; age < count; age *= 2) ages.push(age);
  return ages.reverse();
}

/** Which of these ages are needed so that each is at most twice the one before. `ages` ascend from 0; the result are indices. */
export function neededAges(ages: readonly number[]): number[] {
  const needed = [0];
  for (let i = 0; i < ages.length - 1 && ages[i] < FARTHEST;) {
    let next = i + 1;
    while (next + 1 < ages.length && ages[next + 1] <= Math.max(1, 2 * ages[i])) next++;
    needed.push(i = next);
  }
  return needed;
}
