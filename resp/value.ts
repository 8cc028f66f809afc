// The values of decoded replies: JavaScript values, and small classes for the types that JavaScript does not have.

import { errorCode } from "./errors.ts";

/**
 * One decoded value.
 *
 * | RESP type | value |
 * |---|---|
 * | simple string | `string` |
 * | bulk string, streamed string | `Uint8Array`, a copy |
 * | integer | `number`, or `bigint` above 2^53 − 1 |
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
 * Bulk strings of less than 4 KiB can share an `ArrayBuffer` with others of the same reply. They do not overlap, so you can change
 * one without affecting others. But each keeps up to 16 KiB in memory. Use `slice()` before you keep one for long or transfer
 * its `buffer`.
 *
 * @category RESP
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

/**
 * A map: pairs in the order of the reply. Keys can be of any type and can repeat.
 *
 * @example
 * ```ts
 * import { RespDecoder, RespMap } from "@sea/streamer-redis/resp";
 *
 * const decoder = new RespDecoder();
 * decoder.feed(new TextEncoder().encode("%1\r\n$5\r\nproto\r\n:3\r\n"));
 * const value = decoder.read()?.value;
 * if (value instanceof RespMap) console.log(value.get("proto")); // 3
 * ```
 *
 * @category RESP
 */
export class RespMap {
  /** The pairs. */
  readonly entries: readonly (readonly [RespValue, RespValue])[];

  /** Creates a map of these pairs. */
  constructor(entries: readonly (readonly [RespValue, RespValue])[]) {
    this.entries = entries;
  }

  /** The value of the first key with this text, or `undefined`. */
  get(name: string): RespValue | undefined {
    return this.entries.find(([key]) => textOf(key) === name)?.[1];
  }
}

/**
 * A set: its members in the order of the reply. Members can repeat.
 *
 * @example
 * ```ts
 * import { RespDecoder, RespSet } from "@sea/streamer-redis/resp";
 *
 * const decoder = new RespDecoder();
 * decoder.feed(new TextEncoder().encode("~2\r\n:1\r\n:2\r\n"));
 * const value = decoder.read()?.value;
 * if (value instanceof RespSet) console.log(value.values); // [ 1, 2 ]
 * ```
 *
 * @category RESP
 */
export class RespSet {
  /** The members. */
  readonly values: readonly RespValue[];

  /** Creates a set of these members. */
  constructor(values: readonly RespValue[]) {
    this.values = values;
  }
}

/**
 * An error reply. It is a value, since an array can contain errors.
 *
 * @example
 * ```ts
 * import { RespDecoder, RespErrorReply } from "@sea/streamer-redis/resp";
 *
 * const decoder = new RespDecoder();
 * decoder.feed(new TextEncoder().encode("-WRONGTYPE Operation against a key\r\n"));
 * const value = decoder.read()?.value;
 * if (value instanceof RespErrorReply) console.log(value.code); // WRONGTYPE
 * ```
 *
 * @category RESP
 */
export class RespErrorReply {
  /** The server's text, complete and unescaped. Do not print it: it can contain control characters. */
  readonly text: string;

  /** Creates an error reply with this text. */
  constructor(text: string) {
    this.text = text;
  }

  /** The first word of the text if it is a code. Otherwise `ERR`. */
  get code(): string {
    return errorCode(this.text);
  }
}

/**
 * A verbatim string with its format, such as `txt` or `mkd`. The format is `""` if the string has none.
 *
 * @example
 * ```ts
 * import { RespDecoder, RespVerbatim } from "@sea/streamer-redis/resp";
 *
 * const decoder = new RespDecoder();
 * decoder.feed(new TextEncoder().encode("=9\r\ntxt:hello\r\n"));
 * const value = decoder.read()?.value;
 * if (value instanceof RespVerbatim) console.log(value.format, value.text); // txt hello
 * ```
 *
 * @category RESP
 */
export class RespVerbatim {
  /** The format: three characters, or none. */
  readonly format: string;
  /** The text without its prefix. */
  readonly text: string;

  /** Creates a verbatim string. */
  constructor(format: string, text: string) {
    this.format = format;
    this.text = text;
  }
}

const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });

/** Bytes as UTF-8 text. Invalid bytes become U+FFFD, and a leading byte order mark stays. */
export function decodeText(bytes: Uint8Array): string {
  return utf8.decode(bytes);
}

/** The text of a value of any string type. `undefined` for other values. */
export function textOf(value: RespValue | undefined): string | undefined {
  if (typeof value === "string") return value;
  if (value instanceof Uint8Array) return decodeText(value);
  if (value instanceof RespVerbatim) return value.text;
  return undefined;
}

/** The pairs of a map, in RESP3's form or as the flat array of RESP2. `undefined` for other values. */
export function pairsOf(value: RespValue | undefined): readonly (readonly [RespValue, RespValue])[] | undefined {
  if (value instanceof RespMap) return value.entries;
  if (!Array.isArray(value) || value.length % 2 !== 0) return undefined;
  const pairs: [RespValue, RespValue][] = [];
  for (let i = 0; i < value.length; i += 2) pairs.push([value[i], value[i + 1]]);
  return pairs;
}
