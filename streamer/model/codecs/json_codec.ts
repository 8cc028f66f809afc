// The codec of JSON payloads, with or without a schema.

import type { Codec } from "../codec.ts";
import type { CodecMessage } from "../message.ts";
import { checkFor } from "../option_error.ts";
import { checkNames, checkOneOf, invalidOption } from "../options.ts";
import { checkSchema, type StandardSchema, validated } from "./standard_schema.ts";

/** The action in errors of a direct call of `encode`. */
const ENCODE = "encode the value";

/**
 * Options of {@linkcode jsonCodec}.
 *
 * @category Typed values
 */
export interface JsonCodecOptions {
  /**
   * When the schema checks values: `"both"` when they are encoded and when they are decoded, `"decode"` only when they are
   * decoded. Use `"decode"` for a schema whose output differs from its input. @default {"both"}
   */
  readonly validate?: "decode" | "both";
}

/**
 * The codec that {@linkcode jsonCodec} returns. It can also be called directly, for example by another codec.
 *
 * @category Typed values
 */
export interface JsonCodec<T> extends Codec<T> {
  /** Encodes a value to JSON. */
  encode(value: T): string;
  /** Decodes JSON in UTF-8 to a value. */
  decode(payload: Uint8Array, message?: CodecMessage): T;
}

/**
 * Creates a codec of JSON in UTF-8.
 *
 * Without a schema the type `T` is not checked. With a schema, values are checked when they are encoded and when they are
 * decoded:
 *
 * - `encode` checks the value and encodes the value that was given, not the output of the schema. An invalid value rejects its
 *   send with outcome `"not-written"`.
 * - `decode` returns the output of the schema.
 *
 * A schema whose output differs from its input, such as one that converts text to a `Date`, needs `validate: "decode"`. Schemas
 * must be synchronous.
 *
 * `encode` throws for values without a JSON representation: `undefined`, functions, bigints and cyclic objects. `decode` throws
 * a `SyntaxError` for invalid JSON and for an entry without a payload field, and a `TypeError` for invalid UTF-8.
 *
 * Source: ECMA-404, and Standard Schema 1.0.
 *
 * @throws {StreamerError} `INVALID_OPTION` if the schema does not implement Standard Schema. The codec's methods throw the same
 * for an invalid value, with the issues as its cause, and for an asynchronous schema.
 *
 * @example
 * ```ts
 * import { connect, jsonCodec } from "@sea/streamer-redis";
 *
 * interface Order {
 *   readonly id: number;
 * }
 * await using streamer = await connect();
 * const codec = jsonCodec<Order>(); // or, for example, jsonCodec(z.object({ id: z.number() }))
 * const consumer = await streamer.createConsumer("orders", { mode: "real-time", codec });
 * const producer = await streamer.createProducer("orders", { codec });
 * await producer.send({ id: 7 });
 * const { value } = await consumer.next();
 * console.log(value.id); // 7
 * ```
 *
 * @category Typed values
 */
export function jsonCodec<T = unknown>(schema?: StandardSchema<T>, options: JsonCodecOptions = {}): JsonCodec<T> {
  const checksSent = checkFor("create the codec", () => {
    if (schema !== undefined) checkSchema(schema);
    checkNames("options of jsonCodec", options, ["validate"]);
    if (schema === undefined && options.validate !== undefined) {
      throw invalidOption("validate", options.validate, "omitted if there is no schema");
    }
    return checkOneOf("validate", options.validate, "both", ["decode", "both"]) === "both";
  });
  const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  return {
    encode(value) {
      if (schema !== undefined && checksSent) validated(schema, value, "The schema refuses the value");
      const text = JSON.stringify(value);
      if (text === undefined) throw invalidOption("payload", value, "a value with a JSON representation", ENCODE);
      return text;
    },
    decode(payload, message) {
      if (message !== undefined && message.payloadField === undefined) throw noPayload();
      const value: T = JSON.parse(utf8.decode(payload));
      return schema === undefined ? value : validated(schema, value, "The schema refuses the payload");
    },
  };
}

function noPayload(): SyntaxError {
  return new SyntaxError(
    "The entry has no payload field. Set messageField to the field with the payload, or use fieldsCodec",
  );
}
