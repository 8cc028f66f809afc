// The part of a file in memory: one page, which is replaced by a new one once messages are views of it.

import { viewOf } from "./layout.ts";

/** Bytes of a page, unless a message is larger. */
export const PAGE_BYTES = 256 * 1024;

/** The bytes of a file from `base` to before `end`. */
export class Page {
  bytes: Uint8Array = new Uint8Array(0);
  view: DataView = viewOf(this.bytes);
  /** The byte offset of the first byte. */
  base = 0;
  /** The number of bytes. */
  length = 0;
  /** Whether a message is a view of the page: then its bytes are never overwritten. */
  lent = false;

  /** The byte offset after the last byte. */
  get end(): number {
    return this.base + this.length;
  }

  /** Whether a byte offset is in the page, or directly after it. */
  reaches(position: number): boolean {
    return position >= this.base && position <= this.end;
  }

  /** Makes space so that `bytes` from `position` fit. Bytes before `position` are discarded. */
  makeSpace(position: number, bytes: number): void {
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

  /** Returns to the usual size, starting at `position`. */
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

  /** Discards all bytes, to read them again from `position`. */
  drop(position: number): void {
    this.length = 0;
    this.base = position;
    if (this.lent) this.makeSpace(position, 0);
  }
}
