// Copies the bodies out of a reply. Short bodies next to each other share one copy.

import type { RespReplyBytes } from "./frame.ts";
import { digits } from "../encoder.ts";
import { TYPE } from "../wire.ts";

const QUESTION = 0x3f;

/** From this length on, a body has memory of its own. */
const LONE = 4 * 1024;
/** Maximum bytes that neighbours share, which is what each of them can keep in memory. */
const SHARED = 16 * 1024;

/**
 * Copies a reply's bodies, in the order of its tape. Short neighbours are copied at once and returned as views that do not
 * overlap. Three bodies a message, copied one by one, took 1.4 µs on Deno, 0.65 on Node and 0.18 on Bun. In pieces of 16 KiB they
 * took 0.12, 0.12 and 0.22.
 */
export class RespBodies {
  readonly #reply: RespReplyBytes;
  #copy: Uint8Array = new Uint8Array(0);
  #from = 0; // the start and end of the copy in the reply's bytes
  #to = 0;

  constructor(reply: RespReplyBytes) {
    this.#reply = reply;
  }

  /** The body of the bulk string or chunk of announced length at index `at` of the tape. */
  take(at: number): Uint8Array {
    const { bytes, start, tape } = this.#reply;
    const length = tape[at + 1];
    const from = start + tape[at] + 3 + digits(length);
    if (length >= LONE) return bytes.slice(from, from + length);
    if (from < this.#from || from + length > this.#to) {
      this.#from = from;
      this.#to = this.#endOfShort(at, from + SHARED);
      this.#copy = bytes.slice(from, this.#to);
      if (this.#to === from + length) return this.#copy; // it has no short neighbours
    }
    const copy = this.#copy;
    return new Uint8Array(copy.buffer, copy.byteOffset + from - this.#from, length);
  }

  /** The end of the last short body in a row that starts at `first` and ends before `limit`. */
  #endOfShort(first: number, limit: number): number {
    const { bytes, start, tape, tapeLength } = this.#reply;
    let end = 0;
    for (let at = first; at < tapeLength; at += 2) {
      const header = start + tape[at];
      if (header >= limit) break;
      const length = tape[at + 1];
      const type = bytes[header];
      if ((type !== TYPE.bulk && type !== TYPE.chunk) || length < 0 || bytes[header + 1] === QUESTION) continue;
      const to = header + 3 + digits(length) + length;
      if (length >= LONE || to > limit) break;
      end = to;
    }
    return end;
  }
}
