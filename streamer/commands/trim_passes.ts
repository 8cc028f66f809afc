// Repeats an approximate trim until it removes nothing more. A server ends each pass early, after 100 times as many entries
// as one of its nodes has.

import { RedisError } from "../../resp/errors.ts";

/** A trim in several passes. */
export interface TrimPasses {
  /** Trims once; returns how many entries were removed. */
  pass(): Promise<number>;
  /** How many entries the stream has now. */
  length(): Promise<number>;
  /** How many entries stay, of those that are there now, at least. */
  readonly keep: number;
}

/** Without permission for XLEN: if so many were removed at once, there may be more; fewer may have been added since. */
const LARGE_PASS = 5_000;

/**
 * Trims until a pass removes nothing, or until as many entries are removed as there were after the first pass. Entries that are
 * added meanwhile do not prolong it. Returns how many entries were removed.
 */
export async function trimInPasses(passes: TrimPasses): Promise<number> {
  let removed = await passes.pass();
  let sum = removed;
  if (removed === 0) return sum;
  const left = await passes.length().catch((error) => {
    if (error instanceof RedisError) return undefined;
    throw error;
  });
  const most = left === undefined ? Infinity : sum + left - passes.keep;
  const least = left === undefined ? LARGE_PASS : 1;
  while (removed >= least && sum < most) {
    removed = await passes.pass();
    sum += removed;
  }
  return sum;
}
