// Waiting for a while, which a signal, or the end of what is waited with, ends. It must not know what is waited for.

/** Waits for a while, for any number of those who wait; owns their timers. */
export class Pause {
  readonly #wakers = new Set<() => void>();
  #ended = false;
  #wakings = 0;

  /** How often all were woken: to be asked before the look at what there is to wait for. */
  get wakings(): number {
    return this.#wakings;
  }

  /** Resolves after these milliseconds, or when woken since `wakings` was asked; rejects with the signal's reason. */
  async for(milliseconds: number, wakings: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    if (this.#ended || wakings !== this.#wakings) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const wake = () => resolve();
    const timer = setTimeout(wake, milliseconds);
    this.#wakers.add(wake);
    signal?.addEventListener("abort", wake);
    try {
      await promise;
    } finally {
      clearTimeout(timer);
      this.#wakers.delete(wake);
      signal?.removeEventListener("abort", wake);
    }
    signal?.throwIfAborted();
  }

  /** Ends the waiting of all who wait now. */
  wake(): void {
    this.#wakings++;
    for (const waker of this.#wakers) waker();
  }

  /** Ends all waiting, for good. */
  end(): void {
    this.#ended = true;
    this.wake();
  }
}
