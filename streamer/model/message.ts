// A message as a program sees it, decoded lazily from the page that contains it.

import { RespFrame } from "../../resp/decoding/frame.ts";
import { dateOf, type MessageId, nanosecondsOf, sequenceOf, type TimestampFormat } from "./id.ts";
import { ENTRY_FIELDS, ENTRY_ID, FIELD_STEP, FIRST_FIELD, MessageHeaders, sameBytes } from "./message_headers.ts";
import {
  headersJson,
  type PayloadJson,
  payloadJson,
  printAs,
  sequenceText,
  shownBytes,
  shownHeaders,
  timeText,
} from "./printing.ts";

/** The common data of the messages of one page. */
export interface MessageSource {
  readonly frame: RespFrame;
  readonly streamKey: string;
  readonly shardId: number;
  readonly timestampFormat: TimestampFormat;
  /** The name of the field that holds the payload. */
  readonly field: Uint8Array;
  /** Decodes payloads to values. Without it, messages have no `value`. */
  readonly decode?: ((payload: Uint8Array, message: CodecMessage) => unknown) | undefined;
  /** The page in the consumer's records, if its messages are acknowledged. */
  readonly delivered?: DeliveredPage;
}

/**
 * The message that a codec decodes, in addition to its payload.
 *
 * @category Typed values
 */
export interface CodecMessage {
  /** All fields of the entry except the payload. */
  readonly headers: MessageHeaders;
  /** The name of the payload field, or `undefined` if the entry does not have it. */
  readonly payloadField: string | undefined;
}

/** A page whose messages are acknowledged one by one. */
export interface DeliveredPage {
  /** The consumer's record of the page. */
  readonly batch: object;
  /** The tape index of each entry. `undefined` for a copied message. */
  readonly entries: Int32Array | undefined;
  /** For a copied message: the index of its entry in the page. */
  readonly index: number;
}

/**
 * Identifies one message: its stream, shard, id and sequence.
 *
 * @category Positions and ids
 */
export interface MessageIdentifier {
  /** The stream of the message. */
  readonly streamKey: string;
  /** The shard of the message. 0 for a stream without shards. */
  readonly shardId: number;
  /** The sequence of the message. Throws `UNSUPPORTED` if the second half of the id is above 65,535. */
  readonly sequence: bigint;
  /** The id of the message in its stream. */
  readonly id: MessageId;
  /** The identifier for `JSON.stringify`, with the sequence as text. Identifiers of messages have this method. */
  toJSON?(): MessageIdentifierJson;
}

/**
 * The JSON form of a {@linkcode MessageIdentifier}.
 *
 * @category Positions and ids
 */
export interface MessageIdentifierJson {
  /** The stream of the message. */
  readonly streamKey: string;
  /** The shard of the message. */
  readonly shardId: number;
  /** The sequence in decimal, or `null` if the id has none. */
  readonly sequence: string | null;
  /** The id of the message. */
  readonly id: MessageId;
}

/**
 * The JSON form of a {@linkcode Message}. It has either `payload` or, if the payload is not valid UTF-8, `payloadBase64`.
 *
 * @category Consuming
 */
export type MessageJson = MessageIdentifierJson & {
  /** The time in the id, in the format of `Date.toISOString`. `null` if `Date` cannot represent it. */
  readonly timestamp: string | null;
  /** The number of deliveries, this one included. */
  readonly deliveries: number;
  /** Names and values of the headers as text, in stored order. */
  readonly headers: readonly (readonly [name: string, text: string])[];
} & PayloadJson;

const NOTHING = new Uint8Array(0);

/** The place of a message in its consumer's record of the page. */
export interface MessagePlace {
  readonly batch: object;
  readonly index: number;
}

/** The entry of a message: its page, and its index on the tape. */
export interface MessageEntry {
  readonly source: MessageSource;
  readonly at: number;
}

// Set by the class below: they read its private fields.
let placeOf: (message: Message) => MessagePlace | undefined;
let fieldsOf: (message: Message) => Uint8Array[];
let valueOf: (message: Message) => unknown;
let entryOf: (message: Message) => MessageEntry;

/** The place of a message in its consumer's records. `undefined` if the message needs no acknowledgement. */
export function messagePlace(message: Message): MessagePlace | undefined {
  return placeOf(message);
}

/** Names and values of all fields of a message's entry, in stored order, as views of its page. */
export function messageFields(message: Message): Uint8Array[] {
  return fieldsOf(message);
}

/** The entry of a message. */
export function messageEntry(message: Message): MessageEntry {
  return entryOf(message);
}

