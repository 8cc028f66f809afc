// Decides which writes show that the other side receives bytes. Only these show that the connection works.

import type { Clock, Timer } from "../clock.ts";

/**
 * If a write is pending for this many milliseconds, the system's buffer is full: when it completes, the other side has received bytes.
 * A write that completes sooner shows nothing, since a lost connection has space in the system's buffer, too.
 */
const FULL = 50;
/** The same for short timeouts, as a part of them. */
const FULL_SHARE = 1 / 40;
/** Turns of the event loop after which a write counts as pending, since this process may have been busy. */
const FULL_LOOKS = 2;
/** No system buffers this many bytes, so the other side must have received some of them. */
const BEYOND_BUFFERS = 4 * 1024 * 1024;

/** The writes of one connection, at most one of them pending. */
export class WriteWatch {
  readonly #clock: Clock;
  readonly #patience: number;
  #bytes = 0; // since the last progress
  #serial = 0; // of the last write that did not complete at once
  #waited = 0; // the serial of the last write that was pending
  #pending = false;
  #timer: Timer | undefined;

  /** `timeout`: milliseconds of silence after which the connection counts as lost. */
  constructor(timeout: number, clock: Clock) {
    this.#clock = clock;
    this.#patience = Math.min(FULL, timeout * FULL_SHARE);
  }

  /** Bytes were passed to the transport. Returns whether the other side must have received some. */
  wrote(bytes: number): boolean {
    this.#bytes += bytes;
    return this.#bytes >= BEYOND_BUFFERS;
  }

  /** The last write did not complete at once. On Deno, and with TLS, no write does, so one timer serves many. */
  waits(): void {
    this.#pending = true;
    this.#serial++;
    this.#timer ??= this.#look(this.#serial, FULL_LOOKS, this.#patience);
  }

  /** The pending write has completed. Returns whether the buffer was full. */
  taken(): boolean {
    this.#pending = false;
    return this.#waited === this.#serial;
  }

  /** The server has sent or received bytes. */
  alive(): void {
    this.#bytes = 0;
  }

  /** Stops the timer. */
  stop(): void {
    this.#pending = false;
    this.#timer?.stop();
    this.#timer = undefined;
  }

  #look(write: number, looks: number, delay: number): Timer {
    return this.#clock.after(delay, () => {
      this.#timer = undefined;
      if (!this.#pending) return;
      if (this.#serial !== write) this.#timer = this.#look(this.#serial, FULL_LOOKS, this.#patience);
      else if (looks === 0) this.#waited = write;
      else this.#timer = this.#look(write, looks - 1, 0);
    });
  }
}
