// Iterates over items that arrive in pages. Items of the current page are returned without a wait. Leaving the loop aborts the
// pending read.

/** Returns values page by page. */
export interface PageSource<T> {
  /** The next value of the current page, if any. */
  take(): T | undefined;
  /** Resolves with true when there is another value, with false at the end. Only after {@linkcode take} returned `undefined`. */
  more(): Promise<boolean>;
  /** Aborts a read in progress: {@linkcode more} rejects. A second call does nothing. */
  close(): void;
}

/** Iterates over a source and closes it at the end, on a failure, or on `return()`. Overlapping calls settle in their order. */
export class PageIterator<T> implements AsyncIterableIterator<T> {
  readonly #source: PageSource<T>;
  #waiting: Promise<unknown> | undefined; // the last call that has not settled yet
  #done = false;

  constructor(source: PageSource<T>) {
    this.#source = source;
  }

  next(): Promise<IteratorResult<T, undefined>> {
    if (this.#waiting === undefined) {
      const value = this.#done ? undefined : this.#source.take();
      if (value !== undefined) return Promise.resolve({ value, done: false });
      if (this.#done) return Promise.resolve({ value: undefined, done: true });
    }
    const result = this.#after(this.#waiting);
    const waiting = result.then(() => {}, () => {}).then(() => {
      if (this.#waiting === waiting) this.#waiting = undefined;
    });
    this.#waiting = waiting;
    return result;
  }

  /** Leaves the loop without waiting for a page in progress. */
  return(): Promise<IteratorResult<T, undefined>> {
    this.#finish();
    return Promise.resolve({ value: undefined, done: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async #after(before: Promise<unknown> | undefined): Promise<IteratorResult<T, undefined>> {
    await before;
    try {
      for (;;) {
        const value = this.#done ? undefined : this.#source.take();
        if (value !== undefined) return { value, done: false };
        if (this.#done || !(await this.#source.more())) return await this.return();
      }
    } catch (error) {
      if (this.#done) return { value: undefined, done: true }; // it was left
      this.#finish();
      throw error;
    }
  }

  #finish(): void {
    if (this.#done) return;
    this.#done = true;
    this.#source.close();
  }
}
