// When to try a lost server again: pure decisions. It must not know who carries them out.

/** How often and how long to try again. */
export interface ReconnectOptions {
  /** Milliseconds before the first try, and the least between two. @default {50} */
  readonly initialDelay?: number;
  /** Most milliseconds between two tries. @default {2000} */
  readonly maxDelay?: number;
  /** Tries after which to give up. @default {Infinity} */
  readonly maxAttempts?: number;
}

/** Most tries within any second, whatever the delays allow. */
export const MAX_TRIES_A_SECOND = 10;

const SECOND = 1000;
const OUTAGE_SHARE = 0.1;
const JITTER = 0.2;

/**
 * Milliseconds until the next try: a tenth of the outage so far, within the bounds, give or take a fifth.
 * `random` is a number from 0 to 1.
 */
export function reconnectDelay(options: Required<ReconnectOptions>, outage: number, random: number): number {
  const delay = Math.min(options.maxDelay, Math.max(options.initialDelay, outage * OUTAGE_SHARE));
  return delay * (1 + JITTER * (2 * random - 1));
}

/** Milliseconds until one more try keeps within {@linkcode MAX_TRIES_A_SECOND}; `tries` are the times of the last ones, oldest first. */
export function throttle(tries: readonly number[], now: number): number {
  const oldest = tries.at(-MAX_TRIES_A_SECOND);
  return oldest === undefined ? 0 : Math.max(0, oldest + SECOND - now);
}
