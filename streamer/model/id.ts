// Entry ids: `<first half>-<second half>`, two unsigned 64-bit numbers, and what they stand for in time and sequence.
// It must not know where an id comes from.

import { StreamerError } from "../../resp/errors.ts";

/** The Redis id of an entry, for example `"1526919030474-55"`. */
export type MessageId = string;

/** What the first half of an id holds: milliseconds or nanoseconds since 1970. */
export type TimestampFormat = "milliseconds" | "nanoseconds";

/**
 * A position in a stream: everything, only what comes, behind a sequence, or behind an id.
 */
export type SeqPos = "beginning" | "end" | bigint | MessageId;

/** The smallest position: behind it is everything. */
export const FIRST_ID: MessageId = "0-0";

const MAX_HALF = 2n ** 64n - 1n;
const SEQUENCE_BITS = 16n;
const MAX_SEQUENCE_HALF = 0xffffn;
const NANOSECONDS_A_MILLISECOND = 1_000_000n;

/** The largest id there can be. */
export const LAST_ID: MessageId = `${MAX_HALF}-${MAX_HALF}`;

/** The two halves of an id, or `undefined` for what is none: digits, a dash, digits, each within 64 bits. */
export function parseId(id: string): { readonly first: bigint; readonly second: bigint } | undefined {
  const match = /^(0|[1-9][0-9]{0,19})-(0|[1-9][0-9]{0,19})$/.exec(id);
  if (match === null) return undefined;
  const first = BigInt(match[1]);
  const second = BigInt(match[2]);
  return first > MAX_HALF || second > MAX_HALF ? undefined : { first, second };
}

/** The two halves of an id that is known to be one. */
export function halves(id: MessageId): { readonly first: bigint; readonly second: bigint } {
  const parsed = parseId(id);
  if (parsed === undefined) {
    throw new StreamerError(
      "INVALID_OPTION",
      `Cannot use a message id as it must be <number>-<number>: current value is ${shown(id)}`,
    );
  }
  return parsed;
}

/** Less than, equal to or greater than zero as `a` is before, the same as or behind `b`. */
export function compareIds(a: MessageId, b: MessageId): number {
  if (a === b) return 0;
  const dash = a.indexOf("-");
  if (dash > 0 && a.length === b.length && b.indexOf("-") === dash) return a < b ? -1 : 1; // digits of the same places
  const one = halves(a);
  const two = halves(b);
  if (one.first !== two.first) return one.first < two.first ? -1 : 1;
  return one.second < two.second ? -1 : one.second > two.second ? 1 : 0;
}

/** The id right behind this one; `undefined` behind the last of all. */
export function nextId(id: MessageId): MessageId | undefined {
  const { first, second } = halves(id);
  if (second < MAX_HALF) return `${first}-${second + 1n}`;
  return first < MAX_HALF ? `${first + 1n}-0` : undefined;
}

/** The id right before this one; `undefined` before the first of all. */
export function previousId(id: MessageId): MessageId | undefined {
  const { first, second } = halves(id);
  if (second > 0n) return `${first}-${second - 1n}`;
  return first > 0n ? `${first - 1n}-${MAX_HALF}` : undefined;
}

/**
 * The sequence of an id: its first half shifted by 16 bits, plus its second half.
 *
 * @throws {StreamerError} `UNSUPPORTED` where the second half is above 65535.
 */
export function sequenceOf(id: MessageId): bigint {
  const { first, second } = halves(id);
  if (second > MAX_SEQUENCE_HALF) {
    throw new StreamerError(
      "UNSUPPORTED",
      `Cannot give a sequence as the second half must be at most 65535: current value is ${id}`,
    );
  }
  return first << SEQUENCE_BITS | second;
}

/** The id of a sequence. */
export function idOfSequence(sequence: bigint): MessageId {
  if (sequence < 0n || sequence >> SEQUENCE_BITS > MAX_HALF) {
    throw new StreamerError(
      "INVALID_OPTION",
      `Cannot use a sequence as it must be a number of 80 bits: current value is ${sequence}`,
    );
  }
  return `${sequence >> SEQUENCE_BITS}-${sequence & MAX_SEQUENCE_HALF}`;
}

/** Nanoseconds since 1970 of an id's first half. */
export function nanosecondsOf(id: MessageId, format: TimestampFormat): bigint {
  const { first } = halves(id);
  return format === "nanoseconds" ? first : first * NANOSECONDS_A_MILLISECOND;
}

/** The time of an id, cut to milliseconds; an Invalid Date where Date cannot hold it. */
export function dateOf(id: MessageId, format: TimestampFormat): Date {
  const { first } = halves(id);
  return new Date(Number(format === "nanoseconds" ? first / NANOSECONDS_A_MILLISECOND : first));
}

/** A time in the unit of the stream: of a Date its millisecond's first instant. */
export function unitsOf(time: Date | bigint, format: TimestampFormat): bigint {
  if (typeof time === "bigint") {
    if (time < 0n || time > MAX_HALF) throw badTime(time);
    return time;
  }
  if (!(time instanceof Date)) throw badTime(time);
  const milliseconds = time.getTime();
  if (!Number.isFinite(milliseconds) || milliseconds < 0) throw badTime(time);
  const units = dateUnits(milliseconds, format);
  if (units > MAX_HALF) throw badTime(time);
  return units;
}

function dateUnits(milliseconds: number, format: TimestampFormat): bigint {
  return format === "nanoseconds" ? BigInt(milliseconds) * NANOSECONDS_A_MILLISECOND : BigInt(milliseconds);
}

/** The first id that can belong to a time. */
export function idOfTime(time: Date | bigint, format: TimestampFormat): MessageId {
  return `${unitsOf(time, format)}-0`;
}

/** Whether a Date, which may be later than 64 bits of nanoseconds tell, is behind all ids there can be. */
export function isBeyondIds(time: Date | bigint, format: TimestampFormat): boolean {
  return time instanceof Date && dateUnits(time.getTime() || 0, format) > MAX_HALF;
}

/** The last id that can belong to a time, of a Date to its whole millisecond; the last of all for a Date beyond 64 bits. */
export function lastIdOf(time: Date | bigint, format: TimestampFormat): MessageId {
  if (typeof time === "bigint") return `${unitsOf(time, format)}-${MAX_HALF}`;
  const milliseconds = time.getTime();
  if (!Number.isFinite(milliseconds) || milliseconds < 0) throw badTime(time);
  const wide = format === "nanoseconds" ? NANOSECONDS_A_MILLISECOND - 1n : 0n;
  const last = dateUnits(milliseconds, format) + wide;
  return `${last > MAX_HALF ? MAX_HALF : last}-${MAX_HALF}`;
}

function badTime(time: unknown): StreamerError {
  return new StreamerError(
    "INVALID_OPTION",
    `Cannot use a time as it must be a Date or a bigint, valid, 1970 or later, and fit into 64 bits: current value is ${
      shown(time)
    }`,
  );
}

/** A value as it may stand in a message: short, on one line. */
export function shown(value: unknown): string {
  const text = typeof value === "string" ? JSON.stringify(value) : String(value);
  return text.length > 100 ? `${text.slice(0, 99)}…` : text;
}
