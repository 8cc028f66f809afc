// The buffers of encoded messages. A message stays in its buffer until it is settled, so that it can be sent again from there,
// also over another connection.

/** Bytes of a chunk. A larger message gets a chunk of its own size. Writes of 16 to 64 KiB were fastest. */
export const CHUNK_BYTES = 64 * 1024;

/** Most chunks kept for reuse by one link: 16 MiB. */
const MAX_SPARE = 256;

/** One buffer, filled from its start. */
export interface Chunk {
  /** The pool that the chunk returns to. Another link may have written its messages. */
  readonly pool: ChunkPool;
  readonly bytes: Uint8Array;
  /** Bytes in use. */
  length: number;
  /** Messages in this chunk that are not settled. */
  unsettled: number;
  /** Whether the chunk can be reused once all its messages are settled. False if a lost socket may still read from it. */
  reusable: boolean;
}

/** The chunks of one link. Adjacent messages are written together, so all messages of a chunk go to the same node. */
export class ChunkPool {
  #spare: Chunk[] = [];
  #open: Chunk | undefined;

  /** A chunk with so many free bytes after its length. It can be the same as last time. */
  withRoom(room: number): Chunk {
    const open = this.#open;
    if (open !== undefined && open.bytes.length - open.length >= room) return open;
    if (room > CHUNK_BYTES) return newChunk(this, room);
    this.#open = this.#spare.pop() ?? newChunk(this, CHUNK_BYTES);
    if (open !== undefined && open.unsettled === 0) this.#recycle(open);
    return this.#open;
  }

  /** One message of the chunk was settled. */
  settled(chunk: Chunk): void {
    if (--chunk.unsettled === 0 && chunk !== this.#open) this.#recycle(chunk);
  }

  #recycle(chunk: Chunk): void {
    if (!chunk.reusable || chunk.bytes.length !== CHUNK_BYTES || this.#spare.length >= MAX_SPARE) return;
    chunk.length = 0;
    this.#spare.push(chunk);
  }
}

function newChunk(pool: ChunkPool, size: number): Chunk {
  return { pool, bytes: new Uint8Array(size), length: 0, unsettled: 0, reusable: true };
}
