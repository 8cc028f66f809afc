// Who is waiting for which sends: the sends of one handle between two flushes are counted together. It must not know
// how a message is sent.

import { StreamerError } from "../../resp/errors.ts";

/** Sends of one handle that were accepted between two calls of flush. */
export interface Batch {
  readonly handle: SendLedger;
  /** Sends not settled yet. */
  unsettled: number;
}

/** Most reasons of unseen failures that are kept, so that one can be told as the cause. */
const MAX_REASONS = 100;

interface Flush {
  readonly batch: Batch;
  readonly done: () => void;
}

/** Keeps count of one handle's sends, and of the failures nobody has seen. */
export class SendLedger {
  #open: Batch = { handle: this, unsettled: 0 };
  #flushes: Flush[] = []; // oldest first
  #unseen = 0;
  #telling = 0; // how often failures have been told: those of before are no longer counted
  readonly #reasons = new Map<object, unknown>(); // of the first that are unseen, oldest first

  /** The batch that a send accepted now belongs to. */
  get batch(): Batch {
    return this.#open;
  }

  /** Whether any send is not settled. */
  get pending(): boolean {
    return this.#open.unsettled > 0 || this.#flushes.length > 0;
  }

  /** A send of this batch was settled. */
  settled(batch: Batch): void {
    if (--batch.unsettled === 0 && this.#flushes.length > 0) this.#advance();
  }

  /** A failure that nobody awaits; gives a mark by which it can be taken back. */
  unseen(send: object, reason: unknown): number {
    this.#unseen++;
    if (this.#reasons.size < MAX_REASONS) this.#reasons.set(send, reason);
    return this.#telling;
  }

  /** Somebody has looked at a failure after all. */
  seen(send: object, mark: number): void {
    if (mark !== this.#telling) return;
    this.#unseen--;
    this.#reasons.delete(send);
  }

  /**
   * Resolves when every send accepted before is settled.
   *
   * @throws {StreamerError} `SEND_FAILED` where some had failed unseen; the count then starts again.
   */
  async flush(signal?: AbortSignal): Promise<void> {
    await this.settle(signal);
    const failure = this.take();
    if (failure !== undefined) throw failure;
  }

  /** Resolves when every send accepted before is settled, however it went. */
  async settle(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    if (this.pending) await this.#wait(signal);
  }

  /** The failures nobody has seen since the last time, as one error, if there were any. */
  take(): StreamerError | undefined {
    const count = this.#unseen;
    const [cause] = this.#reasons.values();
    this.#unseen = 0;
    this.#reasons.clear();
    this.#telling++;
    if (count === 0) return undefined;
    const sends = count === 1 ? "1 send has" : `${count} sends have`;
    return new StreamerError("SEND_FAILED", `${sends} failed, the first of them with the cause of this error`, {
      cause,
      count,
    });
  }

  #wait(signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const abort = () => {
        this.#flushes = this.#flushes.filter((other) => other !== flush || other.batch.unsettled > 0);
        reject(signal?.reason);
      };
      const done = () => {
        signal?.removeEventListener("abort", abort);
        resolve();
      };
      const flush: Flush = { batch: this.#open, done };
      this.#flushes.push(flush);
      this.#open = { handle: this, unsettled: 0 };
      signal?.addEventListener("abort", abort, { once: true });
      this.#advance();
    });
  }

  /** Flushes are done in their order: a later one also waits for what an earlier one waits for. */
  #advance(): void {
    let done = 0;
    while (done < this.#flushes.length && this.#flushes[done].batch.unsettled === 0) done++;
    for (const flush of this.#flushes.splice(0, done)) flush.done();
  }
}