/**
 * One message of a stream.
 *
 * Its values are decoded on demand from the page of entries that it was received in. That page stays in memory as long as the
 * program refers to the message or to bytes of it. Use {@linkcode copy} to keep one message for long.
 *
 * `console.log` prints stream, shard, id, timestamp, headers, and the payload: as text, which is cut if it is long, or as its
 * number of bytes. `JSON.stringify` writes a {@linkcode MessageJson}.
 *
 * @example
 * ```ts
 * import { connect } from "@sea/streamer-redis";
 *
 * await using streamer = await connect();
 * const producer = await streamer.createProducer("orders");
 * await producer.send("paid", { headers: { trace: "7f3a" } });
 * const consumer = await streamer.createConsumer("orders", { mode: "real-time", autoStreamReset: "earliest" });
 * const message = await consumer.next();
 * console.log(message.id, message.timestamp, message.headers.get("trace"), message.text());
 * ```
 *
 * @category Consuming
 */
export class Message {
  readonly #source: MessageSource;
  readonly #at: number;
  /** The number of deliveries, this one included, as counted by the server. Always 1 without a group. */
  readonly deliveries: number;

  /** @internal Created by a consumer from the entry at index `at` of the tape. */
  constructor(source: MessageSource, at: number, deliveries: number) {
    this.#source = source;
    this.#at = at;
    this.deliveries = deliveries;
  }

  /** The stream of the message. */
  get streamKey(): string {
    return this.#source.streamKey;
  }

  /** The shard of the message. 0 for a stream without shards. */
  get shardId(): number {
    return this.#source.shardId;
  }

  /** The id of the message in its stream. */
  get id(): MessageId {
    return this.#source.frame.textAt(this.#at + ENTRY_ID);
  }

  /**
   * The id as one number: the first half shifted left by 16 bits, plus the second half.
   *
   * @throws {StreamerError} `UNSUPPORTED` if the second half of the id is above 65,535.
   */
  get sequence(): bigint {
    return sequenceOf(this.id);
  }

