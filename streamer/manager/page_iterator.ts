// A loop over what comes in pages: what is there is handed out without waiting, and leaving the loop ends what is under way. It
// must not know what the pages hold.

/** What gives values page by page. */
export interface PageSource<T> {
  /** The next value that is there. */
  take(): T | undefined;
  /** Resolves when there is one, with false when there will be none any more. Only while {@linkcode take} gives none. */
  more(): Promise<boolean>;
  /** Gives up what is under way: {@linkcode more} rejects. Twice is harmless. */
  close(): void;
}

/** Iterates over a source, which it closes when it is done, fails, or is left. Calls that overlap are answered in their order. */
export class PageIterator<T> implements AsyncIterableIterator<T> {
  readonly #source: PageSource<T>;
  #waiting: Promise<unknown> | undefined; // the last call that is not answered yet
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

  /** Leaves the loop: a page that is under way is not waited for. */
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
