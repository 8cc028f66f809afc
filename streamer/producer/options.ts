// The options of producers and their defaults. They are checked once, when a producer is created.

import { checkCodec, type Codec, type HeadersInput } from "../model/codec.ts";
import { checkBoolean, checkNames, checkNumber, checkOneOf, checkSignal, invalidOption } from "../model/options.ts";
import { checkProducerId } from "./ids/idempotency.ts";
import { makeSharder, type Sharder, type SharderFactory } from "./sharding/sharder.ts";

/**
 * The delivery guarantee of a producer, for messages whose connection was lost before the reply. See
 * {@linkcode ProducerOptions.delivery}.
 *
 * @category Producing
 */
export type Delivery = "at-least-once" | "at-most-once" | "exactly-once";

/**
 * Options of a producer of values of type `T`. Sizes are in bytes, times in milliseconds.
 *
 * @category Producing
 */
export interface ProducerOptions<T = Payload> {
  /**
   * The reaction to a lost connection, for messages whose reply is outstanding.
   *
   * - `"at-least-once"` kills the old connection on the server, then sends the messages again, in order. A message can be stored
   *   twice.
   * - `"at-most-once"` rejects the messages with code `AMBIGUOUS` and outcome `"unknown"`.
   * - `"exactly-once"` sends the messages again, in order, and each is stored once. With `singleWriter` this works on every server.
   *   Without it, the server must be Redis 8.6 or later, otherwise creating the producer rejects with `UNSUPPORTED`.
   *
   * If the connection closes each time the same message is sent alone, this message rejects with `DISCONNECTED` after eight
   * attempts. The server or a proxy may limit the size of a request. The other messages are stored.
   *
   * @default {"at-least-once"}
   */
  readonly delivery?: Delivery;
  /**
   * Whether this producer and its clones are the only writers of each shard that they write to. Only with `"exactly-once"`.
   *
   * The producer chooses the ids of its messages, so that a server stores each of them once. It asks for the end of a shard before the
   * first message, and after a lost connection for the messages in doubt: the commands XINFO STREAM, or XREVRANGE, and XRANGE must be
   * allowed. It works with every server since Redis 5.0.
   *
   * If another writer adds entries nevertheless, messages in flight can reject with `CONFLICT` and outcome `"not-written"`. If a message
   * in doubt may have been trimmed, it rejects with `AMBIGUOUS`: keep `maxLength` above the number of messages in flight.
   *
   * @default {false}
   */
  readonly singleWriter?: boolean;
  /**
   * The name under which a server remembers the messages of this producer: 1 to 128 printable ASCII characters. Only with
   * `"exactly-once"`, without `singleWriter`. It makes `idempotencyKey` possible.
   *
   * @default {random}
   */
  readonly producerId?: string;
  /**
   * Milliseconds from the call of `send` until it rejects with code `TIMEOUT`. The message is not sent after that. `null` disables
   * the timeout.
   *
   * @default {120000}
   */
  readonly sendTimeout?: number | null;
  /**
   * Bytes accepted and not settled at which `ready` becomes pending. At most `maxBuffered`.
   *
   * Each message counts its bytes on the wire and 256 more for bookkeeping. The default holds about 3,600 messages of 256 bytes.
   * Raise it if round trips take longer than 20 ms.
   *
   * @default {2097152}
   */
  readonly highWaterMark?: number;
  /**
   * Bytes accepted and not settled above which `send` fails with code `BUFFER_FULL` and outcome `"not-written"`. They are counted
   * as for `highWaterMark`.
   *
   * @default {268435456}
   */
  readonly maxBuffered?: number;
  /**
   * Trims the stream, or each of its shards, to about this many entries with each write. Cannot be combined with `maxAge`.
   *
   * @default {undefined}
   */
  readonly maxLength?: number;
  /**
   * Trims entries older than about so many milliseconds with each write. Requires Redis 6.2.
   *
   * @default {undefined}
   */
  readonly maxAge?: number;
  /**
   * Encodes the values that are sent. Without a codec, values are strings and `Uint8Array`s.
   *
   * @default {undefined}
   */
  readonly codec?: Codec<T>;
  /**
   * Splits streams into shards and chooses the shard of each message. The shards of the stream `orders` are the Redis keys
   * `orders:0`, `orders:1` and so on. The receipt contains the shard. Messages of one shard are stored in the order of the calls.
   *
   * Pass a sharder, or a factory such as `roundRobinSharder(8)`, which is called once for this producer.
   *
   * @default {undefined: the stream `orders` is the Redis key `orders`}
   */
  readonly sharder?: SharderFactory | Sharder;
  /** Aborts the creation of the producer, which then rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** The options with their defaults filled in. */
export interface ProducerSettings {
  readonly delivery: Delivery;
  readonly singleWriter: boolean;
  readonly producerId: string | undefined;
  readonly sendTimeout: number;
  readonly highWaterMark: number;
  readonly maxBuffered: number;
  readonly maxLength: number | undefined;
  readonly maxAge: number | undefined;
  readonly codec: Codec<unknown> | undefined;
  readonly sharder: Sharder | undefined;
}

/**
 * The payload of a message: text, sent as UTF-8, or bytes.
 *
 * @category Producing
 */
export type Payload = string | Uint8Array;

/** Whether a value can be sent without a codec. */
export function isPayload(value: unknown): value is Payload {
  return typeof value === "string" || value instanceof Uint8Array;
}

/**
 * Options of one message.
 *
 * @category Producing
 */
export interface SendOptions {
  /**
   * The time in the id of the message: a `Date`, or a bigint in the stream's own unit. Requires Redis 7.0, otherwise the send
   * rejects with `UNSUPPORTED`.
   *
   * The server refuses times before that of the last entry. So a message that was stored, and is sent again after a lost
   * connection, rejects with `AMBIGUOUS`. With `singleWriter` it does not: it works with Redis 5.0, and a time before that of the last
   * message rejects with `INVALID_OPTION`, before it is sent.
   */
  readonly timestamp?: Date | bigint;
  /**
   * Identifies the message for the server: 1 to 256 bytes of UTF-8. A message with the same key and the same `producerId` is stored once,
   * from whatever process, as long as the server remembers it. Its receipt has the id of the first one. Requires `producerId`.
   */
  readonly idempotencyKey?: string;
  /** A key for the producer's sharder. It is not stored, and ignored without a sharder. */
  readonly key?: string;
  /**
   * Other fields of the entry, stored in this order. None of them can have the name of the payload field.
   *
   * If reading the headers throws an error, the send rejects with that error. Its `outcome` is set to `"not-written"`. If it cannot
   * be set, the send rejects with an `INVALID_OPTION` whose cause is the error.
   */
  readonly headers?: HeadersInput;
  /**
   * Cancels the message if it is not written yet. A message that is written stays in flight, and only its receipt rejects.
   *
   * The send rejects with the signal's reason. If the reason is an object, its `outcome` is set to `"not-written"`, or to
   * `"unknown"` if it aborted a written message. Many sends can share one reason. The `outcome` of a receipt is always its own.
   */
  readonly signal?: AbortSignal;
}

/** Lengths to which a stream can be trimmed. */
export const TRIM_LENGTHS = { min: 0, max: Number.MAX_SAFE_INTEGER, integer: true } as const;

const HIGH_WATER_MARK = 2 * 1024 * 1024;

const NAMES = [
  "delivery",
  "singleWriter",
  "producerId",
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
  checkSignal(options.signal);
  const delivery = checkOneOf("delivery", options.delivery, "at-least-once", [
    "at-least-once",
    "at-most-once",
    "exactly-once",
  ]);
  const singleWriter = checkBoolean("singleWriter", options.singleWriter, false);
  if (singleWriter && delivery !== "exactly-once") {
    throw invalidOption("singleWriter", singleWriter, `omitted unless 'delivery' is "exactly-once"`);
  }
  const producerId = checkProducerId(options.producerId);
  if (producerId !== undefined && (singleWriter || delivery !== "exactly-once")) {
    throw invalidOption(
      "producerId",
      producerId,
      `omitted unless 'delivery' is "exactly-once", without 'singleWriter'`,
    );
  }
  const { sendTimeout, maxLength, maxAge } = options;
  if (maxLength !== undefined && maxAge !== undefined) {
    throw invalidOption("maxAge", maxAge, "omitted if 'maxLength' is given");
  }
  const maxBuffered = checkNumber("maxBuffered", options.maxBuffered, 256 * 1024 * 1024, { min: 1 });
  return {
    delivery,
    singleWriter,
    producerId,
    sendTimeout: sendTimeout === null ? Infinity : checkNumber("sendTimeout", sendTimeout, 120_000, { min: 1 }),
    highWaterMark: checkNumber("highWaterMark", options.highWaterMark, Math.min(HIGH_WATER_MARK, maxBuffered), {
      min: 1,
      max: maxBuffered,
    }),
    maxBuffered,
    maxLength: maxLength === undefined ? undefined : checkNumber("maxLength", maxLength, 0, TRIM_LENGTHS),
    maxAge: maxAge === undefined ? undefined : checkNumber("maxAge", maxAge, 0, { min: 0 }),
    // The type of the producer ensures that values are of type T. Other values fail in the codec.
    codec: checkCodec(options.codec) as Codec<unknown> | undefined,
    sharder: makeSharder(options.sharder), // last: a factory is called only where all else is right
  };
}
