// The fields of one entry: what a codec returned, the headers of the send, and how they are combined.

import { StreamerError } from "../../../resp/errors.ts";
import type { HeaderList } from "../../commands/xadd.ts";
import type { Codec, HeadersInput } from "../../model/codec.ts";
import { shown } from "../../model/id.ts";
import { OptionError } from "../../model/option_error.ts";
import { invalidOption } from "../../model/options.ts";
import { isPayload, type Payload } from "../options.ts";

export const NO_HEADERS: HeaderList = Object.freeze([]);

/** An entry as its codec returned it, read and checked. */
export class EncodedFields {
  readonly payload: Payload | undefined;
  readonly headers: HeaderList;

  constructor(payload: Payload | undefined, headers: HeaderList) {
    this.payload = payload;
    this.headers = headers;
  }
}

/** The fields of an entry in their order. The value of the first one is encoded in place, as payloads are. */
export interface EntryFields {
  readonly field: string;
  readonly value: Payload;
  readonly headers: HeaderList;
  /** The value of the payload field, for the sharder. Empty without that field. */
  readonly payload: Payload;
  /** Whether the payload field is the only one. */
  readonly plain: boolean;
}

/**
 * Encodes a value.
 *
 * @throws {StreamerError} `INVALID_OPTION`, with the error that the codec threw as its cause. An `INVALID_OPTION` of the codec,
 * such as those of `jsonCodec`, is thrown as it is.
 */
export function encodeValue(codec: Codec<unknown>, value: unknown): Payload | EncodedFields {
  try {
    const encoded: unknown = codec.encode(value);
    return isPayload(encoded) ? encoded : readFields(encoded);
  } catch (cause) {
    if (cause instanceof StreamerError && cause.code === "INVALID_OPTION") throw cause;
    throw new StreamerError("INVALID_OPTION", "The codec threw an error while it encoded the value. See the cause", {
      cause,
    });
  }
}

/** Reads what a codec returned: each property once. A program's getters and iterators run here. */
function readFields(encoded: unknown): EncodedFields {
  if (encoded instanceof Promise) {
    encoded.catch(() => {}); // its rejection has no other handler
    throw badResult("a promise");
  }
  if (typeof encoded !== "object" || encoded === null) throw badResult(shown(encoded));
  const unknown = Object.keys(encoded).find((name) => name !== "payload" && name !== "headers");
  if (unknown !== undefined) throw badResult(`the property ${shown(unknown)}`);
  const { payload, headers }: { readonly payload?: unknown; readonly headers?: unknown } = encoded;
  if (payload !== undefined && !isPayload(payload)) throw badResult(`the payload ${shown(payload)}`);
  return new EncodedFields(payload, headers === undefined ? NO_HEADERS : headerList(headers));
}

function badResult(got: string): StreamerError {
  return new OptionError(`'codec' must encode values to a string, a Uint8Array or { payload, headers }, got ${got}`);
}

/** Checks headers and copies their pairs. Values are encoded before the call of `send` returns. */
function headerList(headers: unknown): HeaderList {
  if (typeof headers !== "object" || headers === null) {
    throw invalidOption("headers", headers, "an object or an iterable of pairs");
  }
  const pairs = Symbol.iterator in headers ? headers as Iterable<unknown> : Object.entries(headers);
  const list: [string, string | Uint8Array][] = [];
  for (const pair of pairs) {
    if (!Array.isArray(pair)) throw invalidOption("headers", pair, "pairs of a name and a value");
    const [name, value] = pair;
    if (typeof name !== "string") throw invalidOption("headers", name, "pairs of a name and a value");
    if (!isPayload(value)) throw invalidOption(`headers.${name}`, value, "a string or a Uint8Array");
    list.push([name, value]);
  }
  return list;
}

/** Headers of a send: none of them has the name of the payload field. */
export function sendHeaders(headers: HeadersInput, payloadField: string): HeaderList {
  const list = headerList(headers);
  if (list.some(([name]) => name === payloadField)) {
    throw invalidOption("headers", payloadField, "named differently from the payload field");
  }
  return list;
}

/**
 * The fields of an entry from a payload, or from what a codec returned, and the headers of the send.
 *
 * @throws {StreamerError} `INVALID_OPTION` if two fields that a codec returned have the same name, or if there is no field.
 */
export function entryFields(
  content: Payload | EncodedFields,
  payloadField: string,
  headers: HeaderList,
): EntryFields {
  if (isPayload(content)) {
    return { field: payloadField, value: content, headers, payload: content, plain: headers.length === 0 };
  }
  const { payload } = content;
  const own: HeaderList = payload === undefined ? content.headers : [[payloadField, payload], ...content.headers];
  const [first, ...rest] = checkDistinct(headers.length === 0 ? own : [...own, ...headers]);
  if (first === undefined) throw badResult("no field");
  const [field, value] = first;
  const shardedBy = payload ?? own.find(([name]) => name === payloadField)?.[1] ?? "";
  return { field, value, headers: rest, payload: shardedBy, plain: rest.length === 0 && field === payloadField };
}

function checkDistinct(fields: HeaderList): HeaderList {
  const names = new Set<string>();
  for (const [name] of fields) {
    if (names.has(name)) throw new OptionError(`'headers' must have unique names, got ${shown(name)} twice`);
    names.add(name);
  }
  return fields;
}
