// How often groups are asked for idle consumers, and how fast these are removed: pure decisions.

/** Consumers removed in one step. */
export const REMOVED_AT_ONCE = 200;

/** Share of the server's time that looking and removing may take: 25 milliseconds of a second. */
const SHARE = 0.025;

/** Milliseconds of the server's time for each consumer that is listed, and for each that is removed: 0.5 and 4.5 µs on Redis 7.0. */
const LISTING = 0.001;
const REMOVING = 0.006;

/** Longest time between two looks at a group, in milliseconds, if the node has few of them. */
const LONGEST_TURN = 600_000;

/** Milliseconds between two looks at groups of one node, if it has many. */
const NODE_PERIOD = 120_000;

/** Share of the time that may be spent in round trips: a slow one means that the server or the network is busy. */
const ROUND_TRIP_SHARE = 0.5;

/** Longest pause, in milliseconds. */
const LONGEST_PAUSE = 5_000;

/** What a step has cost. */
export interface ExpiryStep {
  /** Consumers that were listed. */
  readonly listed: number;
  /** Consumers that were looked at one by one, and removed. */
  readonly removed: number;
  /** Milliseconds until its answer was there. */
  readonly took: number;
}

/** Milliseconds to wait after a step. */
export function pauseAfter({ listed, removed, took }: ExpiryStep): number {
  const cost = listed * LISTING + removed * REMOVING;
  return Math.min(LONGEST_PAUSE, Math.max(cost / SHARE, took / ROUND_TRIP_SHARE));
}

/**
 * Milliseconds between two looks at groups: each has its turn within `expiry` milliseconds, and sooner as long as that costs little.
 * `nodes` is how many groups each node has.
 */
export function pauseBetween(expiry: number, nodes: readonly number[]): number {
  const all = nodes.reduce((sum, count) => sum + count, 0);
  const turn = Math.min(expiry, Math.max(LONGEST_TURN, Math.max(0, ...nodes) * NODE_PERIOD));
  return turn / Math.max(1, all);
}
