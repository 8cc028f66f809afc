// Times and ids as they are typed: a date, how long ago, a number in the stream's own unit, an id. It must not know what they
// bound.

import { compareIds, idOfTime, lastIdOf, type MessageId, parseId, type TimestampFormat } from "../model/id.ts";
import { UsageError } from "./failure.ts";

/** A bound as it was typed: an id, or a time. */
export type Bound = { readonly id: MessageId } | { readonly time: Date | bigint };

/** What may stand there, for the help. */
export const TIME_HELP = "a date (2026-01-31, 2026-01-31T12:00Z), how long ago (90s, 15m, 2h, 7d), " +
  "a number in the stream's own unit, or an id (1526919030474-55)";

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Reads a bound. */
export function parseBound(name: string, text: string, now: number): Bound {
  if (text.includes("-") && parseId(text) !== undefined) return { id: text };
  const time = parseTime(text, now);
  if (time !== undefined) return { time };
  throw new UsageError(`Cannot use --${name} as it must be ${TIME_HELP}: current value is ${JSON.stringify(text)}`);
}

/** Reads a time; `undefined` where it is none. */
function parseTime(text: string, now: number): Date | bigint | undefined {
  if (/^\d{1,20}$/.test(text)) return BigInt(text);
  const ago = /^(\d{1,9}(?:\.\d{1,9})?)(ms|s|m|h|d)$/.exec(text);
  if (ago !== null) return new Date(Math.max(0, now - Number(ago[1]) * UNITS[ago[2]]));
  if (!/^\d{4}-\d\d(-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?( ?(Z|[+-]\d\d:?\d\d))?)?)?$/.test(text)) return undefined;
  const date = new Date(text);
  return Number.isFinite(date.getTime()) && date.getTime() >= 0 ? date : undefined;
}

/** Reads what can only be a time. */
export function parseOnlyTime(name: string, text: string, now: number): Date | bigint {
  const bound = parseBound(name, text, now);
  if ("time" in bound) return bound.time;
  throw new UsageError(`Cannot use --${name} as it must be a time and no id: current value is ${text}`);
}

/** The first id of a bound. */
export function firstOf(bound: Bound, format: TimestampFormat): MessageId {
  return "id" in bound ? bound.id : idOfTime(bound.time, format);
}

/** The last id of a bound. */
export function lastOf(bound: Bound, format: TimestampFormat): MessageId {
  return "id" in bound ? bound.id : lastIdOf(bound.time, format);
}

/** Whether an id is behind another. Ids of the same shape, as those that follow one another, are compared as texts. */
export function isBehind(id: MessageId, other: MessageId): boolean {
  const dash = id.indexOf("-");
  if (id.length === other.length && other.charCodeAt(dash) === 45) return id > other;
  return compareIds(id, other) > 0;
}

/** The time in an id as text, as exact as the stream's unit; `undefined` where it is no time that can be written. */
export function timeText(id: MessageId, format: TimestampFormat): string | undefined {
  const first = id.slice(0, id.indexOf("-"));
  if (format === "milliseconds") return isoText(Number(first));
  const units = BigInt(first);
  const text = isoText(Number(units / 1_000_000n));
  return text?.replace("Z", `${String(units % 1_000_000n).padStart(6, "0")}Z`);
}

const MAX_DATE = 8.64e15;

function isoText(milliseconds: number): string | undefined {
  return milliseconds <= MAX_DATE ? new Date(milliseconds).toISOString() : undefined;
}
