// A queue of records. Records that are settled while they are queued are removed before the queue doubles.

import { Queue } from "../../../resp/connection/pipeline/queue.ts";

/** A record that can be settled while it is queued. */
export interface Settling {
  readonly settled: boolean;
}

/** A shorter queue is not swept. */
const SWEEP_FROM = 4096;

/** First in, first out. Amortized constant time, and at most twice the memory of the records that are not settled. */
export class RecordQueue<R extends Settling> {
  #queue = new Queue<R>();
  #sweepAt = SWEEP_FROM;

  /** The number of queued records, including settled ones. */
  get length(): number {
    return this.#queue.length;
  }

  /** Appends a record. */
  push(record: R): void {
    if (this.#queue.length >= this.#sweepAt) this.#sweep();
    this.#queue.push(record);
  }

  /** The first record, which stays in the queue, or `undefined`. */
  peek(): R | undefined {
    return this.#queue.peek();
  }

  /** Removes the first record and returns it, or `undefined`. */
  shift(): R | undefined {
    return this.#queue.shift();
  }

  /** Removes all records and returns them. */
  drain(): R[] {
    return this.#queue.drain();
  }

  #sweep(): void {
    for (const record of this.#queue.drain()) if (!record.settled) this.#queue.push(record);
    this.#sweepAt = Math.max(SWEEP_FROM, this.#queue.length * 2);
  }
}
