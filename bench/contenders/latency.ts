// The clock of end-to-end runs: the time when each message was sent, and when it arrived.

import type { Job, Sample } from "./contend.ts";

/** Records when the numbered messages of one process leave and arrive. */
export class Stopwatch {
  readonly #job: Job;
  readonly #isOrdered: boolean;
  readonly #sent: Float64Array;
  readonly #waits: number[] = [];

  /** `isOrdered`: whether messages arrive in the order of the sends. Those of different shards do not. */
  constructor(job: Job, { isOrdered = true }: { readonly isOrdered?: boolean } = {}) {
    this.#job = job;
    this.#isOrdered = isOrdered;
    this.#sent = new Float64Array(job.messages);
  }

  get arrived(): number {
    return this.#waits.length;
  }

  get done(): boolean {
    return this.#waits.length >= this.#job.messages;
  }

  /** Starts the clock of message `index` and returns its payload: the number, padded to the size of a payload. */
  payload(index: number): string {
    this.#sent[index] = performance.now();
    return String(index).padEnd(this.#job.payload.length);
  }

  /** Stops the clock of the message with that payload. Each message arrives once. */
  arrive(payload: string): void {
    const now = performance.now();
    const index = Number(payload);
    if (this.#isOrdered && index !== this.#waits.length) {
      throw new Error(`Message ${this.#waits.length} was awaited and "${payload}" came`);
    }
    if (!(this.#sent[index] > 0)) throw new Error(`"${payload}" came twice, or was not sent`);
    this.#waits.push((now - this.#sent[index]) * 1_000);
    this.#sent[index] = 0;
  }

  /** Percentiles in microseconds; the first fifth is warm-up. */
  sample(): Partial<Sample> {
    const waits = this.#waits.slice(this.#waits.length / 5).sort((a, b) => a - b);
    return { p50: waits[Math.floor(waits.length / 2)], p99: waits[Math.floor(waits.length * 0.99)] };
  }
}
