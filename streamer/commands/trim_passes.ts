// Cutting a stream about somewhere, pass after pass: servers end each such cut early, after 100 times as many entries as their
// nodes hold. It must not know how a pass is made.

import { RedisError } from "../../resp/errors.ts";

/** A cut that is made in passes. */
export interface TrimPasses {
  /** Cuts; gives how many entries were removed. */
  pass(): Promise<number>;
  /** How many entries the stream has now. */
  length(): Promise<number>;
  /** How many entries stay, of those that are there now, at least. */
  readonly keep: number;
}

/** Where the length may not be asked for: when so many went at once, there may be more; fewer may have come since. */
const LARGE_PASS = 5_000;

/**
 * Cuts until nothing goes any more, or until as much went as was there after the first pass: what is added meanwhile keeps it no
 * longer. Gives how many entries were removed.
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
