// The guarded way from a socket into its sink: no call after the end, one end, no exception back to the socket.
// It must not know any runtime's socket.

import type { TransportSink } from "./transport.ts";

/**
 * Stands between one adapter and its sink. A sink that throws, or gives no room, ends the transport with what it
 * threw; the exception goes no further.
 */
export class Inlet {
  readonly #sink: TransportSink;
  readonly #release: () => void;
  #ended = false;

  /** `release` destroys the socket and settles a pending write; called once, before the sink hears of the end. */
  constructor(sink: TransportSink, release: () => void) {
    this.#sink = sink;
    this.#release = release;
  }

  /** Whether the transport has ended, or was given up before it was open. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Room for the next bytes; `undefined` when there is no reading any more. */
  space(): Uint8Array | undefined {
    if (this.#ended) return undefined;
    try {
      const room = this.#sink.space();
      if (room.length > 0) return room;
      this.end(
        new RangeError("Cannot read into the room given as it must be at least one byte long: current value is 0"),
      );
    } catch (cause) {
      this.end(cause);
    }
    return undefined;
  }

  /** Tells that `count` bytes stand in the room given last. */
  received(count: number): void {
    if (this.#ended) return;
    try {
      this.#sink.received(count);
    } catch (cause) {
      this.end(cause);
    }
  }

  /** Copies a chunk that lies elsewhere into as many rooms as it takes. */
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
   * Ends the transport: the socket is gone when this returns, the sink hears of it in a microtask, so that it is
   * never called from within its own `received` or the adapter's `write` and `close`. Only the first call counts.
   */
  end(cause: unknown): undefined {
    if (this.#ended) return;
    this.abandon();
    queueMicrotask(() => {
      try {
        this.#sink.closed(cause);
      } catch {
        // A sink has nobody to throw to: whatever it failed at, this transport is over.
      }
    });
  }

  /** Ends without a word to the sink: for a socket that never became a transport. */
  abandon(): void {
    if (this.#ended) return;
    this.#ended = true;
    try {
      this.#release();
    } catch {
      // A socket that cannot be destroyed is one already.
    }
  }
}
