// Counts the bytes that a producer has accepted and not settled, and decides when it can accept more.

/**
 * Bytes counted for each message in addition to its bytes on the wire: the memory of its record, its places in the queues and a
 * promise for its receipt.
 */
export const MESSAGE_OVERHEAD = 256;

/** Counts messages against a high water mark and a limit. */
export class Budget {
  readonly #highWaterMark: number;
  readonly #maxBuffered: number;
  #buffered = 0;
  #ready: { readonly promise: Promise<void>; readonly resolve: () => void } | undefined;

  constructor({ highWaterMark, maxBuffered }: { readonly highWaterMark: number; readonly maxBuffered: number }) {
    this.#highWaterMark = highWaterMark;
    this.#maxBuffered = maxBuffered;
  }

  /** Bytes accepted and not settled, with the overhead of each message. */
  get buffered(): number {
    return this.#buffered;
  }

  /** The largest message, in bytes on the wire, that can be accepted now. Negative if none can. */
  get room(): number {
    return this.#maxBuffered - this.#buffered - MESSAGE_OVERHEAD;
  }

  /** Bytes below the mark. Negative above it. */
  get desiredSize(): number {
    return this.#highWaterMark - this.#buffered;
  }

  /** Resolves when `desiredSize` is above zero. */
  get ready(): Promise<void> {
    if (this.desiredSize > 0) return Promise.resolve();
    this.#ready ??= Promise.withResolvers<void>();
    return this.#ready.promise;
  }

  /** A message of so many bytes on the wire was accepted. */
  add(bytes: number): void {
    this.#buffered += bytes + MESSAGE_OVERHEAD;
  }

  /** A message of so many bytes on the wire was settled. */
  remove(bytes: number): void {
    this.#buffered -= bytes + MESSAGE_OVERHEAD;
    if (this.#ready === undefined || this.desiredSize <= 0) return;
    this.#ready.resolve();
    this.#ready = undefined;
  }
}
