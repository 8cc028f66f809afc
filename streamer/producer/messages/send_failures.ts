// The sends of one handle that are not settled, counted from flush to flush, and its failures that the program has not seen.

import { StreamerError } from "../../../resp/errors.ts";

/** The sends of one handle between two calls of `flush`. */
export interface FlushScope {
  readonly handle: SendFailures;
  /** The number of sends that are not settled. */
  unsettled: number;
}

/** Most kept reasons of unseen failures. One of them becomes the cause of the error. */
const MAX_REASONS = 100;

interface Flush {
  readonly scope: FlushScope;
  readonly done: () => void;
}

/** Counts one handle's sends, and its failures that the program has not seen. */
export class SendFailures {
  #open: FlushScope = { handle: this, unsettled: 0 };
  #flushes: Flush[] = []; // oldest first
  #unseen = 0;
  #reports = 0; // the number of reports: failures before the last one are no longer counted
  readonly #reasons = new Map<object, unknown>(); // of the first unseen failures, oldest first

  /** The flush scope of new sends. */
  get scope(): FlushScope {
    return this.#open;
  }

  /** Whether a send is not settled. */
  get pending(): boolean {
    return this.#open.unsettled > 0 || this.#flushes.length > 0;
  }

  /** Call this when a send of this flush scope is settled. */
  settled(scope: FlushScope): void {
    if (--scope.unsettled === 0 && this.#flushes.length > 0) this.#advance();
  }

  /** Counts a failure that is not awaited. Returns a mark for {@linkcode seen}. */
  unseen(send: object, reason: unknown): number {
    this.#unseen++;
    if (this.#reasons.size < MAX_REASONS) this.#reasons.set(send, reason);
    return this.#reports;
  }

  /** No longer counts a failure: the program awaited it after all. */
  seen(send: object, mark: number): void {
    if (mark !== this.#reports) return;
    this.#unseen--;
    this.#reasons.delete(send);
  }

  /**
   * Resolves when all earlier sends are settled.
   *
   * @throws {StreamerError} `SEND_FAILED` if sends failed unseen. The count then restarts.
   */
  async flush(signal?: AbortSignal): Promise<void> {
    await this.settle(signal);
    const failure = this.take();
    if (failure !== undefined) throw failure;
  }

  /** Resolves when all earlier sends are settled, also if they failed. */
  async settle(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    if (this.pending) await this.#wait(signal);
  }

  /** Returns the unseen failures since the last call as one error, or `undefined`. */
  take(): StreamerError | undefined {
    const count = this.#unseen;
    const [cause] = this.#reasons.values();
    this.#unseen = 0;
    this.#reasons.clear();
    this.#reports++;
    if (count === 0) return undefined;
    const sends = count === 1
      ? "1 send failed. See its cause"
      : `${count} sends failed. See the cause of the first one`;
    return new StreamerError("SEND_FAILED", sends, { cause, count });
  }

  #wait(signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const abort = () => {
        this.#flushes = this.#flushes.filter((other) => other !== flush || other.scope.unsettled > 0);
        reject(signal?.reason);
      };
      const done = () => {
        signal?.removeEventListener("abort", abort);
        resolve();
      };
      const flush: Flush = { scope: this.#open, done };
      this.#flushes.push(flush);
      this.#open = { handle: this, unsettled: 0 };
      signal?.addEventListener("abort", abort, { once: true });
      this.#advance();
    });
  }

  /** Flushes resolve in their order: a later one also waits for the sends of an earlier one. */
  #advance(): void {
    let done = 0;
    while (done < this.#flushes.length && this.#flushes[done].scope.unsettled === 0) done++;
    for (const flush of this.#flushes.splice(0, done)) flush.done();
  }
}
