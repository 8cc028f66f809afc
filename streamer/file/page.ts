// The part of a file that is in memory: one page, new for each stretch of the file since messages are views of it.
// It must not know what the bytes mean.

import { viewOf } from "./layout.ts";

/** Bytes of a page, unless a message is larger. */
export const PAGE_BYTES = 256 * 1024;

/** Bytes of a file from `base` to before `end`. */
export class Page {
  bytes: Uint8Array = new Uint8Array(0);
  view: DataView = viewOf(this.bytes);
  /** The byte of the file that `bytes` begins with. */
  base = 0;
  /** How many bytes are there. */
  length = 0;
  /** Whether a view of it was given away: then what is there is never written again. */
  lent = false;

  /** The first byte of the file that is not there. */
  get end(): number {
    return this.base + this.length;
  }

  /** Whether a byte of the file is there, or is the next to be read. */
  reaches(position: number): boolean {
    return position >= this.base && position <= this.end;
  }

  /** Makes room behind what is there from `position` on, so that `bytes` from there on fit; what is before is let go. */
  turn(position: number, bytes: number): void {
    const keep = this.reaches(position) ? this.end - position : 0;
    const from = keep === 0 ? 0 : position - this.base;
    if (!this.lent && bytes <= this.bytes.length) this.bytes.copyWithin(0, from, from + keep);
    else {
      const next = new Uint8Array(Math.max(PAGE_BYTES, bytes));
      next.set(this.bytes.subarray(from, from + keep));
      this.bytes = next;
      this.view = viewOf(next);
      this.lent = false;
    }
    this.base = position;
    this.length = keep;
  }

  /** Becomes a page of the usual size again, from `position` on. */
  shrink(position: number): void {
    const from = position - this.base;
    const keep = Math.max(0, Math.min(this.length - from, PAGE_BYTES));
    const next = new Uint8Array(keep === 0 ? 0 : PAGE_BYTES);
    next.set(this.bytes.subarray(from, from + keep));
    this.bytes = next;
    this.view = viewOf(next);
    this.lent = false;
    this.base = position;
    this.length = keep;
  }

  /** Forgets what is there, to be read again from `position` on. */
  drop(position: number): void {
    this.length = 0;
    this.base = position;
    if (this.lent) this.turn(position, 0);
  }
}
