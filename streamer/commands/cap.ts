// A limit on a request size, adapted to failures: it drops at once and rises slowly. Pure decisions.

/** Calm rounds after which more is tried; each time that goes wrong doubles them. */
const CALM = 64;
const MOST_CALM = 64 * CALM;

/** A bound, and what it rests on. */
export interface Cap {
  /** The most that is tried. */
  readonly cap: number;
  /** Rounds at the bound since it changed. */
  readonly calm: number;
  /** Rounds at the bound after which more is tried. */
  readonly patience: number;
  /** Whether the present bound is such a trial. */
  readonly trial: boolean;
}

/** A bound that was never met. */
export function firstCap(most: number): Cap {
  return { cap: most, calm: 0, patience: CALM, trial: false };
}

/** So much is the most that is tried now. Where that was but a trial, the next one is farther away. */
export function lowerCap({ patience, trial }: Cap, cap: number): Cap {
  return { cap, calm: 0, patience: trial ? Math.min(patience * 2, MOST_CALM) : patience, trial: false };
}

/** A round that went well; only one that used the bound to the full counts. After enough of them twice as much may be tried. */
export function calmCap({ cap, calm, patience, trial }: Cap, { full, most }: { full: boolean; most: number }): Cap {
  if (!full || cap >= most) return { cap, calm, patience, trial };
  if (calm + 1 < patience) return { cap, calm: calm + 1, patience, trial };
  return { cap: Math.min(most, cap * 2), calm: 0, patience: trial ? CALM : patience, trial: true };
}
