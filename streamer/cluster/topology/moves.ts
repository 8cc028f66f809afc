// Which slots went from which node to which, since it was last reported.

import type { NodeName } from "../router.ts";
import { SLOTS } from "./slot.ts";
import type { Topology } from "./topology.ts";

/** Slots that went from one node to another. */
export interface SlotMove {
  /** Ranges of slots, first and last, in ascending order. */
  readonly slots: readonly (readonly [first: number, last: number])[];
  readonly from: NodeName;
  readonly to: NodeName;
}

/**
 * Compares the map with what was last reported. Redirects change it slot by slot, so that the moves of a whole failover are known only
 * after the next refresh.
 */
export class MoveReport {
  readonly #reported: (NodeName | undefined)[] = new Array(SLOTS).fill(undefined);

  /**
   * The moves since the last call: one for each pair of nodes. A slot that is without an owner for a while moves when it gets the next
   * one.
   */
  take(topology: Topology): readonly SlotMove[] {
    const moves = new Map<string, { slots: [number, number][]; from: NodeName; to: NodeName }>();
    for (let slot = 0; slot < SLOTS; slot++) {
      const from = this.#reported[slot];
      const to = topology.ownerOf(slot);
      if (to === undefined || from === to) continue;
      this.#reported[slot] = to;
      if (from === undefined) continue;
      const pair = `${from} ${to}`;
      const move = moves.get(pair) ?? { slots: [], from, to };
      moves.set(pair, move);
      extend(move.slots, slot);
    }
    return [...moves.values()];
  }
}

/** Adds a slot above all others to ascending ranges. */
function extend(ranges: [number, number][], slot: number): void {
  const last = ranges.at(-1);
  if (last !== undefined && last[1] === slot - 1) last[1] = slot;
  else ranges.push([slot, slot]);
}
