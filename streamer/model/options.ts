// Checks of options. All of them fail with the same sentence.

import type { StreamerError } from "../../resp/errors.ts";
import { shown } from "./id.ts";
import { OptionError } from "./option_error.ts";

/** The error of an invalid option. Its text is `Cannot <action>: '<name>' must be <rule>, got <value>`. */
export function invalidOption(name: string, value: unknown, rule: string, action?: string): StreamerError {
  return new OptionError(`'${name}' must be ${rule}, got ${shown(value)}`, action);
}

/** The numbers that an option accepts. */
export interface NumberRange {
  readonly min: number;
  readonly max?: number;
  /** Whether fractions are refused. @default {false} */
  readonly integer?: boolean;
}

/** Returns a number within its range, or the fallback for `undefined`. */
export function checkNumber(name: string, value: number | undefined, fallback: number, range: NumberRange): number {
  if (value === undefined) return fallback;
  const { min, max = Infinity, integer = false } = range;
  if (typeof value !== "number" || !(value >= min && value <= max) || (integer && !Number.isInteger(value))) {
    const kind = integer ? "a whole number" : "a number";
    throw invalidOption(name, value, max === Infinity ? `${kind} of at least ${min}` : `${kind} from ${min} to ${max}`);
  }
  return value;
}

/** Returns true or false, or the fallback for `undefined`. */
export function checkBoolean(name: string, value: boolean | undefined, fallback: boolean): boolean {
  if (value === undefined) return fallback;
  if (typeof value !== "boolean") throw invalidOption(name, value, "true or false");
  return value;
}

/** Returns a signal, or `undefined`. */
export function checkSignal(signal: AbortSignal | undefined): AbortSignal | undefined {
  if (signal === undefined || signal instanceof AbortSignal) return signal;
  throw invalidOption("signal", signal, "an AbortSignal");
}

/** Returns one of a few words, or the fallback for `undefined`. */
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
 * Refuses an object of options with any other name than those listed, so that a misspelt option is not ignored. Its value is
 * not shown, since it may be a secret.
 */
export function checkNames(what: string, options: object, allowed: readonly string[]): void {
  if (typeof options !== "object" || options === null) throw invalidOption(what, options, "an object");
  for (const name of Object.keys(options)) {
    if (allowed.includes(name)) continue;
    const known = allowed.length === 1 ? `'${allowed[0]}' only` : allowed.join(", ");
    throw new OptionError(`unknown option ${shown(name)}. The ${what} are ${known}`, "use these options");
  }
}
