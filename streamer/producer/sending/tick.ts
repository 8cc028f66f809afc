// One tick of the event loop: its time, read once for all its sends, and a task for its end.

import type { Clock } from "../../../resp/connection/clock.ts";

/** Runs a task at the end of each tick in which it was scheduled. */
export class Tick {
  readonly #clock: Clock;
  readonly #run: () => void;
  #scheduled = false;
  #now = 0;
  #wall = 0;

  constructor(clock: Clock, run: () => void) {
    this.#clock = clock;
    this.#run = run;
  }

  /** The time of this tick in whole milliseconds. Schedules the task. */
  get now(): number {
    if (!this.#scheduled) this.#schedule();
    return this.#now;
  }

  /** The time of day of this tick, in milliseconds since 1970. It can be before that of an earlier tick. */
  get wall(): number {
    if (!this.#scheduled) this.#schedule();
    return this.#wall;
  }

  /** Whether the task is scheduled. */
  get scheduled(): boolean {
    return this.#scheduled;
  }

  /** Schedules the task. */
  schedule(): void {
    if (!this.#scheduled) this.#schedule();
  }

  #schedule(): void {
    this.#scheduled = true;
    this.#now = Math.floor(this.#clock.now());
    this.#wall = Date.now();
    queueMicrotask(() => {
      this.#scheduled = false;
      this.#run();
    });
  }
}
