// XADD: encodes one entry directly into an output buffer, and parses the id in the reply. Redis 5.0. `<time>-*` requires 7.0, and
// MINID 6.2.

import type { RespDecoder } from "../../resp/decoder.ts";
import {
  BULK_OVERHEAD,
  digits,
  type RespArgument,
  RespEncoder,
  STRAIGHT_BELOW,
  writeBulk,
  writeBulkText,
} from "../../resp/encoder.ts";
import { TYPE } from "../../resp/wire.ts";
import { wrongShape } from "../../resp/connection/command.ts";
import type { MessageId } from "../model/id.ts";
import { parseId } from "../model/id.ts";

/** Headers in their order: name and value. */
export type HeaderList = readonly (readonly [string, string | Uint8Array])[];

/** The arguments between the key and the id, if each write trims the stream. */
export type TrimArguments = readonly RespArgument[];

/** The parts of one entry. */
export interface EntryParts {
  readonly key: string;
  readonly trim: TrimArguments;
  /** `"*"`, `<time>-*`, or a placeholder. */
  readonly id: string;
  /** The name of the first field, whose value is written by {@linkcode writeEntry}. */
  readonly field: string;
  /** The other fields. */
  readonly headers: HeaderList;
  /** Whether the id, or the time in it, is a placeholder, overwritten before the entry is written. */
  readonly stamped: boolean;
}

/** An XADD command without the value of its first field: `head`, then the value as a bulk string, then `tail`. */
export interface EntryTemplate {
  readonly head: Uint8Array;
  readonly tail: Uint8Array;
  /** The index of the id in `head`, if it is a placeholder. Otherwise -1. */
  readonly stampAt: number;
}

const NOTHING = new Uint8Array(0);
const utf8 = new TextEncoder();

/** Encodes the parts of an entry that do not change with its payload. */
export function entryTemplate(parts: EntryParts): EntryTemplate {
  const { key, trim, id, field, headers, stamped } = parts;
  const before: RespArgument[] = ["XADD", key, ...trim];
  const encoder = new RespEncoder({ capacity: 256 }).command(before, before.length + 3 + headers.length * 2);
  const stampAt = stamped ? encoder.length + 3 + digits(id.length) : -1;
  const head = encoder.bulk(id).bulk(field).take().slice();
  if (headers.length === 0) return { head, tail: NOTHING, stampAt };
  const tail = new RespEncoder({ capacity: 256 });
  for (const [name, value] of headers) tail.bulk(name).bulk(value);
  return { head, tail: tail.take(), stampAt };
}

/** Encodes long text to bytes. Text that is encoded in place needs three free bytes for each character. */
export function compactPayload(payload: string | Uint8Array): string | Uint8Array {
  return typeof payload === "string" && payload.length > STRAIGHT_BELOW ? utf8.encode(payload) : payload;
}

/** The maximum size of an entry in bytes. */
export function entryRoom(template: EntryTemplate, payload: string | Uint8Array): number {
  const body = typeof payload === "string" ? payload.length * 3 : payload.length;
  return template.head.length + template.tail.length + body + BULK_OVERHEAD;
}

/** The minimum size of an entry in bytes. */
export function entryLeast(template: EntryTemplate, payload: string | Uint8Array): number {
  return template.head.length + template.tail.length + payload.length;
}

/** Writes an entry at index `at`, where {@linkcode entryRoom} bytes are free. Returns the index of its end. */
export function writeEntry(
  bytes: Uint8Array,
  at: number,
  template: EntryTemplate,
  payload: string | Uint8Array,
): number {
  bytes.set(template.head, at);
  at += template.head.length;
  at = typeof payload === "string" ? writeBulkText(bytes, at, payload) : writeBulk(bytes, at, payload);
  if (template.tail.length > 0) {
    bytes.set(template.tail, at);
    at += template.tail.length;
  }
  return at;
}

const DASH = 45;
const ZERO = 48;
/** Whole numbers of this many digits are exact in a double. */
const EXACT_DIGITS = 15;

/** An id in a compact form: two numbers if they are exact, otherwise its text. */
export interface CompactId {
  idFirst: number;
  idSecond: number;
  idText: MessageId | undefined;
}

/**
 * Reads the id at the decoder's position into `into`, without creating a string.
 *
 * @throws {StreamerError} `PROTOCOL` if the reply is not an id.
 */
export function readEntryId(decoder: RespDecoder, into: CompactId): void {
  const length = decoder.valueLength;
  if (decoder.typeByte() !== TYPE.bulk || length < 3 || length > 41) throw wrongShape("XADD", "an entry id");
  const { bytes } = decoder;
  let at = decoder.position + (length < 10 ? 4 : 5);
  const end = at + length;
  const start = at;
  let first = 0;
  while (at < end && bytes[at] !== DASH) {
    const digit = bytes[at] - ZERO;
    if (digit < 0 || digit > 9) throw wrongShape("XADD", "an entry id");
    first = first * 10 + digit;
    at++;
  }
  const firstDigits = at - start;
  let second = 0;
  for (at++; at < end; at++) {
    const digit = bytes[at] - ZERO;
    if (digit < 0 || digit > 9) throw wrongShape("XADD", "an entry id");
    second = second * 10 + digit;
  }
  const secondDigits = length - firstDigits - 1;
  const padded = (firstDigits > 1 && bytes[start] === ZERO) || (secondDigits > 1 && bytes[end - secondDigits] === ZERO);
  if (firstDigits < 1 || secondDigits < 1 || padded) throw wrongShape("XADD", "an entry id");
  if (firstDigits <= EXACT_DIGITS && secondDigits <= EXACT_DIGITS) {
    into.idFirst = first;
    into.idSecond = second;
    return;
  }
  const text = String.fromCharCode(...bytes.subarray(start, end));
  if (parseId(text) === undefined) throw wrongShape("XADD", "an entry id");
  into.idText = text;
}

/** The id as text. */
export function expandId(id: CompactId): MessageId {
  return id.idText ?? `${id.idFirst}-${id.idSecond}`;
}
