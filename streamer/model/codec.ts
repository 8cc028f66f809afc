// Codecs: the interface between a program's values and the entries of a stream.

import type { CodecMessage } from "./message.ts";
import { invalidOption } from "./options.ts";

/**
 * Headers of a message to be sent: an object, or pairs of a name and a value in the order in which they are stored. Text is
 * stored as UTF-8.
 *
 * The `headers` of a received message are such pairs too.
 *
 * @category Producing
 */
export type HeadersInput =
  | Readonly<Record<string, string | Uint8Array>>
  | Iterable<readonly [string, string | Uint8Array]>;

/**
 * The fields of one entry, as returned by {@linkcode Codec.encode}.
 *
 * Every name must be different, also from the names of the `headers` that are given to `send`.
 *
 * @category Typed values
 */
export interface EncodedMessage {
  /**
   * The value of the payload field: text, stored as UTF-8, or bytes.
   *
   * Without a payload the entry consists of the headers only. A header may then have the name of the payload field.
   */
  readonly payload?: string | Uint8Array | undefined;
  /** Other fields of the entry, stored after the payload and before the headers that are given to `send`. */
  readonly headers?: HeadersInput | undefined;
}

/**
 * Converts the values of a program to entries of a stream, and back.
 *
 * The same codec works for producers, for consumers and for the outputs of `process`. Producers call `encode` within `send`.
 * Consumers call `decode` at the first read of `message.value`, or before they return the message if `onDecodeError` is
 * `"skip"` or `"dead-letter"`. Both methods are synchronous.
 *
 * @example A codec with a version in a header
 * ```ts
 * import { type Codec, jsonCodec } from "@sea/streamer-redis";
 *
 * interface Order {
 *   readonly id: number;
 * }
 * const json = jsonCodec<Order>();
 * const versioned: Codec<Order> = {
 *   encode: (order) => ({ payload: json.encode(order), headers: { version: "2" } }),
 *   decode(payload, { headers }) {
 *     if (headers.get("version") !== "2") throw new Error("This is not an order of version 2");
 *     return json.decode(payload);
 *   },
 * };
 * console.log(versioned.encode({ id: 7 }));
 * ```
 *
 * @category Typed values
 */
export interface Codec<T> {
  /**
   * Encodes a value to a payload, or to a payload and headers. The bytes are copied before `send` returns.
   *
   * If it throws, only this send rejects: with code `INVALID_OPTION`, outcome `"not-written"`, and the thrown error as its cause.
   */
  encode(value: T): string | Uint8Array | EncodedMessage;
  /**
   * Decodes the payload of an entry. The payload is empty if the entry has no payload field.
   *
   * The payload is a view of the receive buffer. Copy the bytes to keep them. If it throws, `onDecodeError` decides what
   * happens to the message.
   */
  decode(payload: Uint8Array, message: CodecMessage): T;
}

/**
 * What a consumer does with a message that its codec cannot decode. `"fail"`: it returns the message, and reading `value`
 * throws. `"skip"`: it skips the message and, in a group, acknowledges it. `"dead-letter"`: it moves the message to the
 * `deadLetter` stream.
 *
 * @category Typed values
 */
export type OnDecodeError = "fail" | "skip" | "dead-letter";

/** Checks the option `codec`. */
export function checkCodec<T>(codec: Codec<T> | undefined): Codec<T> | undefined {
  if (codec === undefined) return undefined;
  if (typeof codec?.encode === "function" && typeof codec.decode === "function") return codec;
  throw invalidOption("codec", codec, "an object with encode and decode");
}
