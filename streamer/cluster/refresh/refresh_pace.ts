// When the nodes of a cluster are asked for their view of it. Pure decisions.

/** Minimum milliseconds between two refreshes. */
export const REFRESH_SOON = 1_000;
/** Milliseconds between refreshes while nothing changes. */
export const REFRESH_LATER = 15_000;
/** Milliseconds between refreshes without a reason. */
export const REFRESH_REGULAR = 60_000;
/** Minimum milliseconds between refreshes for an election that was noticed. */
const REFRESH_AT_ONCE = 250;
/** Refreshes in a row, without any change, that an election may hurry. */
const MOST_HURRIED = 4;
/** Share by which a delay differs at random. */
const JITTER = 0.5;

/** What the refreshes before have found. */
export interface RefreshHistory {
  /** When the last one began, in milliseconds; `undefined` before the first. */
  readonly last: number | undefined;
  /** How many in a row have changed nothing. */
  readonly unchanged: number;
}

/** Why the nodes are asked. */
export interface RefreshReason {
  /** The cluster has answered that it is down: another view will help only after an election. */
  readonly isDown?: boolean;
  /** A replica has become a primary. */
  readonly isElection?: boolean;
}

/** Milliseconds from the start of the last refresh to the next one. `random` is a number from 0 to 1. */
export function refreshDelay(unchanged: number, { isDown, isElection }: RefreshReason, random: number): number {
  if (isElection && unchanged < MOST_HURRIED) return REFRESH_AT_ONCE;
  const growing = isDown ? REFRESH_LATER : REFRESH_SOON * 5 ** Math.min(unchanged - 1, 8);
  const delay = unchanged === 0 ? REFRESH_SOON : Math.min(REFRESH_LATER, growing);
  return delay * (1 + JITTER * (2 * random - 1));
}

/** When the next refresh is due, in the milliseconds of `now`. */
export function refreshDue(
  { last, unchanged }: RefreshHistory,
  reason: RefreshReason,
  { now, random }: { readonly now: number; readonly random: number },
): number {
  return last === undefined ? now : Math.max(now, last + refreshDelay(unchanged, reason, random));
}
