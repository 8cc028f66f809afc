// This machine's time in nanoseconds, as digits in the ids of entries. Every time is later than the previous one, and is read when
// the entry is written, since a server refuses an id that is not greater than the last one.

/** The placeholder of a time in nanoseconds: 19 digits, the length of every time from 2001 to 2286. */
export const UNSTAMPED = "0000000000000000000";

const TIES = 1_000_000;
const ZERO = 48;

/** Writes ascending times. */
export class NanosecondClock {
  #millisecond = 0;
  #tie = 0;

  /** Overwrites the 19 digits at index `at` with the next time. */
  stamp(bytes: Uint8Array, at: number): void {
    const now = Date.now();
    if (now > this.#millisecond) {
      this.#millisecond = now;
      this.#tie = 0;
    } else if (++this.#tie === TIES) {
      this.#millisecond++;
      this.#tie = 0;
    }
    let rest = this.#tie;
    for (let i = at + 18; i > at + 12; i--) {
      bytes[i] = ZERO + rest % 10;
      rest = Math.floor(rest / 10);
    }
    rest = this.#millisecond;
    for (let i = at + 12; i >= at; i--) {
      bytes[i] = ZERO + rest % 10;
      rest = Math.floor(rest / 10);
    }
  }
}
