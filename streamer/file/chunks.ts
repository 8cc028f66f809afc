// The bytes between the encoder and the disk: chunks that are filled, taken in their order, and used again.
// It must not know what the bytes mean.

/** Bytes of a chunk. */
export const CHUNK_BYTES = 256 * 1024;

/** Chunks kept for the next use. */
const KEPT = 8;

/** Some bytes to be written, `length` of them. */
export interface Chunk {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  length: number;
  next: Chunk | undefined;
}

/** A queue of chunks, the last of which is being filled. */
export class ChunkQueue {
  #first: Chunk | undefined;
  #last: Chunk | undefined;
  #free: Chunk | undefined;
  #kept = 0;
  #buffered = 0;

  /** Bytes that were put in and not released. */
  get buffered(): number {
    return this.#buffered;
  }

  /** Whether there is a chunk that nothing more goes into. */
  get hasFull(): boolean {
    const first = this.#first;
    return first !== undefined && (first !== this.#last || first.length === CHUNK_BYTES);
  }

  /** A chunk with this much room, at most a chunk's; the caller adds to its `length` with {@linkcode fill}. */
  room(bytes: number): Chunk {
    const last = this.#last;
    return last !== undefined && CHUNK_BYTES - last.length >= bytes ? last : this.#add();
  }

  /** Counts bytes that were put into a chunk. */
  fill(chunk: Chunk, bytes: number): void {
    chunk.length += bytes;
    this.#buffered += bytes;
  }

  /** Copies bytes in, over as many chunks as it takes. */
  append(bytes: Uint8Array): void {
    for (let from = 0; from < bytes.length;) {
      const chunk = this.room(1);
      const count = Math.min(bytes.length - from, CHUNK_BYTES - chunk.length);
      chunk.bytes.set(count === bytes.length ? bytes : bytes.subarray(from, from + count), chunk.length);
      this.fill(chunk, count);
      from += count;
    }
  }

  /** Takes the oldest chunk out; nothing is put into it from then on. */
  take(): Chunk | undefined {
    const first = this.#first;
    if (first === undefined) return undefined;
    this.#first = first.next;
    if (first === this.#last) this.#last = undefined;
    first.next = undefined;
    return first;
  }

  /** Gives a chunk that was taken out back. */
  release(chunk: Chunk): void {
    this.#buffered -= chunk.length;
    if (this.#kept === KEPT) return;
    this.#kept++;
    chunk.length = 0;
    chunk.next = this.#free;
    this.#free = chunk;
  }

  /** Throws away what is in it. */
  clear(): void {
    this.#first = this.#last = this.#free = undefined;
    this.#buffered = 0;
    this.#kept = 0;
  }

  #add(): Chunk {
    let chunk = this.#free;
    if (chunk === undefined) {
      const bytes = new Uint8Array(CHUNK_BYTES);
      chunk = { bytes, view: new DataView(bytes.buffer), length: 0, next: undefined };
    } else {
      this.#free = chunk.next;
      this.#kept--;
      chunk.next = undefined;
    }
    if (this.#last === undefined) this.#first = chunk;
    else this.#last.next = chunk;
    return this.#last = chunk;
  }
}
