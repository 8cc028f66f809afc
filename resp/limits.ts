// The limits of a decoder for the replies of a server.

import { StreamerError } from "./errors.ts";

/**
 * Limits of a decoder. A reply that exceeds a limit is refused as soon as its header shows it.
 *
 * @category RESP
 */
export interface RespLimits {
  /** Bytes of one bulk string, bulk error, verbatim string or chunk. @default {536870912} */
  readonly bulk?: number;
  /** Values in one reply, in all of its aggregates together. @default {16777216} */
  readonly elements?: number;
  /** Nesting of aggregates. An attribute counts as one more level for the value after it. @default {128} */
  readonly depth?: number;
  /** Bytes of one reply. @default {1073741824} */
  readonly reply?: number;
  /** Bytes of one simple string or simple error. @default {65536} */
  readonly line?: number;
  /** Digits of a big number, or characters of a double. @default {4096} */
  readonly digits?: number;
}

/**
 * The default limits of a decoder.
 *
 * @category RESP
 */
export const DEFAULT_LIMITS: Required<RespLimits> = Object.freeze({
  bulk: 512 * 1024 * 1024,
  elements: 2 ** 24,
  depth: 128,
  reply: 1024 * 1024 * 1024,
  line: 64 * 1024,
  digits: 4 * 1024,
});

/** The maximum of every limit: offsets inside a reply are 32-bit integers. */
export const LARGEST = 2 ** 31 - 1;

/**
 * Checks limits and adds the defaults.
 *
 * @throws {StreamerError} `INVALID_OPTION` for a limit that is not a whole number from 1 to 2,147,483,647.
 */
export function checkLimits(limits: RespLimits = {}): Required<RespLimits> {
  const checked = { ...DEFAULT_LIMITS };
  for (const name of Object.keys(DEFAULT_LIMITS) as (keyof RespLimits)[]) { // as: the keys of a literal are its names
    const value = limits[name];
    if (value === undefined) continue;
    if (!Number.isInteger(value) || value < 1 || value > LARGEST) {
      throw new StreamerError(
        "INVALID_OPTION",
        `Cannot use these limits: 'limits.${name}' must be a whole number from 1 to ${LARGEST}, got ${String(value)}`,
      );
    }
    checked[name] = value;
  }
  return checked;
}

/**
 * Limits of one reply, tighter than those of its decoder: the size that its command can need.
 *
 * @category RESP
 */
export interface ReplyLimits extends RespLimits {
  /** Whether the reply is an aggregate, null or an error. A string is then refused by its header. @default {false} */
  readonly aggregate?: boolean;
  /** Values of the outermost array, or pairs of the outermost map. Their number must be announced. @default {no limit} */
  readonly items?: number;
  /** Whether the reply contains only strings, null and aggregates. A number is then refused by its type. @default {false} */
  readonly strings?: boolean;
}

/** All limits of one reply. */
export type EffectiveLimits = Required<ReplyLimits>;

/** The lower of both limits, for each field. */
export function narrowLimits(limits: Required<RespLimits>, narrower: ReplyLimits = {}): EffectiveLimits {
  const { aggregate = false, strings = false, items = LARGEST } = narrower; // small integers all: other numbers cost engines more
  return {
    bulk: Math.min(limits.bulk, narrower.bulk ?? limits.bulk),
    elements: Math.min(limits.elements, narrower.elements ?? limits.elements),
    depth: Math.min(limits.depth, narrower.depth ?? limits.depth),
    reply: Math.min(limits.reply, narrower.reply ?? limits.reply),
    line: Math.min(limits.line, narrower.line ?? limits.line),
    digits: Math.min(limits.digits, narrower.digits ?? limits.digits),
    aggregate,
    items,
    strings,
  };
}
