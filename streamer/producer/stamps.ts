// This machine's time in nanoseconds, as digits in the ids of entries: each later than the one before, and as late as the
// writing itself, since a server takes no id that is not above the last one. It must not know whose ids they are.

import type { TimestampFormat } from "../model/id.ts";

/** What a time of nanoseconds looks like before it is known: 19 digits, as many as any time from 2001 to 2286 has. */
export const UNSTAMPED = "0000000000000000000";

const TIES = 1_000_000;
const ZERO = 48;

/** Gives times that rise. */
export class Stamps {
  #millisecond = 0;
  #tie = 0;

  /** Writes the next time over 19 digits at `at`. */
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

/** The id of an entry whose time the library chooses: the server's own in milliseconds, else one to be stamped. */
export function freshId(format: TimestampFormat): string {
  return format === "milliseconds" ? "*" : `${UNSTAMPED}-*`;
}
