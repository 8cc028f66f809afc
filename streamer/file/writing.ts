// Brings chunks to the file: when, in which order, and what is told to those who wait. It must not know what is in them.

import type { Chunk, ChunkQueue } from "./chunks.ts";
import { type FileError, refused } from "./error.ts";
import type { FilePort } from "./port.ts";

/** Milliseconds after which what does not fill a chunk is written, too. */
const DELAY = 2;

/** What it works with. */
export interface FileWritingOptions {
  readonly port: FilePort;
  readonly path: string;
  /** Where in the file the first byte goes. */
  readonly offset: number;
  /** Bytes that may be buffered without anybody waiting. */
  readonly highWaterMark: number;
}

interface Waiter {
  readonly until: number;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** Writes one file from one point on. */
export class FileWriting {
  readonly #out: ChunkQueue;
  readonly #options: FileWritingOptions;
  #written: number; // up to which byte of the file
  #urgent: number; // up to which byte it is to be written now
  #running: Promise<void> | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #room: PromiseWithResolvers<void> | undefined;
  #waiters: Waiter[] = []; // in the order of `until`
  #failure: FileError | undefined;

  constructor(out: ChunkQueue, options: FileWritingOptions) {
    this.#out = out;
    this.#options = options;
    this.#written = this.#urgent = options.offset;
  }

  /** What the system refused; nothing is written any more then. */
  get failure(): FileError | undefined {
    return this.#failure;
  }

  /** Something was added, up to this byte of the file. Gives a promise of room where too much is buffered. */
  more(until: number): Promise<void> | undefined {
    const isFull = this.#out.buffered > this.#options.highWaterMark;
    if (isFull) this.#urgent = until;
    if (isFull || this.#out.hasFull) this.#start();
    else if (this.#running === undefined) this.#later();
    if (!isFull) return undefined;
    if (this.#room === undefined) {
      this.#room = Promise.withResolvers<void>();
      this.#room.promise.catch(() => {}); // whoever does not wait for it is told by the next call
    }
    return this.#room.promise;
  }

  /** Resolves when all up to this byte of the file is written; with `sync`, when it is on the disk. */
  async flush(until: number, sync: boolean): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#written < until) {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      this.#waiters.push({ until, resolve, reject });
      this.#urgent = until;
      this.#start();
      await promise;
    }
    if (!sync) return;
    try {
      await this.#options.port.sync();
    } catch (cause) {
      this.#fail(cause);
    }
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Gives the file back; what is not written is thrown away. */
  async close(): Promise<void> {
    await this.#running;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#out.clear();
    try {
      await this.#options.port.close();
    } catch (cause) {
      this.#fail(cause);
    }
    if (this.#failure !== undefined) throw this.#failure;
  }

  #expedite(): void {
    this.#timer = undefined;
    this.#urgent = this.#written + this.#out.buffered;
    this.#start();
  }

  #start(): void {
    if (this.#running !== undefined || this.#failure !== undefined || !this.#isDue) return;
    this.#running = this.#run(); // it writes, so that it does not end before this is set
  }

  get #isDue(): boolean {
    return this.#out.buffered > 0 && (this.#out.hasFull || this.#written < this.#urgent);
  }

  async #run(): Promise<void> {
    try {
      for (let chunk; this.#isDue && (chunk = this.#out.take()) !== undefined;) {
        await this.#write(chunk);
        if (this.#failure !== undefined) break; // of a flush to the disk
        this.#out.release(chunk);
        this.#settle();
      }
    } catch (cause) {
      this.#fail(cause);
    }
    this.#running = undefined;
    // What came meanwhile and fills no chunk.
    if (this.#failure === undefined && this.#out.buffered > 0) {
      this.#later();
    }
  }

  #later(): void {
    this.#timer ??= setTimeout(() => this.#expedite(), DELAY);
  }

  async #write({ bytes, length }: Chunk): Promise<void> {
    for (let from = 0; from < length;) {
      const count = await this.#options.port.write(bytes.subarray(from, length), this.#written);
      if (count <= 0) throw new Error("no byte was taken");
      from += count;
      this.#written += count;
    }
  }

  #settle(): void {
    let done = 0;
    while (done < this.#waiters.length && this.#waiters[done].until <= this.#written) this.#waiters[done++].resolve();
    if (done > 0) this.#waiters.splice(0, done);
    if (this.#out.buffered > this.#options.highWaterMark) return;
    this.#room?.resolve();
    this.#room = undefined;
  }

  #fail(cause: unknown): void {
    this.#failure ??= refused(this.#options.path, "write", cause);
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#out.clear();
    for (const { reject } of this.#waiters) reject(this.#failure);
    this.#waiters = [];
    this.#room?.reject(this.#failure);
    this.#room = undefined;
  }
}
