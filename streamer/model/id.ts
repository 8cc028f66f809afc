// Entry ids: `<first half>-<second half>`, two unsigned 64-bit numbers, and the time and sequence that they stand for.

import { printable, StreamerError } from "../../resp/errors.ts";
import { OptionError } from "./option_error.ts";

/**
 * The Redis id of an entry, for example `"1526919030474-55"`: two unsigned 64-bit numbers in decimal.
 *
 * @category Positions and ids
 */
export type MessageId = string;

/**
 * The unit of the timestamp in the first half of an id: milliseconds or nanoseconds since 1970.
 *
 * @category Positions and ids
 */
export type TimestampFormat = "milliseconds" | "nanoseconds";

/**
 * A position in a stream. Reading starts after it.
 *
 * - `"beginning"`: before the first entry.
 * - `"end"`: after the last entry, so that only new entries are read.
 * - a `bigint`: after the entry with this sequence.
 * - a {@linkcode MessageId}: after the entry with this id. The entry itself does not have to exist.
 *
 * @category Positions and ids
 */
export type SeqPos = "beginning" | "end" | bigint | MessageId;

/** The smallest position. Every entry comes after it. */
export const FIRST_ID: MessageId = "0-0";

/** The largest half of an id. */
export const MAX_HALF = 2n ** 64n - 1n;
const SEQUENCE_BITS = 16n;
const MAX_SEQUENCE_HALF = 0xffffn;
const NANOSECONDS_A_MILLISECOND = 1_000_000n;

/** The largest possible id. */
export const LAST_ID: MessageId = `${MAX_HALF}-${MAX_HALF}`;

/** The two halves of an id, or `undefined` for an invalid id. Valid are digits, a dash, and digits, each within 64 bits. */
export function parseId(id: string): { readonly first: bigint; readonly second: bigint } | undefined {
  const match = /^(0|[1-9][0-9]{0,19})-(0|[1-9][0-9]{0,19})$/.exec(id);
  if (match === null) return undefined;
  const first = BigInt(match[1]);
  const second = BigInt(match[2]);
  return first > MAX_HALF || second > MAX_HALF ? undefined : { first, second };
}

/** The two halves of an id. Throws `INVALID_OPTION` for an invalid id. */
export function halves(id: MessageId): { readonly first: bigint; readonly second: bigint } {
  const parsed = parseId(id);
  if (parsed === undefined) throw new OptionError(`'id' must be <number>-<number>, got ${shown(id)}`);
  return parsed;
}

/** Less than zero if `a` comes before `b`, zero if they are equal, greater than zero if `a` comes after `b`. */
export function compareIds(a: MessageId, b: MessageId): number {
  if (a === b) return 0;
  const dash = a.indexOf("-");
  if (dash > 0 && a.length === b.length && b.indexOf("-") === dash) return a < b ? -1 : 1; // the same number of digits
  const one = halves(a);
  const two = halves(b);
  if (one.first !== two.first) return one.first < two.first ? -1 : 1;
  return one.second < two.second ? -1 : one.second > two.second ? 1 : 0;
}

/** Whether `id` comes after `other`. Ids whose dashes are at the same index compare as text, which is faster. */
export function isAfter(id: MessageId, other: MessageId): boolean {
  const dash = id.indexOf("-");
  if (id.length === other.length && other.charCodeAt(dash) === 45) return id > other;
  return compareIds(id, other) > 0;
}

/** The next id, or `undefined` after the last possible one. */
export function nextId(id: MessageId): MessageId | undefined {
  const { first, second } = halves(id);
  if (second < MAX_HALF) return `${first}-${second + 1n}`;
  return first < MAX_HALF ? `${first + 1n}-0` : undefined;
}

/** The previous id, or `undefined` before the first possible one. */
export function previousId(id: MessageId): MessageId | undefined {
  const { first, second } = halves(id);
  if (second > 0n) return `${first}-${second - 1n}`;
  return first > 0n ? `${first - 1n}-${MAX_HALF}` : undefined;
}

/**
 * The sequence of an id: its first half shifted left by 16 bits, plus its second half.
 *
 * @throws {StreamerError} `UNSUPPORTED` if the second half is above 65,535.
 */
