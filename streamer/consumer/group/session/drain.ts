// Waits at the end of a consumer until the program has settled the messages that it has, or until a limit.

import type { Clock, Timer } from "../../../../resp/connection/clock.ts";

/** A drain in progress. */
interface Waiting {
  readonly done: PromiseWithResolvers<void>;
  until: number;
  timer: Timer;
}

/** Waits once. {@linkcode check} is called whenever fewer messages may be in flight. */
export class Drain {
  readonly #clock: Clock;
  readonly #isDrained: () => boolean;
  #waiting: Waiting | undefined;

  /** `isDrained` says whether no message is in flight. */
  constructor(clock: Clock, isDrained: () => boolean) {
    this.#clock = clock;
    this.#isDrained = isDrained;
  }

  /** Whether the drain is in progress: messages can still be settled. */
  get isActive(): boolean {
    return this.#waiting !== undefined;
  }

  /** Resolves when no message is in flight, or after so many milliseconds. */
  async wait(limit: number): Promise<void> {
    if (limit <= 0 || this.#isDrained()) return;
    const done = Promise.withResolvers<void>();
    const timer = this.#clock.after(limit, () => this.#finish());
    this.#waiting = { done, until: this.#clock.now() + limit, timer };
    await done.promise;
  }

  /** A drain in progress lasts at most so many milliseconds from now. */
  shorten(limit: number): void {
    const waiting = this.#waiting;
    if (waiting === undefined) return;
    if (limit <= 0) return this.#finish();
    const until = this.#clock.now() + limit;
    if (until >= waiting.until) return;
    waiting.timer.stop();
    waiting.until = until;
    waiting.timer = this.#clock.after(limit, () => this.#finish());
  }

  /** A message was settled: the drain may be over. */
  check(): void {
    if (this.#waiting !== undefined && this.#isDrained()) this.#finish();
  }

  #finish(): void {
    this.#waiting?.timer.stop();
    this.#waiting?.done.resolve();
    this.#waiting = undefined;
  }
}
