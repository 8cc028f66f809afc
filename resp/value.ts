// What a reply is once it has been decoded: JavaScript values and a few small classes for the types JavaScript lacks.
// It must not know how bytes become values.

import { errorCode } from "./errors.ts";

/**
 * One decoded value.
 *
 * | RESP type | value |
 * |---|---|
 * | simple string | `string` |
 * | bulk string, streamed string | `Uint8Array`, a copy |
 * | integer | `number`, or `bigint` past 2^53 − 1 |
 * | double | `number` |
 * | big number | `bigint` |
 * | boolean | `boolean` |
 * | null, null bulk string, null array | `null` |
 * | array | array |
 * | map | {@linkcode RespMap} |
 * | set | {@linkcode RespSet} |
 * | simple error, bulk error | {@linkcode RespErrorReply} |
 * | verbatim string | {@linkcode RespVerbatim} |
 *
 * Bulk strings of less than 4 KiB may share an `ArrayBuffer` with their neighbours in the same reply, and then begin
 * anywhere in it: no two overlap, so that writing into one changes no other, but holding one holds its neighbours, up
 * to 16 KiB. `slice()` makes one that stands alone; use that before keeping one for long or transferring its `buffer`.
 */
export type RespValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | readonly RespValue[]
  | RespMap
  | RespSet
  | RespErrorReply
  | RespVerbatim;

/** A map as it came: pairs in the order of the wire, in which a key may repeat and need not be a string. */
export class RespMap {
  /** The pairs. */
  readonly entries: readonly (readonly [RespValue, RespValue])[];

  /** Wraps these pairs. */
  constructor(entries: readonly (readonly [RespValue, RespValue])[]) {
    this.entries = entries;
  }

  /** The value behind the first key that is this text, or `undefined`. */
  get(name: string): RespValue | undefined {
    return this.entries.find(([key]) => textOf(key) === name)?.[1];
  }
}

/** A set as it came: its members in the order of the wire, which may repeat. */
export class RespSet {
  /** The members. */
  readonly values: readonly RespValue[];

  /** Wraps these members. */
  constructor(values: readonly RespValue[]) {
    this.values = values;
  }
}

/** An error reply: a value like any other, since one can stand inside an array. */
export class RespErrorReply {
  /** The server's text, whole and unescaped: not for printing. */
  readonly text: string;

  /** Wraps this text. */
  constructor(text: string) {
    this.text = text;
  }

  /** The first word of the text where it is a code, else `ERR`. */
  get code(): string {
    return errorCode(this.text);
  }
}

/** A verbatim string and what it says of its format (`txt`, `mkd`); a format of `""` where none was marked. */
export class RespVerbatim {
  /** Three characters, or none. */
  readonly format: string;
  /** The text without its prefix. */
  readonly text: string;

  /** Wraps this text. */
  constructor(format: string, text: string) {
    this.format = format;
    this.text = text;
  }
}

const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });

/** Bytes as UTF-8 text; what is no UTF-8 becomes U+FFFD, a leading byte order mark stays. */
export function decodeText(bytes: Uint8Array): string {
  return utf8.decode(bytes);
}

/** The text of a value that holds text, in whichever of the string types it came; else `undefined`. */
export function textOf(value: RespValue | undefined): string | undefined {
  if (typeof value === "string") return value;
  if (value instanceof Uint8Array) return decodeText(value);
  if (value instanceof RespVerbatim) return value.text;
  return undefined;
}

/** The pairs of a map, in RESP3's form or as the flat array of RESP2; else `undefined`. */
export function pairsOf(value: RespValue | undefined): readonly (readonly [RespValue, RespValue])[] | undefined {
  if (value instanceof RespMap) return value.entries;
  if (!Array.isArray(value) || value.length % 2 !== 0) return undefined;
  const pairs: [RespValue, RespValue][] = [];
  for (let i = 0; i < value.length; i += 2) pairs.push([value[i], value[i + 1]]);
  return pairs;
}
