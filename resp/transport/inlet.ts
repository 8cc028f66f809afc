// The protected path from a socket to its sink: no call after the end, one end, and no exception into the socket's callbacks.

import type { TransportSink } from "./transport.ts";

/**
 * Connects an adapter with its sink. If the sink throws or returns an empty buffer, the transport ends with that cause, and the
 * adapter does not see the exception.
 */
export class Inlet {
  readonly #sink: TransportSink;
  readonly #release: () => void;
  #ended = false;

  /** `release` destroys the socket and settles a pending write. It is called once, before the sink's `closed`. */
  constructor(sink: TransportSink, release: () => void) {
    this.#sink = sink;
    this.#release = release;
  }

  /** Whether the transport has ended, or was cancelled before it was open. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Returns the buffer for the next bytes, or `undefined` after the end. */
  space(): Uint8Array | undefined {
    if (this.#ended) return undefined;
    try {
      const room = this.#sink.space();
      if (room.length > 0) return room;
      this.end(new RangeError("The buffer for received bytes is empty"));
    } catch (cause) {
      this.end(cause);
    }
    return undefined;
  }

  /** Reports that `count` bytes were written into the last buffer. */
  received(count: number): void {
    if (this.#ended) return;
    try {
      this.#sink.received(count);
    } catch (cause) {
      this.end(cause);
    }
  }

  /** Copies a chunk into as many buffers as it needs. */
  copy(chunk: Uint8Array): void {
    let from = 0;
    while (from < chunk.length) {
      const room = this.space();
      if (room === undefined) return;
      const count = Math.min(room.length, chunk.length - from);
      room.set(count === chunk.length ? chunk : chunk.subarray(from, from + count));
      from += count;
      this.received(count);
    }
  }

  /**
   * Ends the transport. The socket is destroyed when this returns. The sink's `closed` is called in a microtask, so never from within
   * its own `received` or the adapter's `write` and `close`. Only the first call has an effect.
   */
  end(cause: unknown): undefined {
    if (this.#ended) return;
    this.abandon();
    queueMicrotask(() => {
      try {
        this.#sink.closed(cause);
      } catch {
        // The transport has ended, whatever the exception of the sink is.
      }
    });
  }

  /** Ends without a call to the sink, for a socket that was never open. */
  abandon(): void {
    if (this.#ended) return;
    this.#ended = true;
    try {
      this.#release();
    } catch {
      // A socket that cannot be destroyed is destroyed already.
    }
  }
}
