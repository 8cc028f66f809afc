// Checks of options at the edge, each with the same sentence when one fails. It must not know what an option is for.

import { StreamerError } from "../../resp/errors.ts";
import { shown } from "./id.ts";

/** The error of an option that cannot be used. */
export function invalidOption(name: string, value: unknown, allowed: string): StreamerError {
  return new StreamerError(
    "INVALID_OPTION",
    `Cannot use option ${name} as it must be ${allowed}: current value is ${shown(value)}`,
  );
}

/** What a number may be. */
export interface NumberRange {
  readonly min: number;
  readonly max?: number;
  /** Whether fractions are refused. @default {false} */
  readonly integer?: boolean;
}

/** A number within its range, or the fallback for `undefined`. */
export function checkNumber(name: string, value: number | undefined, fallback: number, range: NumberRange): number {
  if (value === undefined) return fallback;
  const { min, max = Infinity, integer = false } = range;
  if (typeof value !== "number" || !(value >= min && value <= max) || (integer && !Number.isInteger(value))) {
    const kind = integer ? "a whole number" : "a number";
    throw invalidOption(name, value, max === Infinity ? `${kind} of at least ${min}` : `${kind} from ${min} to ${max}`);
  }
  return value;
}

/** True or false, or the fallback for `undefined`. */
export function checkBoolean(name: string, value: boolean | undefined, fallback: boolean): boolean {
  if (value === undefined) return fallback;
  if (typeof value !== "boolean") throw invalidOption(name, value, "true or false");
  return value;
}

/** One of a few words, or the fallback for `undefined`. */
export function checkOneOf<T extends string>(
  name: string,
  value: T | undefined,
  fallback: T,
  allowed: readonly T[],
): T {
  if (value === undefined) return fallback;
  if (!allowed.includes(value)) throw invalidOption(name, value, allowed.map((word) => `"${word}"`).join(" or "));
  return value;
}

/**
 * An object of options: nothing else than the names listed. A misspelt one is refused rather than ignored; its value is
 * not shown, since it may be a secret.
 */
export function checkNames(what: string, options: object, allowed: readonly string[]): void {
  if (typeof options !== "object" || options === null) throw invalidOption(what, options, "an object");
  for (const name of Object.keys(options)) {
    if (allowed.includes(name)) continue;
    throw new StreamerError(
      "INVALID_OPTION",
      `Cannot use option ${shown(name)} as ${what} are only ${allowed.join(", ")}`,
    );
  }
}
