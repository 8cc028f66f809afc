// The slots that are being moved, as far as ASK redirects tell. No node tells when a slot has arrived, so the map is asked for meanwhile.

import type { Clock } from "../../../resp/connection/clock.ts";
import type { NodeName } from "../router.ts";

/** Milliseconds after which the move of a slot was perhaps cancelled. */
const LONG_MOVE = 10 * 60_000;

/** A slot that is being moved. */
interface Move {
  /** When a node last said so. */
  readonly time: number;
  /** The node to which it is moved. */
  readonly to: NodeName;
}

/** Watches moves of slots. */
export class MigrationWatch {
  readonly #clock: Clock;
  readonly #moves = new Map<number, Move>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A node has redirected a command for this slot by ASK. */
  asked(slot: number, to: NodeName): void {
    this.#moves.set(slot, { time: this.#clock.now(), to });
  }

  /** The slot has another owner. */
  arrived(slot: number): void {
    this.#moves.delete(slot);
  }

  /** Whether slots are being moved. */
  get isMoving(): boolean {
    const since = this.#clock.now() - LONG_MOVE;
    for (const [slot, { time }] of this.#moves) if (time < since) this.#moves.delete(slot);
    return this.#moves.size > 0;
  }

  /** The slots that are being moved to a node. */
  to(node: NodeName): readonly number[] {
    return [...this.#moves].filter(([, move]) => move.to === node).map(([slot]) => slot);
  }
}
