// When to try a lost server again. Pure decisions.

/**
 * Delays and number of reconnect attempts.
 *
 * The delay is a tenth of the outage so far, between `initialDelay` and `maxDelay`, and randomly changed by up to 20 %. All
 * connections to a node together try at most ten times a second.
 *
 * @category Connecting
 */
export interface ReconnectOptions {
  /** Milliseconds before the first attempt, and the minimum between two attempts. @default {50} */
  readonly initialDelay?: number;
  /** Maximum milliseconds between two attempts. @default {2000} */
  readonly maxDelay?: number;
  /** Number of attempts after which waiting calls reject with `DISCONNECTED`. @default {Infinity} */
  readonly maxAttempts?: number;
}

/** Maximum number of attempts within any second. */
export const MAX_TRIES_A_SECOND = 10;

const SECOND = 1000;
const OUTAGE_SHARE = 0.1;
const JITTER = 0.2;

/**
 * Milliseconds until the next attempt: a tenth of the outage so far, within the bounds, plus or minus up to 20 %. `random` is a number
 * from 0 to 1.
 */
export function reconnectDelay(options: Required<ReconnectOptions>, outage: number, random: number): number {
  const delay = Math.min(options.maxDelay, Math.max(options.initialDelay, outage * OUTAGE_SHARE));
  return delay * (1 + JITTER * (2 * random - 1));
}

/** Maximum milliseconds until a refused command is sent again: a server that refuses it may accept it from one moment to the next. */
const MAX_REFUSAL_DELAY = 500;

/**
 * Milliseconds until a command that a server has refused temporarily is sent again: as long as until the next attempt to connect, and at
 * most half a second. `refusing` is the time since the first refusal.
 */
export function refusalDelay(options: Required<ReconnectOptions>, refusing: number, random: number): number {
  const maxDelay = Math.min(options.maxDelay, Math.max(options.initialDelay, MAX_REFUSAL_DELAY));
  return reconnectDelay({ ...options, maxDelay }, refusing, random);
}

/** Milliseconds until one more attempt is within {@linkcode MAX_TRIES_A_SECOND}. `tries` are the times of the last ones, oldest first. */
export function throttle(tries: readonly number[], now: number): number {
  const oldest = tries.at(-MAX_TRIES_A_SECOND);
  return oldest === undefined ? 0 : Math.max(0, oldest + SECOND - now);
}
