// The slots that are being moved, as far as ASK redirects tell. No node tells when a slot has arrived, so the map is asked for meanwhile.

import type { Clock } from "../../../resp/connection/clock.ts";

/** Milliseconds after which the move of a slot was perhaps cancelled. */
const LONG_MOVE = 10 * 60_000;

/** Watches moves of slots. */
export class MigrationWatch {
  readonly #clock: Clock;
  readonly #slots = new Map<number, number>(); // with the times when their nodes last said so

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A node has redirected a command for this slot by ASK. */
  asked(slot: number): void {
    this.#slots.set(slot, this.#clock.now());
  }

  /** The slot has another owner. */
  arrived(slot: number): void {
    this.#slots.delete(slot);
  }

  /** Whether slots are being moved. */
  get isMoving(): boolean {
    const since = this.#clock.now() - LONG_MOVE;
    for (const [slot, time] of this.#slots) if (time < since) this.#slots.delete(slot);
    return this.#slots.size > 0;
  }
}
