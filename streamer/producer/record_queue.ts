// A queue of records in which those settled meanwhile do not pile up: they are swept out before it doubles. It must not
// know why a record is settled, nor what it waits for.

import { Queue } from "../../resp/connection/queue.ts";

/** What can be settled while it waits. */
export interface Settling {
  readonly settled: boolean;
}

/** Below this many entries nothing is swept. */
const SWEEP_FROM = 4096;

/** First in, first out; constant time on average, and no more than twice the memory of what is not settled. */
export class RecordQueue<R extends Settling> {
  #queue = new Queue<R>();
  #sweepAt = SWEEP_FROM;

  /** How many wait, settled ones among them. */
  get length(): number {
    return this.#queue.length;
  }

  /** Puts one at the end. */
  push(record: R): void {
    if (this.#queue.length >= this.#sweepAt) this.#sweep();
    this.#queue.push(record);
  }

  /** The first, which stays, or `undefined`. */
  peek(): R | undefined {
    return this.#queue.peek();
  }

  /** Takes the first, or gives `undefined`. */
  shift(): R | undefined {
    return this.#queue.shift();
  }

  /** Takes all. */
  drain(): R[] {
    return this.#queue.drain();
  }

  #sweep(): void {
    for (const record of this.#queue.drain()) if (!record.settled) this.#queue.push(record);
    this.#sweepAt = Math.max(SWEEP_FROM, this.#queue.length * 2);
  }
}
