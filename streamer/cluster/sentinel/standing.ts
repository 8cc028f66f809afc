// In which order Sentinels are asked: first those whose answers were of use. Pure.

/** What came of asking a Sentinel the last time. */
export interface Standing {
  /**
   * - `answered`: it has named the primary.
   * - `unasked`: it has not been asked yet.
   * - `doubted`: it has named a server that could not be reached, or is not the primary. Others may know better.
   * - `failed`: it did not answer, or does not know the name.
   */
  readonly kind: "answered" | "unasked" | "doubted" | "failed";
  /** A number that grows with each change of any Sentinel. */
  readonly at: number;
}

/** The standing of a Sentinel that has not been asked yet. */
export const UNASKED: Standing = Object.freeze({ kind: "unasked", at: 0 });

const RANKS = ["answered", "unasked", "doubted", "failed"] as const;

/**
 * Sentinels in the order in which they are asked: the one that answered last first. Of those that were doubted or have failed, the one for
 * which that is longest ago comes first, so that each has its turn.
 */
export function askingOrder<T extends { readonly standing: Standing }>(sentinels: readonly T[]): T[] {
  return sentinels.toSorted((a, b) => {
    const rank = RANKS.indexOf(a.standing.kind) - RANKS.indexOf(b.standing.kind);
    if (rank !== 0) return rank;
    return a.standing.kind === "answered" ? b.standing.at - a.standing.at : a.standing.at - b.standing.at;
  });
}