export function sequenceOf(id: MessageId): bigint {
  const { first, second } = halves(id);
  if (second > MAX_SEQUENCE_HALF) {
    throw new StreamerError(
      "UNSUPPORTED",
      `Message ${id} has no sequence, because the second half of its id is above 65535. Use its id instead`,
    );
  }
  return first << SEQUENCE_BITS | second;
}

/** The id of a sequence. */
export function idOfSequence(sequence: bigint): MessageId {
  if (sequence < 0n || sequence >> SEQUENCE_BITS > MAX_HALF) {
    throw new OptionError(`'sequence' must be a bigint of at most 80 bits, got ${shown(sequence)}`);
  }
  return `${sequence >> SEQUENCE_BITS}-${sequence & MAX_SEQUENCE_HALF}`;
}

/** The time in an id's first half, in nanoseconds since 1970. */
export function nanosecondsOf(id: MessageId, format: TimestampFormat): bigint {
  const { first } = halves(id);
  return format === "nanoseconds" ? first : first * NANOSECONDS_A_MILLISECOND;
}

/** The time of an id, rounded down to milliseconds. An Invalid Date if `Date` cannot represent it. */
export function dateOf(id: MessageId, format: TimestampFormat): Date {
  const { first } = halves(id);
  return new Date(Number(format === "nanoseconds" ? first / NANOSECONDS_A_MILLISECOND : first));
}

/** A time in the unit of the stream. For a Date this is the start of its millisecond. `option` names it in the error. */
export function unitsOf(time: Date | bigint, format: TimestampFormat, option = "time"): bigint {
  if (typeof time === "bigint") {
    if (time < 0n || time > MAX_HALF) throw badTime(time, option);
    return time;
  }
  if (!(time instanceof Date)) throw badTime(time, option);
  const milliseconds = time.getTime();
  if (!Number.isFinite(milliseconds) || milliseconds < 0) throw badTime(time, option);
  const units = dateUnits(milliseconds, format);
  if (units > MAX_HALF) throw badTime(time, option);
  return units;
}

function dateUnits(milliseconds: number, format: TimestampFormat): bigint {
  return format === "nanoseconds" ? BigInt(milliseconds) * NANOSECONDS_A_MILLISECOND : BigInt(milliseconds);
}

/** The first possible id of a time. `option` names it in the error. */
export function idOfTime(time: Date | bigint, format: TimestampFormat, option?: string): MessageId {
  return `${unitsOf(time, format, option)}-0`;
}

/** Whether a Date is after all possible ids. A Date can be later than 64 bits of nanoseconds can represent. */
export function isBeyondIds(time: Date | bigint, format: TimestampFormat): boolean {
  return time instanceof Date && dateUnits(time.getTime() || 0, format) > MAX_HALF;
}

/** The last possible id of a time, and for a Date the last one of its millisecond. A Date beyond 64 bits gives the last id of all. */
export function lastIdOf(time: Date | bigint, format: TimestampFormat): MessageId {
  if (typeof time === "bigint") return `${unitsOf(time, format)}-${MAX_HALF}`;
  const milliseconds = time.getTime();
  if (!Number.isFinite(milliseconds) || milliseconds < 0) throw badTime(time);
  const wide = format === "nanoseconds" ? NANOSECONDS_A_MILLISECOND - 1n : 0n;
  const last = dateUnits(milliseconds, format) + wide;
  return `${last > MAX_HALF ? MAX_HALF : last}-${MAX_HALF}`;
}

function badTime(time: unknown, option = "time"): StreamerError {
  return new OptionError(
    `'${option}' must be a valid Date from 1970 on, or a bigint of at most 64 bits, got ${shown(time)}`,
  );
}

/** A value for an error message: on one line and at most 100 characters. */
export function shown(value: unknown): string {
  const text = printable(typeof value === "string" ? JSON.stringify(value) : textOf(value));
  return text.length > 100 ? `${text.slice(0, 99)}…` : text;
}

/** Objects are named and not printed: they may be large, circular, or hold secrets. */
function textOf(value: unknown): string {
  if (typeof value === "function") return "a function";
  if (typeof value !== "object" || value === null) return String(value);
  if (value instanceof Date) return String(value);
  if (Array.isArray(value)) return value.length === 0 ? "[]" : `an array of ${value.length}`;
  if (value instanceof Uint8Array) return `a Uint8Array of ${value.length} bytes`;
  return "an object";
}
