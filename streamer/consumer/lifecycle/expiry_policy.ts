// How fast idle consumers are removed: pure decisions.

/** Consumers removed in one step. */
export const REMOVED_AT_ONCE = 200;

/** Share of the server's time that looking and removing may take: 25 milliseconds of a second. */
const SHARE = 0.025;

/** Milliseconds of the server's time for each consumer that is listed, and for each that is removed: 0.5 and 4.5 µs on Redis 7.0. */
const LISTING = 0.001;
const REMOVING = 0.006;

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
