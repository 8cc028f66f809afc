// How many slots of a node are read over connections of their own where changes cannot be watched, and how often others are polled: pure
// decisions.

/** Most connections of one consumer to one node that read one slot each, blocking. */
export const MOST_CONNECTIONS = 16;
/** Quiet shards that are read with each heartbeat, in turn. */
export const HEARTBEAT_LOOKS = 2;
/** Milliseconds between two rounds of polling while entries arrive, and at most. */
const SHORTEST_POLL = 5;
const LONGEST_POLL = 100;

/** Milliseconds until the next round of polling. `last` is the previous delay, if there was one. */
export function pollDelay(last: number | undefined, hasBrought: boolean): number {
  return hasBrought || last === undefined ? SHORTEST_POLL : Math.min(LONGEST_POLL, last * 2);
}

/** The slots of one node that have connections of their own, in the order in which they got them. */
export class OwnConnections {
  readonly #slots = new Set<number>();

  /** Whether a slot has a connection of its own. It gets one while any are left. */
  admits(slot: number): boolean {
    if (this.#slots.size < MOST_CONNECTIONS) this.#slots.add(slot);
    return this.#slots.has(slot);
  }

  /** Only these slots of the node are read. The connections of others are free. */
  keep(slots: ReadonlySet<number>): void {
    for (const slot of this.#slots) if (!slots.has(slot)) this.#slots.delete(slot);
  }
}