  /** The time in the id, rounded down to milliseconds. An Invalid Date if `Date` cannot represent it. */
  get timestamp(): Date {
    return dateOf(this.id, this.#source.timestampFormat);
  }

  /** The time in the id, in nanoseconds since 1970. */
  get timestampNs(): bigint {
    return nanosecondsOf(this.id, this.#source.timestampFormat);
  }

  /** The stream, shard, id and sequence of the message. It can be stored, and acknowledged later with `ackWith`. */
  get identifier(): MessageIdentifier {
    const { streamKey, shardId } = this;
    return identifierOf({ streamKey, shardId, id: this.id });
  }

  /** The payload as a view of the page, not a copy. Empty if the entry has no payload field. */
  bytes(): Uint8Array {
    const at = this.#payloadAt();
    return at < 0 ? NOTHING : this.#source.frame.viewAt(at);
  }

  /** The payload as UTF-8 text. Invalid bytes become U+FFFD. */
  text(): string {
    const at = this.#payloadAt();
    return at < 0 ? "" : this.#source.frame.textAt(at);
  }

  /**
   * The payload parsed as JSON. `T` is not checked: use a codec with a schema for that.
   *
   * @throws {SyntaxError} if the payload is not valid JSON.
   */
  json<T = unknown>(): T {
    return JSON.parse(this.text());
  }

  /** All fields of the entry except the payload, in stored order. */
  get headers(): MessageHeaders {
    return new MessageHeaders(this.#source.frame, this.#at, this.#payloadAt());
  }

  /** Copies the message, so that it does not keep its page in memory. */
  copy(): Message {
    const { frame } = this.#source;
    const end = this.#at + FIRST_FIELD + Math.max(0, frame.lengthAt(this.#at + ENTRY_FIELDS)) * 2;
    const from = frame.tape[this.#at];
    const last = end - 2;
    const to = frame.isBulk(last) ? frame.bodyAt(last) - frame.start + frame.lengthAt(last) + 2 : frame.byteLength;
    const tape = frame.tape.slice(this.#at, end);
    for (let i = 0; i < tape.length; i += 2) tape[i] -= from;
    const bytes = frame.bytes.slice(frame.start + from, frame.start + to);
    const own = new RespFrame({ bytes, start: 0, tape, tapeLength: tape.length }, bytes.length);
    const { delivered } = this.#source;
    const source = { ...this.#source, frame: own };
    if (delivered === undefined) return messageAt(source, 0, this.deliveries);
    const copied = { batch: delivered.batch, entries: undefined, index: this.#index(delivered) };
    return messageAt({ ...source, delivered: copied }, 0, this.deliveries);
  }

  /** The message for `JSON.stringify`: bigints as text, and a payload that is not valid UTF-8 as Base64. */
  toJSON(): MessageJson {
    const { streamKey, shardId, id, timestamp, deliveries, headers } = this;
    return {
      streamKey,
      shardId,
      id,
      sequence: sequenceText(id),
      timestamp: timeText(timestamp),
      deliveries,
      headers: headersJson(headers),
      ...payloadJson(this.bytes()),
    };
  }

  static {
    printAs(this.prototype, "Message", (message) => {
      const { streamKey, shardId, id, timestamp, deliveries, headers } = message;
      const payload = shownBytes(message.bytes());
      return { streamKey, shardId, id, timestamp, deliveries, headers: shownHeaders(headers), payload };
    });
    placeOf = (message) => {
      const { delivered } = message.#source;
      return delivered && { batch: delivered.batch, index: message.#index(delivered) };
    };
    valueOf = (message) => {
      const { frame, decode } = message.#source;
      const payload = message.#payloadAt();
      const bytes = payload < 0 ? NOTHING : frame.viewAt(payload);
      return decode?.(bytes, new EntryFields(frame, message.#at, payload));
    };
    entryOf = (message) => ({ source: message.#source, at: message.#at });
    fieldsOf = (message) => {
      const { frame } = message.#source;
      const first = message.#at + FIRST_FIELD;
      return Array.from({ length: frame.lengthAt(message.#at + ENTRY_FIELDS) }, (_, i) => frame.viewAt(first + i * 2));
    };
  }

  /** The index of its entry in the page. It is searched for, since only few messages need it. */
  #index({ entries, index }: DeliveredPage): number {
    if (entries === undefined) return index;
    let low = 0;
    let high = entries.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (entries[middle] < this.#at) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** The tape's index of the payload, or -1. */
  #payloadAt(): number {
    const { frame, field } = this.#source;
    const end = this.#at + FIRST_FIELD + frame.lengthAt(this.#at + ENTRY_FIELDS) * 2;
    for (let at = this.#at + FIRST_FIELD; at < end; at += FIELD_STEP) {
      if (frame.lengthAt(at) === field.length && sameBytes(frame.bytes, frame.bodyAt(at), field)) return at + 2;
    }
    return -1;
  }
}

/**
 * A message with a `value`, which the codec of its consumer decodes from the payload.
 *
 * @example
 * ```ts
 * import { connect, jsonCodec } from "@sea/streamer-redis";
 *
 * await using streamer = await connect();
 * const codec = jsonCodec<{ total: number }>();
 * const producer = await streamer.createProducer("orders", { codec });
 * await producer.send({ total: 12 });
 * const consumer = await streamer.createConsumer("orders", { mode: "real-time", autoStreamReset: "earliest", codec });
 * const { value } = await consumer.next();
 * console.log(value.total); // 12
 * ```
 *
 * @category Typed values
 */
export class TypedMessage<T> extends Message {
  #decoded: { readonly value: T } | undefined;

  /**
   * The decoded payload. It is decoded once, when it is first read.
   *
   * @throws the error of the codec if the payload cannot be decoded. {@linkcode bytes} still returns the payload then.
   */
  get value(): T {
    // The consumer that made this message was given a codec of T.
    this.#decoded ??= { value: valueOf(this) as T };
    return this.#decoded.value;
  }

  /** Copies the message, so that it does not keep its page in memory. */
  override copy(): TypedMessage<T> {
    return super.copy() as TypedMessage<T>; // of the same source, and so of the same kind
  }
}

/** What a codec reads of an entry in addition to the payload. Read on demand, since most codecs read the payload only. */
class EntryFields implements CodecMessage {
  readonly #frame: RespFrame;
  readonly #entry: number;
  readonly #payload: number;

  constructor(frame: RespFrame, entry: number, payload: number) {
    this.#frame = frame;
    this.#entry = entry;
    this.#payload = payload;
  }

  get headers(): MessageHeaders {
    return new MessageHeaders(this.#frame, this.#entry, this.#payload);
  }

  get payloadField(): string | undefined {
    return this.#payload < 0 ? undefined : this.#frame.textAt(this.#payload - 2);
  }
}

/** Creates identifiers that print and serialise without errors, whatever their ids. */
function identifierOf({ streamKey, shardId, id }: Omit<MessageIdentifier, "sequence">): MessageIdentifier {
  const identifier: MessageIdentifier = {
    streamKey,
    shardId,
    get sequence(): bigint {
      return sequenceOf(id);
    },
    id,
  };
  Object.defineProperty(identifier, "toJSON", {
    value: (): MessageIdentifierJson => ({ streamKey, shardId, sequence: sequenceText(id), id }),
  });
  printAs(identifier, "", () => {
    const sequence = sequenceText(id);
    return { streamKey, shardId, sequence: sequence === null ? null : BigInt(sequence), id };
  });
  return identifier;
}

/** Creates the message at index `at` of the tape. It has a value if the source can decode one. */
export function messageAt(source: MessageSource, at: number, deliveries: number): Message {
  return source.decode === undefined
    ? new Message(source, at, deliveries)
    : new TypedMessage<unknown>(source, at, deliveries);
}
