// The bounds of a range of entries, and what they are as ids. It must not know what is read between them.

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
 * Where a range begins or ends, itself included: a time (a Date stands for its whole millisecond, a bigint is in the stream's
 * own unit), an id, `"-"` for the first of all, `"+"` for the last.
 */
export type RangeBound = Date | bigint | MessageId | "-" | "+";

/** Where a range begins: at a bound, or behind all of a time. */
export type RangeStart = RangeBound | { readonly after: Date | bigint };

/** The first and the last id of a range. */
export interface Span {
  readonly start: MessageId;
  readonly end: MessageId;
}

/**
 * The ids between which a range lies; `undefined` where there can be nothing.
 *
 * @throws {StreamerError} `INVALID_OPTION` for what is no bound.
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
    checkNames("start", start, ["after"]);
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

/** The id of a bound that is no time. */
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
