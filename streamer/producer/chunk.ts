// The buffers that encoded messages live in from `send` until they are settled: written from, and on a resend written
// from again. It must not know what the bytes say.

/** Bytes of an ordinary chunk; a larger message gets one of its own size. 16–64 KiB a write was fastest. */
export const CHUNK_BYTES = 64 * 1024;

/** Most chunks kept for reuse: as many as the default high water mark fills. */
const MAX_SPARE = 256;

/** One buffer, filled from its beginning. */
export interface Chunk {
  readonly bytes: Uint8Array;
  /** Bytes in use. */
  length: number;
  /** Messages in it that are not settled. */
  unsettled: number;
  /** Whether it may be filled anew once all is settled: not if a dead socket might still read it. */
  reusable: boolean;
}

/** Gives chunks and takes them back. */
export class ChunkPool {
  #spare: Chunk[] = [];
  #open: Chunk | undefined;

  /** A chunk with this much room behind its length; it may be the one given last. */
  withRoom(room: number): Chunk {
    const open = this.#open;
    if (open !== undefined && open.bytes.length - open.length >= room) return open;
    if (room > CHUNK_BYTES) return newChunk(room);
    this.#open = this.#spare.pop() ?? newChunk(CHUNK_BYTES);
    if (open !== undefined && open.unsettled === 0) this.#recycle(open);
    return this.#open;
  }

  /** One message in the chunk is settled. */
  settled(chunk: Chunk): void {
    if (--chunk.unsettled === 0 && chunk !== this.#open) this.#recycle(chunk);
  }

  #recycle(chunk: Chunk): void {
    if (!chunk.reusable || chunk.bytes.length !== CHUNK_BYTES || this.#spare.length >= MAX_SPARE) return;
    chunk.length = 0;
    this.#spare.push(chunk);
  }
}

function newChunk(size: number): Chunk {
  return { bytes: new Uint8Array(size), length: 0, unsettled: 0, reusable: true };
}
