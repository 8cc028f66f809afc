// The bounds a decoder holds the other side to. Pure numbers; it must not know where they are checked.

import { StreamerError } from "./errors.ts";

/** What a decoder accepts at most. A reply past a limit is refused as soon as its header says so. */
export interface RespLimits {
  /** Bytes of one bulk string, bulk error, verbatim string or chunk. @default {536870912} */
  readonly bulk?: number;
  /** Values in one reply, over all of its aggregates together. @default {16777216} */
  readonly elements?: number;
  /** Nesting of aggregates; an attribute counts as one more level for the value behind it. @default {128} */
  readonly depth?: number;
  /** Bytes of one whole reply. @default {1073741824} */
  readonly reply?: number;
  /** Bytes of one simple string or simple error. @default {65536} */
  readonly line?: number;
  /** Digits of a big number, characters of a double. @default {4096} */
  readonly digits?: number;
}

/** The limits in force where none are given. */
export const DEFAULT_LIMITS: Required<RespLimits> = Object.freeze({
  bulk: 512 * 1024 * 1024,
  elements: 2 ** 24,
  depth: 128,
  reply: 1024 * 1024 * 1024,
  line: 64 * 1024,
  digits: 4 * 1024,
});

/** What any limit may be at most: offsets inside a reply are 32-bit integers. */
const LARGEST = 2 ** 31 - 1;

/**
 * Fills in what is left out and checks the rest.
 *
 * @throws {StreamerError} `INVALID_OPTION` for a limit that is no whole number from 1 to 2,147,483,647.
 */
export function checkLimits(limits: RespLimits = {}): Required<RespLimits> {
  const checked = { ...DEFAULT_LIMITS };
  for (const name of Object.keys(DEFAULT_LIMITS) as (keyof RespLimits)[]) { // as: the keys of a literal are its names
    const value = limits[name];
    if (value === undefined) continue;
    if (!Number.isInteger(value) || value < 1 || value > LARGEST) {
      throw new StreamerError(
        "INVALID_OPTION",
        `Cannot use limits.${name} as it must be a whole number from 1 to ${LARGEST}: current value is ${
          String(value)
        }`,
      );
    }
    checked[name] = value;
  }
  return checked;
}
