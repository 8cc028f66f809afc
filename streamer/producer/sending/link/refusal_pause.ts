// The pauses of a link whose server refuses all messages for the time being, for example because its cluster is down.

import type { Clock, Timer } from "../../../../resp/connection/clock.ts";
import { type ReconnectOptions, refusalDelay } from "../../../../resp/connection/reconnect/backoff.ts";

/** Pauses that grow while the refusals last. */
export class RefusalPause {
  readonly #clock: Clock;
  readonly #reconnect: Required<ReconnectOptions>;
  readonly #onOver: () => void;
  #since: number | undefined; // the time of the first refusal
  #timer: Timer | undefined;

  /** `onOver` is called after each pause. */
  constructor(clock: Clock, reconnect: Required<ReconnectOptions>, onOver: () => void) {
    this.#clock = clock;
    this.#reconnect = reconnect;
    this.#onOver = onOver;
  }

  /** Whether nothing may be written now. */
  get isOn(): boolean {
    return this.#timer !== undefined;
  }

  /** The server has refused a message. */
  refused(): void {
    const clock = this.#clock;
    const now = clock.now();
    this.#since ??= now;
    this.#timer ??= clock.after(refusalDelay(this.#reconnect, now - this.#since, clock.random()), () => {
      this.#timer = undefined;
      this.#onOver();
    });
  }

  /** The server has accepted a message, or has refused it for another reason. */
  accepted(): void {
    if (this.#since === undefined) return;
    this.#since = undefined;
    if (this.#timer === undefined) return;
    this.stop();
    this.#onOver();
  }

  /** Ends a pause without a call. A second call does nothing. */
  stop(): void {
    this.#timer?.stop();
    this.#timer = undefined;
  }
}
