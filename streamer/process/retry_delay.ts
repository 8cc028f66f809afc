// The time after which a failed message is delivered again: a number, or a function of the message and its error.

import type { Message } from "../model/message.ts";
import { checkFor } from "../model/option_error.ts";
import { checkNames, checkNumber, invalidOption } from "../model/options.ts";

/**
 * Returns the milliseconds after which a failed message is delivered again. `message.deliveries` is 1 at its first failure.
 *
 * @category Processing
 */
export type RetryDelay<M extends Message = Message> = (message: M, error: unknown) => number;

/**
 * Options of {@linkcode exponentialDelay}. Times are in milliseconds.
 *
 * @category Processing
 */
export interface ExponentialDelayOptions {
  /** The delay after the first delivery has failed. */
  readonly first: number;
  /** The longest delay. */
  readonly max: number;
  /** The ratio of each delay to the one before it; at least 1. @default {2} */
  readonly factor?: number;
}

/**
 * Creates a `retryDelay` that grows with each delivery: `min(max, first × factor^(deliveries − 1))` milliseconds.
 *
 * The delay depends on `message.deliveries` alone, which the server counts. So the delay also grows if another process
 * takes over a failing message.
 *
 * @throws {StreamerError} `INVALID_OPTION`
 *
 * @example
 * ```ts
 * import { exponentialDelay } from "@sea/streamer-redis";
 *
 * const retryDelay = exponentialDelay({ first: 500, max: 60_000 }); // 500, 1,000, 2,000 … 60,000
 * ```
 *
 * @category Processing
 */
export function exponentialDelay(options: ExponentialDelayOptions): RetryDelay {
  const { first, max, factor } = checkFor("create an exponential delay", () => {
    checkNames("options of exponentialDelay", options, ["first", "max", "factor"]);
    const factor = checkNumber("factor", options.factor, 2, { min: 1 });
    return { first: required("first", options.first), max: required("max", options.max), factor };
  });
  // After many deliveries the power is Infinity, which times 0 would be NaN.
  return ({ deliveries }) => first === 0 ? 0 : Math.min(max, first * factor ** (deliveries - 1));
}

function required(name: string, value: number | undefined): number {
  if (value === undefined) throw invalidOption(name, value, "a number of at least 0");
  return checkNumber(name, value, 0, { min: 0 });
}

/** The delay of one failed message, and what is wrong with the function that returned it. */
export interface ChosenDelay {
  readonly delay: number;
  readonly problem?: { readonly error: unknown };
}

/** The delay in milliseconds if the option is left out, or its function throws or returns an invalid value. */
export const DEFAULT_RETRY_DELAY = 1_000;

/** Chooses the delay of a failed message. */
export function chooseDelay(retryDelay: number | RetryDelay, message: Message, error: unknown): ChosenDelay {
  if (typeof retryDelay === "number") return { delay: retryDelay };
  try {
    const delay: unknown = retryDelay(message, error);
    if (typeof delay === "number" && delay >= 0) return { delay };
    if (delay instanceof Promise) delay.catch(() => {}); // of an async function: its error is not reported twice
    const rule = "a function that returns a number of at least 0";
    throw invalidOption("retryDelay", delay, rule, "delay a failed message");
  } catch (problem) {
    return { delay: DEFAULT_RETRY_DELAY, problem: { error: problem } };
  }
}
