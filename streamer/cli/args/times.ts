// Parses positions: a date, a duration before now, a number in the stream's unit, or an id.

import { idOfTime, lastIdOf, type MessageId, parseId, type TimestampFormat } from "../../model/id.ts";
import { UsageError } from "../failure.ts";

/** A parsed position: an id, or a time. */
export type Bound = { readonly id: MessageId } | { readonly time: Date | bigint };

const TIME_RULE = "a date (2026-01-31, 2026-01-31T12:00Z), a duration before now (90s, 15m, 2h, 7d) " +
  "or a number in the stream's unit";

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Parses a time or an id. */
export function parseBound(name: string, text: string, now: number): Bound {
  if (text.includes("-") && parseId(text) !== undefined) return { id: text };
  const time = parseTime(text, now);
  if (time !== undefined) return { time };
  throw new UsageError(
    `--${name} must be ${TIME_RULE}, or an id (1526919030474-55), got ${JSON.stringify(text)}`,
  );
}

function parseTime(text: string, now: number): Date | bigint | undefined {
  if (/^\d{1,20}$/.test(text)) return BigInt(text);
  const ago = /^(\d{1,9}(?:\.\d{1,9})?)(ms|s|m|h|d)$/.exec(text);
  if (ago !== null) return new Date(Math.max(0, now - Number(ago[1]) * UNITS[ago[2]]));
  if (!/^\d{4}-\d\d(-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?( ?(Z|[+-]\d\d:?\d\d))?)?)?$/.test(text)) return undefined;
  const date = new Date(text);
  return Number.isFinite(date.getTime()) && date.getTime() >= 0 ? date : undefined;
}

/** Parses a time; an id is refused. */
export function parseOnlyTime(name: string, text: string, now: number): Date | bigint {
  const time = parseTime(text, now);
  if (time !== undefined) return time;
  throw new UsageError(`--${name} must be ${TIME_RULE}, got ${JSON.stringify(text)}`);
}

/** The first id at a position. */
export function firstOf(bound: Bound, format: TimestampFormat): MessageId {
  return "id" in bound ? bound.id : idOfTime(bound.time, format);
}

/** The last id at a position. */
export function lastOf(bound: Bound, format: TimestampFormat): MessageId {
  return "id" in bound ? bound.id : lastIdOf(bound.time, format);
}
