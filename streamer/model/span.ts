// The bounds of a range of entries, converted to ids.

import {
  compareIds,
  FIRST_ID,
  halves,
  idOfTime,
  isBeyondIds,
  LAST_ID,
  lastIdOf,
  type MessageId,
  nextId,
  type TimestampFormat,
} from "./id.ts";
import { checkNames, invalidOption } from "./options.ts";

/**
 * The start or end of a range. Both bounds are inclusive.
 *
 * - a `Date`: its whole millisecond.
 * - a `bigint`: a time in the unit of the stream (`timestampFormat` of `connect`).
 * - a {@linkcode MessageId}: the entry with this id.
 * - `"-"`: the first entry of the stream. `"+"`: the last one.
 *
 * @category Positions and ids
 */
export type RangeBound = Date | bigint | MessageId | "-" | "+";

/**
 * The start of a range: a {@linkcode RangeBound}, or `{ after: time }` for an exclusive start after all ids of that time.
 *
 * @category Positions and ids
 */
export type RangeStart = RangeBound | { readonly after: Date | bigint };

/** The first and the last id of a range. */
export interface Span {
  readonly start: MessageId;
  readonly end: MessageId;
}

/**
 * The first and last id of a range, or `undefined` if the range is empty.
 *
 * @throws {StreamerError} `INVALID_OPTION` for an invalid bound.
 */
export function spanOf(start: RangeStart, end: RangeBound, format: TimestampFormat): Span | undefined {
  const first = startId(start, format);
  const last = endId(end, format);
  if (first === undefined || compareIds(first, last) > 0) return undefined;
  return { start: first, end: last };
}

const ALLOWED = `a Date, a bigint, a message id, "-" or "+"`;

function startId(start: RangeStart, format: TimestampFormat): MessageId | undefined {
  if (typeof start === "object" && start !== null && !(start instanceof Date)) {
    checkNames("options of 'start'", start, ["after"]);
    return nextId(lastIdOf(checkTime("start.after", start.after), format));
  }
  const fixed = fixedId("start", start, `${ALLOWED} or { after: Date }`);
  if (fixed !== undefined) return fixed;
  const time = checkTime("start", start);
  return isBeyondIds(time, format) ? undefined : idOfTime(time, format);
}

function endId(end: RangeBound, format: TimestampFormat): MessageId {
  return fixedId("end", end, ALLOWED) ?? lastIdOf(checkTime("end", end), format);
}

/** The id of a bound, or `undefined` if the bound is a time. */
function fixedId(name: string, bound: unknown, allowed: string): MessageId | undefined {
  if (bound === "-") return FIRST_ID;
  if (bound === "+") return LAST_ID;
  if (typeof bound === "string") {
    halves(bound);
    return bound;
  }
  if (typeof bound === "bigint" || bound instanceof Date) return undefined;
  throw invalidOption(name, bound, allowed);
}

function checkTime(name: string, time: unknown): Date | bigint {
  if (typeof time === "bigint" || time instanceof Date) return time;
  throw invalidOption(name, time, "a Date or a bigint");
}
