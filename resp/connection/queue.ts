// A first-in, first-out queue whose every operation takes constant time on average. It must not know what waits in it.

/** Below this many taken entries the storage is not tidied. */
const TIDY_FROM = 1024;

/** First in, first out. */
export class Queue<T> {
  #entries: (T | undefined)[] = [];
  #head = 0;

  /** How many wait. */
  get length(): number {
    return this.#entries.length - this.#head;
  }

  /** Puts one at the end. */
  push(entry: T): void {
    this.#entries.push(entry);
  }

  /** The first, which stays, or `undefined`. */
  peek(): T | undefined {
    return this.#entries[this.#head];
  }

  /** Takes the first, or gives `undefined`. */
  shift(): T | undefined {
    if (this.#head === this.#entries.length) return undefined;
    const entry = this.#entries[this.#head];
    this.#entries[this.#head++] = undefined;
    if (this.#head === this.#entries.length) {
      this.#entries.length = 0;
      this.#head = 0;
    } else if (this.#head >= TIDY_FROM && this.#head * 2 >= this.#entries.length) {
      this.#entries.copyWithin(0, this.#head);
      this.#entries.length -= this.#head;
      this.#head = 0;
    }
    return entry;
  }

  /** Takes all. */
  drain(): T[] {
    const rest: T[] = [];
    for (let i = this.#head; i < this.#entries.length; i++) {
      const entry = this.#entries[i];
      if (entry !== undefined) rest.push(entry);
    }
    this.#entries = [];
    this.#head = 0;
    return rest;
  }
}
