// The producer's options: their defaults, checked once, at the edge. It must not know how they are carried out.

import { StreamerError } from "../../resp/errors.ts";
import { checkCodec, type Codec } from "../model/codec.ts";
import { checkNames, checkNumber, checkOneOf, invalidOption } from "../model/options.ts";
import { makeSharder, type Sharder, type SharderFactory } from "./sharder.ts";

/** What is done about a message whose answer was lost with the connection. */
export type Delivery = "at-least-once" | "at-most-once" | "exactly-once";

/** Options of a producer of values of type `T`. Sizes are in bytes, times in milliseconds. */
export interface ProducerOptions<T = Payload> {
  /**
   * What is done about a message whose answer was lost: `"at-least-once"` sends it again, in order, after the old
   * connection has been killed, so that it can stand twice in the stream; `"at-most-once"` rejects with `AMBIGUOUS`.
   * `"exactly-once"` is not built yet: `UNSUPPORTED`. @default {"at-least-once"}
   */
  readonly delivery?: Delivery;
  /** Time from the call after which a send rejects with `TIMEOUT` and is not sent later; `null` for none. @default {120000} */
  readonly sendTimeout?: number | null;
  /** Bytes accepted and not settled from which on `ready` is pending; at most `maxBuffered`. @default {16777216} */
  readonly highWaterMark?: number;
  /**
   * Bytes accepted and not settled past which a send fails with `BUFFER_FULL`. Counted as they go over the wire; each
   * message costs about 200 bytes more of bookkeeping. @default {268435456}
   */
  readonly maxBuffered?: number;
  /**
   * Trims the stream to about this many entries with each write; where it has shards, each of them. Not together with
   * `maxAge`. @default {undefined}
   */
  readonly maxLength?: number;
  /** Trims entries older than about this with each write. Redis 6.2. @default {undefined} */
  readonly maxAge?: number;
  /** What makes payloads of the values that are sent; without one, payloads are sent. @default {undefined} */
  readonly codec?: Codec<T>;
  /**
   * Splits streams in shards, and chooses the shard of each message: one for `orders` then goes to the Redis key `orders:0`,
   * `orders:1` or so on, and its receipt says which. The order of the calls is kept within a shard. A factory, such as
   * `roundRobinSharder(8)` gives, is called once for this producer. @default {undefined: `orders` is one Redis key}
   */
  readonly sharder?: SharderFactory | Sharder;
  /** Abandons the creation. */
  readonly signal?: AbortSignal;
}

/** The same with every default filled in. */
export interface ProducerSettings {
  readonly delivery: "at-least-once" | "at-most-once";
  readonly sendTimeout: number;
  readonly highWaterMark: number;
  readonly maxBuffered: number;
  readonly maxLength: number | undefined;
  readonly maxAge: number | undefined;
  readonly codec: Codec<unknown> | undefined;
  readonly sharder: Sharder | undefined;
}

/** What a message is made of: text, sent as UTF-8, or bytes. */
export type Payload = string | Uint8Array;

/** Whether a value can be sent as it is. */
export function isPayload(value: unknown): value is Payload {
  return typeof value === "string" || value instanceof Uint8Array;
}

/** Options of one message. */
export interface SendOptions {
  /**
   * What the first half of the id holds: a Date, or a bigint in the stream's own unit. Redis 7.0, else `UNSUPPORTED`. The
   * server takes no time before that of the stream's last entry; so one that is sent again after a cut, and was stored
   * already, rejects with `AMBIGUOUS`.
   */
  readonly timestamp?: Date | bigint;
  /** By which the producer's sharder may choose the shard; it is not stored. Without a sharder it means nothing. */
  readonly key?: string;
  /** Further fields of the entry, in their order. None may be named like the payload's field. */
  readonly headers?: Readonly<Record<string, string | Uint8Array>> | Iterable<readonly [string, string | Uint8Array]>;
  /** Takes the message back while it is not written; once it is, ends only the waiting for its receipt. */
  readonly signal?: AbortSignal;
}

/** Lengths to which a stream can be cut. */
export const TRIM_LENGTHS = { min: 0, max: Number.MAX_SAFE_INTEGER, integer: true } as const;

const HIGH_WATER_MARK = 16 * 1024 * 1024;

const NAMES = [
  "delivery",
  "sendTimeout",
  "highWaterMark",
  "maxBuffered",
  "maxLength",
  "maxAge",
  "codec",
  "sharder",
  "signal",
];

/** Checks options and fills in defaults. */
export function producerSettings<T>(options: ProducerOptions<T>): ProducerSettings {
  checkNames("producer options", options, NAMES);
  const delivery = checkOneOf("delivery", options.delivery, "at-least-once", [
    "at-least-once",
    "at-most-once",
    "exactly-once",
  ]);
  if (delivery === "exactly-once") {
    throw new StreamerError("UNSUPPORTED", "Cannot deliver exactly once as it is not built yet");
  }
  const { sendTimeout, maxLength, maxAge } = options;
  if (maxLength !== undefined && maxAge !== undefined) {
    throw invalidOption("maxAge", maxAge, "left out when maxLength is given");
  }
  const maxBuffered = checkNumber("maxBuffered", options.maxBuffered, 256 * 1024 * 1024, { min: 1 });
  return {
    delivery,
    sendTimeout: sendTimeout === null ? Infinity : checkNumber("sendTimeout", sendTimeout, 120_000, { min: 1 }),
    highWaterMark: checkNumber("highWaterMark", options.highWaterMark, Math.min(HIGH_WATER_MARK, maxBuffered), {
      min: 1,
      max: maxBuffered,
    }),
    maxBuffered,
    maxLength: maxLength === undefined ? undefined : checkNumber("maxLength", maxLength, 0, TRIM_LENGTHS),
    maxAge: maxAge === undefined ? undefined : checkNumber("maxAge", maxAge, 0, { min: 0 }),
    // What is sent is a T by the producer's type, and else fails as the codec says.
    codec: checkCodec(options.codec) as Codec<unknown> | undefined,
    sharder: makeSharder(options.sharder), // last: a factory is called only where all else is right
  };
}
