// Parses a line of JSON into a message to send.

import type { SendOptions } from "../../producer/options.ts";
import type { TimestampFormat } from "../../model/id.ts";
import { CommandError } from "../failure.ts";
import { readValue, textOf } from "./json.ts";

/** A parsed message. */
export interface InputMessage {
  readonly payload: string | Uint8Array;
  readonly options: Omit<SendOptions, "headers"> & {
    readonly headers: readonly (readonly [string, string | Uint8Array])[];
  };
}

const NAMES = ["payload", "headers", "key", "timestamp"];

/** Parses a line. Its number is for error messages. */
export function parseInputLine(line: Uint8Array, number: number, format: TimestampFormat): InputMessage {
  const refuse = (rule: string, cause?: unknown) =>
    new CommandError(`Invalid line ${number}: ${rule}`, cause === undefined ? {} : { cause });
  const text = textOf(line);
  if (text === undefined) throw refuse("it must be UTF-8");
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw refuse("it must be JSON", cause);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw refuse("it must be an object");
  const parts = new Map<string, unknown>(Object.entries(value));
  for (const name of parts.keys()) {
    if (!NAMES.includes(name)) throw refuse(`${JSON.stringify(name)} is none of ${NAMES.join(", ")}`);
  }
  const payload = readValue(parts.get("payload"));
  if (payload === undefined) throw refuse('the payload must be a string or {"base64": …}');
  const headers = readHeaders(parts.get("headers"));
  if (headers === undefined) throw refuse('headers must have strings or {"base64": …} as values');
  const key = parts.get("key");
  if (key !== undefined && typeof key !== "string") throw refuse("the key must be a string");
  const timestamp = readTimestamp(parts.get("timestamp"), format);
  if (timestamp === null) throw refuse("the timestamp must be a date, or a number in the stream's unit");
  return {
    payload,
    options: {
      headers,
      ...(key === undefined ? {} : { key }),
      ...(timestamp === undefined ? {} : { timestamp }),
    },
  };
}

type Header = readonly [string, string | Uint8Array];

/** An object, in which a repeated name has an array of values; or an array of [name, value]. */
function readHeaders(value: unknown): Header[] | undefined {
  if (value === undefined) return [];
  if (typeof value !== "object" || value === null) return undefined;
  const pairs: unknown[] = Array.isArray(value)
    ? value
    : Object.entries(value).flatMap(([name, one]) =>
      Array.isArray(one) ? one.map((each) => [name, each]) : [[name, one]]
    );
  const headers: Header[] = [];
  for (const pair of pairs) {
    if (!Array.isArray(pair) || pair.length !== 2 || typeof pair[0] !== "string") return undefined;
    const read = readValue(pair[1]);
    if (read === undefined) return undefined;
    headers.push([pair[0], read]);
  }
  return headers;
}

/** `undefined` if it is missing, `null` if it is invalid. */
function readTimestamp(value: unknown, format: TimestampFormat): Date | bigint | undefined | null {
  if (value === undefined) return undefined;
  if (typeof value === "number") return Number.isSafeInteger(value) && value >= 0 ? BigInt(value) : null;
  if (typeof value !== "string") return null;
  if (/^\d{1,20}$/.test(value)) return BigInt(value);
  const fine = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3})(\d{6})Z$/.exec(value); // as `consume --json` writes nanoseconds
  const date = new Date(fine === null ? value : `${fine[1]}Z`);
  if (!Number.isFinite(date.getTime()) || date.getTime() < 0) return null;
  if (fine === null || format === "milliseconds") return date;
  return BigInt(date.getTime()) * 1_000_000n + BigInt(fine[2]);
}
