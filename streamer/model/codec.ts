// Codecs: what turns a program's values into payloads and back. It must not know who sends or reads them.

import { StreamerError } from "../../resp/errors.ts";
import { invalidOption } from "./options.ts";

/**
 * Turns values into payloads and back, on behalf of a producer or a consumer.
 *
 * Both methods are called synchronously. `decode` may keep the bytes it is given only as a copy: they are a view of a page.
 *
 * @example
 * ```ts no-eval
 * import type { Codec } from "@sea/streamer-redis";
 *
 * const seconds: Codec<number> = {
 *   encode: (value) => String(value),
 *   decode: (payload) => Number(new TextDecoder().decode(payload)),
 * };
 * ```
 */
export interface Codec<T> {
  /** The payload of a value: text, sent as UTF-8, or bytes. What it throws fails that one message. */
  encode(value: T): string | Uint8Array;
  /** The value of a payload. What it throws says that this is none. */
  decode(payload: Uint8Array): T;
}

/** What becomes of a message whose payload does not decode. */
export type OnDecodeError = "fail" | "skip" | "dead-letter";

/** A schema as described by Standard Schema, version 1: of Zod, Valibot, ArkType and others. */
export interface StandardSchema<Output = unknown> {
  /** What the standard asks for. */
  readonly "~standard": {
    /** The standard's version. */
    readonly version: 1;
    /** Whose schema it is. */
    readonly vendor: string;
    /** The value, maybe changed, or what is wrong with it. */
    readonly validate: (value: unknown) => StandardResult<Output> | Promise<StandardResult<Output>>;
    /** Types only. */
    readonly types?: { readonly input: unknown; readonly output: Output } | undefined;
  };
}

/** What a Standard Schema says of a value. */
export type StandardResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly StandardIssue[] };

/** What is wrong with a value. */
export interface StandardIssue {
  /** In words. */
  readonly message: string;
  /** Where in the value. */
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/** Issues that an error names; the rest are counted. */
const MOST_ISSUES = 3;

/**
 * A codec of JSON, in UTF-8. Without a schema the type is the caller's word; with one, what is read is what the schema
 * says it is. What is sent is not checked: its type is known, and a schema may change values on their way in.
 *
 * Encoding throws for what JSON has no text for (`undefined`, a function, a bigint, a cycle). Decoding throws a SyntaxError
 * for what is no JSON, a TypeError for what is no UTF-8, and a {@linkcode StreamerError} of code `INVALID_OPTION` for what the
 * schema refuses (its issues are the cause) or for a schema that answers later: reading does not wait for one.
 *
 * Source: ECMA-404; Standard Schema 1.0.
 *
 * @example
 * ```ts no-eval
 * import { connect, jsonCodec } from "@sea/streamer-redis";
 *
 * await using streamer = await connect("redis://localhost");
 * const codec = jsonCodec<{ id: number }>();
 * const producer = await streamer.createProducer("orders", { codec });
 * producer.send({ id: 7 });
 * const consumer = await streamer.createConsumer("orders", { mode: "real-time", codec });
 * for await (const message of consumer) console.log(message.value.id);
 * ```
 */
export function jsonCodec<T = unknown>(schema?: StandardSchema<T>): Codec<T> {
  if (schema !== undefined) checkSchema(schema);
  const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  return {
    encode(value) {
      const text = JSON.stringify(value);
      if (text === undefined) throw invalidOption("payload", value, "a value that JSON has a text for");
      return text;
    },
    decode(payload) {
      const value: T = JSON.parse(utf8.decode(payload));
      return schema === undefined ? value : validated(schema, value);
    },
  };
}

function checkSchema(schema: StandardSchema): void {
  // A schema may be a function, as ArkType's are.
  const able = (typeof schema === "object" && schema !== null) || typeof schema === "function";
  const standard = able ? schema["~standard"] : undefined;
  if (standard?.version !== 1 || typeof standard.validate !== "function") {
    throw invalidOption("schema", schema, "one with the ~standard of Standard Schema 1");
  }
}

function validated<T>(schema: StandardSchema<T>, value: unknown): T {
  const result = schema["~standard"].validate(value);
  if ("then" in result) {
    result.then(undefined, () => {}); // nobody waits for it
    throw invalidOption("schema", schema["~standard"].vendor, "one that answers at once");
  }
  if (result.issues === undefined) return result.value;
  const named = result.issues.slice(0, MOST_ISSUES).map(sentence).join(", ");
  const more = result.issues.length - MOST_ISSUES;
  throw new StreamerError(
    "INVALID_OPTION",
    `Cannot decode a payload as it must be what its schema says: ${named}${more > 0 ? ` and ${more} more` : ""}`,
    { cause: result.issues },
  );
}

function sentence({ message, path }: StandardIssue): string {
  const keys = path?.map((part) => String(typeof part === "object" ? part.key : part)).join(".");
  return keys ? `${message} at ${keys}` : message;
}

/** A codec, or `undefined` where there is none. */
export function checkCodec<T>(codec: Codec<T> | undefined): Codec<T> | undefined {
  if (codec === undefined) return undefined;
  if (typeof codec?.encode === "function" && typeof codec.decode === "function") return codec;
  throw invalidOption("codec", codec, "an object with encode and decode");
}
