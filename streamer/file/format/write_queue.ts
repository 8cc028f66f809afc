// The bytes between the encoder and the disk: a queue of buffers that are filled, written in order, and reused.

/** Bytes of a buffer. */
export const BUFFER_BYTES = 256 * 1024;

/** Buffers that are kept for reuse. */
const KEPT = 8;

/** `length` bytes to write to the file. */
export interface WriteBuffer {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  length: number;
  next: WriteBuffer | undefined;
}

/** A queue of buffers, the last of which is being filled. */
export class WriteQueue {
  #first: WriteBuffer | undefined;
  #last: WriteBuffer | undefined;
  #free: WriteBuffer | undefined;
  #kept = 0;
  #buffered = 0;

  /** Bytes that were added and not released. */
  get buffered(): number {
    return this.#buffered;
  }

  /** Whether a buffer is complete: nothing more is added to it. */
  get hasFull(): boolean {
    const first = this.#first;
    return first !== undefined && (first !== this.#last || first.length === BUFFER_BYTES);
  }

  /** A buffer with space for this many bytes, at most {@linkcode BUFFER_BYTES}. The caller reports the bytes it wrote with {@linkcode fill}. */
  space(bytes: number): WriteBuffer {
    const last = this.#last;
    return last !== undefined && BUFFER_BYTES - last.length >= bytes ? last : this.#add();
  }

  /** Counts bytes that were written into a buffer. */
  fill(buffer: WriteBuffer, bytes: number): void {
    buffer.length += bytes;
    this.#buffered += bytes;
  }

  /** Copies bytes into as many buffers as necessary. */
  append(bytes: Uint8Array): void {
    for (let from = 0; from < bytes.length;) {
      const buffer = this.space(1);
      const count = Math.min(bytes.length - from, BUFFER_BYTES - buffer.length);
      buffer.bytes.set(count === bytes.length ? bytes : bytes.subarray(from, from + count), buffer.length);
      this.fill(buffer, count);
      from += count;
    }
  }

  /** Removes the oldest buffer, to which nothing is added from then on. */
  take(): WriteBuffer | undefined {
    const first = this.#first;
    if (first === undefined) return undefined;
    this.#first = first.next;
    if (first === this.#last) this.#last = undefined;
    first.next = undefined;
    return first;
  }

  /** Returns a buffer that was taken, for reuse. */
  release(buffer: WriteBuffer): void {
    this.#buffered -= buffer.length;
    if (this.#kept === KEPT) return;
    this.#kept++;
    buffer.length = 0;
    buffer.next = this.#free;
    this.#free = buffer;
  }

  /** Discards all bytes. */
  clear(): void {
    this.#first = this.#last = this.#free = undefined;
    this.#buffered = 0;
    this.#kept = 0;
  }

  #add(): WriteBuffer {
    let buffer = this.#free;
    if (buffer === undefined) {
      const bytes = new Uint8Array(BUFFER_BYTES);
      buffer = { bytes, view: new DataView(bytes.buffer), length: 0, next: undefined };
    } else {
      this.#free = buffer.next;
      this.#kept--;
      buffer.next = undefined;
    }
    if (this.#last === undefined) this.#first = buffer;
    else this.#last.next = buffer;
    return this.#last = buffer;
  }
}
