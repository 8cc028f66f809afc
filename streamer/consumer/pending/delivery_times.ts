// When entries were delivered to the program, for consumers whose messages are acknowledged by time.

import { Queue } from "../../../resp/connection/pipeline/queue.ts";
import type { PendingBatch } from "./pending_batch.ts";

/** Consecutive entries of one batch that were delivered at the same time. */
export interface DeliveredRange {
  readonly batch: PendingBatch;
  readonly from: number;
  to: number;
  readonly at: number;
}

/** Delivered entries, oldest first. */
export class DeliveryTimes {
  readonly #ranges = new Queue<DeliveredRange>();
  #last: DeliveredRange | undefined;

  /** When the oldest of these entries was delivered. */
  get oldest(): number | undefined {
    return this.#ranges.peek()?.at;
  }

  /** Notes that an entry is delivered. */
  add(batch: PendingBatch, index: number, now: number): void {
    const last = this.#last;
    if (last?.batch === batch && last.at === now) last.to = index + 1;
    else this.#ranges.push(this.#last = { batch, from: index, to: index + 1, at: now });
  }

  /** Removes the oldest range and returns it, if it was delivered at that time or before. */
  takeUntil(until: number): DeliveredRange | undefined {
    const oldest = this.#ranges.peek();
    if (oldest === undefined || oldest.at > until) return undefined;
    this.#ranges.shift();
    if (oldest === this.#last) this.#last = undefined;
    return oldest;
  }
}
