// The wait between two reads of a file that is followed. It ends early when woken, or by a signal.

import { systemClock } from "../../resp/connection/clock.ts";
import { abortable } from "../model/abortable.ts";

/** Waits for any number of callers; owns their timers. */
export class PollWait {
  readonly #wakers = new Set<() => void>();
  #ended = false;
  #wakings = 0;

  /** How often all callers were woken. Read it before the file, and pass it to {@linkcode PollWait.for}. */
  get wakings(): number {
    return this.#wakings;
  }

  /** Resolves after these milliseconds, or if woken since `wakings` was read; rejects with the signal's reason. */
  async for(milliseconds: number, wakings: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    if (this.#ended || wakings !== this.#wakings) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = systemClock.after(milliseconds, resolve);
    this.#wakers.add(resolve);
    try {
      await abortable(promise, signal);
    } finally {
      timer.stop();
      this.#wakers.delete(resolve);
    }
  }

  /** Ends the wait of all current callers. */
  wake(): void {
    this.#wakings++;
    for (const waker of this.#wakers) waker();
  }

  /** Ends all waits, including later ones. */
  end(): void {
    this.#ended = true;
    this.wake();
  }
}
