// A first-in, first-out queue in a ring buffer that only grows, so that a steady flow through it creates no garbage.

const FIRST_CAPACITY = 16;
/** An empty ring that is larger than this is released. */
const KEPT_CAPACITY = 128 * 1024;

/** First in, first out. Every operation takes constant time on average. */
export class Queue<T> {
  #ring: (T | undefined)[] = emptyRing(FIRST_CAPACITY);
  #mask = FIRST_CAPACITY - 1;
  #head = 0;
  #length = 0;

  /** The number of items. */
  get length(): number {
    return this.#length;
  }

  /** Adds an item at the end. */
  push(entry: T): void {
    if (this.#length > this.#mask) this.#grow();
    this.#ring[(this.#head + this.#length++) & this.#mask] = entry;
  }

  /** Returns the first item without removing it, or `undefined`. */
  peek(): T | undefined {
    return this.#ring[this.#head];
  }

  /** Removes and returns the first item, or `undefined`. */
  shift(): T | undefined {
    if (this.#length === 0) return undefined;
    const entry = this.#ring[this.#head];
    this.#ring[this.#head] = undefined;
    this.#head = (this.#head + 1) & this.#mask;
    if (--this.#length === 0 && this.#mask >= KEPT_CAPACITY) this.#reset();
    return entry;
  }

  /** Removes and returns all items. */
  drain(): T[] {
    const all: T[] = [];
    for (let entry = this.shift(); entry !== undefined; entry = this.shift()) all.push(entry);
    return all;
  }

  #grow(): void {
    const ring = emptyRing<T>(this.#ring.length * 2);
    for (let i = 0; i < this.#length; i++) ring[i] = this.#ring[(this.#head + i) & this.#mask];
    this.#ring = ring;
    this.#mask = ring.length - 1;
    this.#head = 0;
  }

  #reset(): void {
    this.#ring = emptyRing(FIRST_CAPACITY);
    this.#mask = FIRST_CAPACITY - 1;
    this.#head = 0;
  }
}

/** Filled at once, so that the array keeps its storage. */
function emptyRing<T>(capacity: number): (T | undefined)[] {
  return new Array<T | undefined>(capacity).fill(undefined);
}
