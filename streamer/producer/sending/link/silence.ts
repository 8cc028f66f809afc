// Notices that a server sends nothing although it has to answer, long before its connection counts as lost.

import type { Clock, Timer } from "../../../../resp/connection/clock.ts";
import type { Pipeline } from "../../../../resp/connection/pipeline/pipeline.ts";

/** Milliseconds without any bytes, twice in a row, after which a server is silent. Once may be a pause of this process. */
const SILENCE = 500;

/** Watches one connection after another. It is one timer, which is set again only when it expires. */
export class SilenceWatch {
  readonly #clock: Clock;
  readonly #onSilent: () => void;
  #timer: Timer | undefined;
  #quiet = 0; // how often in a row the timer expired without any bytes

  /** `onSilent` is called again and again while the server is silent. */
  constructor(clock: Clock, onSilent: () => void) {
    this.#clock = clock;
    this.#onSilent = onSilent;
  }

  /** Whether the server is silent. */
  get isSilent(): boolean {
    return this.#quiet > 1;
  }

  /** Watches while commands are in flight. Has no effect while it watches. */
  watch(pipeline: Pipeline): void {
    if (this.#timer === undefined) this.#wait(pipeline);
  }

  /** The server has sent something. */
  heard(): void {
    this.#quiet = 0;
  }

  /** Stops watching. A second call does nothing. */
  stop(): void {
    this.#timer?.stop();
    this.#timer = undefined;
    this.#quiet = 0;
  }

  #wait(pipeline: Pipeline): void {
    const { received } = pipeline;
    this.#timer = this.#clock.after(SILENCE, () => {
      this.#timer = undefined;
      const isWaiting = pipeline.inFlight > 0;
      this.#quiet = isWaiting && pipeline.received === received ? this.#quiet + 1 : 0;
      if (isWaiting) this.#wait(pipeline);
      if (this.isSilent) this.#onSilent();
    });
  }
}
