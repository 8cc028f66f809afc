// Writes buffers to the file in order, and settles the promises of waiting writers.

import type { WriteBuffer, WriteQueue } from "../format/write_queue.ts";
import { type FileError, refused } from "../error.ts";
import type { FilePort } from "./port.ts";

/** Milliseconds until an incomplete buffer is written. */
const DELAY = 2;

/** Options of {@linkcode FileWriting}. */
export interface FileWritingOptions {
  readonly port: FilePort;
  readonly path: string;
  /** The byte offset of the first byte. */
  readonly offset: number;
  /** The number of buffered bytes from which writers have to wait. */
  readonly highWaterMark: number;
}

interface Waiter {
  readonly until: number;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** Writes one file from a byte offset. */
export class FileWriting {
  readonly #out: WriteQueue;
  readonly #options: FileWritingOptions;
  #written: number; // the byte offset until which everything is written
  #urgent: number; // the byte offset until which writing must not wait for a full buffer
  #running: Promise<void> | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #space: PromiseWithResolvers<void> | undefined;
  #waiters: Waiter[] = []; // in the order of `until`
  #failure: FileError | undefined;

  constructor(out: WriteQueue, options: FileWritingOptions) {
    this.#out = out;
    this.#options = options;
    this.#written = this.#urgent = options.offset;
  }

  /** The system failure after which nothing is written. */
  get failure(): FileError | undefined {
    return this.#failure;
  }

  /** Bytes were added until this byte offset. Returns a promise of free space if too many bytes are buffered. */
  more(until: number): Promise<void> | undefined {
    const isFull = this.#out.buffered > this.#options.highWaterMark;
    if (isFull) this.#urgent = until;
    if (isFull || this.#out.hasFull) this.#start();
    else if (this.#running === undefined) this.#later();
    if (!isFull) return undefined;
    if (this.#space === undefined) {
      this.#space = Promise.withResolvers<void>();
      this.#space.promise.catch(() => {}); // a caller that does not wait gets the error from the next call
    }
    return this.#space.promise;
  }

  /** Resolves once everything until this byte offset is written; with `sync`, once it is on the disk. */
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

  /** Closes the file; unwritten bytes are discarded. */
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
    this.#running = this.#run(); // it starts with a write, so it cannot end before this is set
  }

  get #isDue(): boolean {
    return this.#out.buffered > 0 && (this.#out.hasFull || this.#written < this.#urgent);
  }

  async #run(): Promise<void> {
    try {
      for (let buffer; this.#isDue && (buffer = this.#out.take()) !== undefined;) {
        await this.#write(buffer);
        if (this.#failure !== undefined) break; // a flush to the disk has failed
        this.#out.release(buffer);
        this.#settle();
      }
    } catch (cause) {
      this.#fail(cause);
    }
    this.#running = undefined;
    // Bytes were added meanwhile, fewer than a buffer.
    if (this.#failure === undefined && this.#out.buffered > 0) {
      this.#later();
    }
  }

  #later(): void {
    this.#timer ??= setTimeout(() => this.#expedite(), DELAY);
  }

  async #write({ bytes, length }: WriteBuffer): Promise<void> {
    for (let from = 0; from < length;) {
      const count = await this.#options.port.write(bytes.subarray(from, length), this.#written);
      if (count <= 0) throw new Error("no byte was written");
      from += count;
      this.#written += count;
    }
  }

  #settle(): void {
    let done = 0;
    while (done < this.#waiters.length && this.#waiters[done].until <= this.#written) this.#waiters[done++].resolve();
    if (done > 0) this.#waiters.splice(0, done);
    if (this.#out.buffered > this.#options.highWaterMark) return;
    this.#space?.resolve();
    this.#space = undefined;
  }

  #fail(cause: unknown): void {
    this.#failure ??= refused(this.#options.path, "write", cause);
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#out.clear();
    for (const { reject } of this.#waiters) reject(this.#failure);
    this.#waiters = [];
    this.#space?.reject(this.#failure);
    this.#space = undefined;
  }
}
