// Takes some items of a list at a time, so that each has its turn.

/** Whose turn it is. The list may change from time to time. */
export class Turns {
  #next = 0;

  /** The next items in turn, at most this many. */
  take<T>(items: readonly T[], most: number): readonly T[] {
    if (items.length <= most) return items;
    const from = this.#next % items.length;
    this.#next = (from + most) % items.length;
    return [...items.slice(from), ...items.slice(0, from)].slice(0, most);
  }
}
