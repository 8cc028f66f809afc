// The codec of entries whose fields are the properties of an object, as clients without a payload field write them.

import type { Codec } from "../codec.ts";
import { invalidOption } from "../options.ts";

/** The action in errors of a direct call of `encode`. */
const ENCODE = "encode the value";
const VALUES = "a string, a Uint8Array, a number, a bigint or a boolean";

/**
 * Creates a codec that stores each property of a flat object as a field of the entry.
 *
 * Most Redis clients write entries in this form. Use this codec to exchange messages with them.
 *
 * Encoding stores strings as UTF-8 and `Uint8Array`s as they are. Numbers, bigints and booleans are converted by `String()`.
 * Properties that are `undefined` are omitted. A property of any other type, or an object without properties, rejects its send
 * with outcome `"not-written"`. The fields are stored in the order of the properties, before the headers that are given to
 * `send`. The property that is named like the payload field (option `messageField`, by default `"msg"`) is stored in that field.
 *
 * Decoding returns an object with all fields, the payload field included. All values are strings, so declare the properties of
 * `T` as strings. In a repeated field the first value counts. Invalid UTF-8 becomes U+FFFD. To read binary fields, use
 * `message.headers.getBytes(name)` and `message.bytes()`.
 *
 * The type `T` is not checked.
 *
 * @example
 * ```ts
 * import { connect, fieldsCodec } from "@sea/streamer-redis";
 *
 * interface Reading {
 *   readonly sensor: string;
 *   readonly celsius: string;
 * }
 * await using streamer = await connect();
 * const codec = fieldsCodec<Reading>();
 * const consumer = await streamer.createConsumer("readings", { mode: "real-time", codec });
 * const producer = await streamer.createProducer("readings", { codec });
 * await producer.send({ sensor: "roof", celsius: "21.5" }); // XADD readings * sensor roof celsius 21.5
 * const { value } = await consumer.next();
 * console.log(value.sensor, Number(value.celsius)); // roof 21.5
 * ```
 *
 * @category Typed values
 */
export function fieldsCodec<T = Record<string, string>>(): Codec<T> {
  const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
  return {
    encode: (value) => ({ headers: fieldsOf(value) }),
    decode(payload, { headers, payloadField }) {
      const fields = new Map<string, string>(); // a field may be named __proto__
      if (payloadField !== undefined) fields.set(payloadField, utf8.decode(payload));
      for (const [name, value] of headers) if (!fields.has(name)) fields.set(name, utf8.decode(value));
      return Object.fromEntries(fields) as T; // the type is the caller's claim
    },
  };
}

function fieldsOf(value: unknown): [string, string | Uint8Array][] {
  if (typeof value !== "object" || value === null || Array.isArray(value) || ArrayBuffer.isView(value)) {
    throw invalidOption("payload", value, "an object", ENCODE);
  }
  const fields: [string, string | Uint8Array][] = [];
  for (const [name, property] of Object.entries(value)) {
    if (property !== undefined) fields.push([name, fieldValue(name, property)]);
  }
  if (fields.length === 0) throw invalidOption("payload", value, "an object with at least one property", ENCODE);
  return fields;
}

function fieldValue(name: string, property: unknown): string | Uint8Array {
  switch (typeof property) {
    case "string":
      return property;
    case "number":
    case "bigint":
    case "boolean":
      return String(property);
    default:
      if (property instanceof Uint8Array) return property;
      throw invalidOption(`payload.${name}`, property, VALUES, ENCODE);
  }
}
