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
  /** How many of those were hurried by an election. */
  readonly hurried: number;
  /** A number from 0 to 1, drawn once for each refresh: the earliest of many draws would come too early. */
  readonly random: number;
}

/** Why the nodes are asked. */
export interface RefreshReason {
  /** The cluster has answered that it is down: few answers suffice, since the same has been asked not long ago. */
  readonly isDown?: boolean;
  /** A replica has become a primary. */
  readonly isElection?: boolean;
}

/** What a refresh was like. */
export interface RefreshOutcome {
  /** When it began, in milliseconds. */
  readonly began: number;
  readonly reason: RefreshReason;
  /** Whether the map has changed, by the refresh or while it ran. */
  readonly isChanged: boolean;
  /** A number from 0 to 1. */
  readonly random: number;
}

/**
 * Milliseconds from the start of the last refresh to the next one. After one refresh without a change the delay is the longest: 200
 * clients of a cluster that is down send fewer than 20 questions a second. An election is noticed by other means.
 */
export function refreshDelay(
  { unchanged, hurried, random }: Omit<RefreshHistory, "last">,
  { isElection }: RefreshReason,
): number {
  if (isElection && hurried < MOST_HURRIED) return REFRESH_AT_ONCE;
  return (unchanged === 0 ? REFRESH_SOON : REFRESH_LATER) * (1 + JITTER * (2 * random - 1));
}

/** When the next refresh is due, in the milliseconds of `now`. */
export function refreshDue(history: RefreshHistory, reason: RefreshReason, now: number): number {
  const { last } = history;
  return last === undefined ? now : Math.max(now, last + refreshDelay(history, reason));
}

/** The history after a refresh. The first one after a long time without any does not count as one that has changed nothing. */
export function afterRefresh(
  { last = -Infinity, unchanged, hurried }: RefreshHistory,
  { began, reason, isChanged, random }: RefreshOutcome,
): RefreshHistory {
  const isFirst = isChanged || began - last >= REFRESH_REGULAR / 2;
  return {
    last: began,
    unchanged: isFirst ? 0 : unchanged + 1,
    hurried: isChanged ? 0 : hurried + (reason.isElection ? 1 : 0),
    random,
  };
}
