// A message as a program sees it: read lazily out of the page it came in. It must not know how pages are fetched.

import { RespFrame } from "../../resp/frame.ts";
import { dateOf, type MessageId, nanosecondsOf, sequenceOf, type TimestampFormat } from "./id.ts";

/** What the messages of one page have in common. */
export interface MessageSource {
  readonly frame: RespFrame;
  readonly streamKey: string;
  readonly shardId: number;
  readonly timestampFormat: TimestampFormat;
  /** The name of the field that holds the payload. */
  readonly field: Uint8Array;
  /** What payloads become values by; without one, messages have none. */
  readonly decode?: ((payload: Uint8Array) => unknown) | undefined;
  /** What the consumer keeps of the page, where its messages are acknowledged, and the tape's indices of its entries. */
  readonly delivered?: DeliveredPage;
}

/** A page whose messages are acknowledged one by one. */
export interface DeliveredPage {
  /** What the consumer keeps of it. */
  readonly lot: object;
  /** Where each entry stands on the frame's tape; of a copy only its own, wherever that was in the page. */
  readonly entries: Int32Array | undefined;
  /** Of a copy: which entry of the page it was. */
  readonly index: number;
}

/** What names one message. */
export interface MessageIdentifier {
  /** The stream it came from. */
  readonly streamKey: string;
  /** The shard it came from. */
  readonly shardId: number;
  /** Reading it throws `UNSUPPORTED` where the second half of the id is above 65535. */
  readonly sequence: bigint;
  /** Its id in the stream. */
  readonly id: MessageId;
}

const NOTHING = new Uint8Array(0);
const utf8 = new TextEncoder();

/** The field that holds the payload, as bytes, to be compared with. */
export function fieldBytes(name: string): Uint8Array {
  return utf8.encode(name);
}

/** Where a message stands in what its consumer keeps of the page it came in. */
export interface MessagePlace {
  readonly lot: object;
  readonly index: number;
}

/** Where a message stands: in the page it came in, at this index of the tape. */
export interface MessageEntry {
  readonly source: MessageSource;
  readonly at: number;
}

// Set by the class below, whose private parts they read.
let placeOf: (message: Message) => MessagePlace | undefined;
let fieldsOf: (message: Message) => Uint8Array[];
let decodeOf: (message: Message) => MessageSource["decode"];
let entryOf: (message: Message) => MessageEntry;

/** Where a message came from; `undefined` for one that nobody acknowledges. */
export function messagePlace(message: Message): MessagePlace | undefined {
  return placeOf(message);
}

/** Names and values of all fields of a message's entry, as they are stored: views of its page. */
export function messageFields(message: Message): Uint8Array[] {
  return fieldsOf(message);
}

/** Where a message stands. */
export function messageEntry(message: Message): MessageEntry {
  return entryOf(message);
}

// On the tape, an entry is: the array of two, its id, the array of its fields, then name and value of each.
const ID = 2;
const FIELDS = 4;
const FIRST_FIELD = 6;
const PAIR = 4;

/**
 * One message of a stream.
 *
 * What it gives is read on demand from the page it came in, which stays in memory as long as the message, or bytes of
 * it, are held; {@linkcode copy} gives one that holds no more than itself.
 */
export class Message {
  readonly #source: MessageSource;
  readonly #at: number;
  /** The server's count of deliveries, this one included; 1 in real time. */
  readonly deliveries: number;

  /** @internal Made by a consumer, of the entry that the tape of the source's frame holds at `at`. */
  constructor(source: MessageSource, at: number, deliveries: number) {
    this.#source = source;
    this.#at = at;
    this.deliveries = deliveries;
  }

  /** The stream it came from. */
  get streamKey(): string {
    return this.#source.streamKey;
  }

  /** The shard it came from; 0 for a stream without shards. */
  get shardId(): number {
    return this.#source.shardId;
  }

  /** Its id in the stream. */
  get id(): MessageId {
    return this.#source.frame.textAt(this.#at + ID);
  }

  /** Its id as one number. Throws `UNSUPPORTED` where the second half of the id is above 65535. */
  get sequence(): bigint {
    return sequenceOf(this.id);
  }

  /** The time in its id, cut to milliseconds; an Invalid Date where Date cannot hold it. */
  get timestamp(): Date {
    return dateOf(this.id, this.#source.timestampFormat);
  }

  /** The time in its id in nanoseconds since 1970. */
  get timestampNs(): bigint {
    return nanosecondsOf(this.id, this.#source.timestampFormat);
  }

  /** What names it. */
  get identifier(): MessageIdentifier {
    const { streamKey, shardId } = this;
    const id = this.id;
    return {
      streamKey,
      shardId,
      get sequence(): bigint {
        return sequenceOf(id);
      },
      id,
    };
  }

  /** The payload, as a view of the page; empty where the entry has no such field. */
  bytes(): Uint8Array {
    const at = this.#payloadAt();
    return at < 0 ? NOTHING : this.#source.frame.viewAt(at);
  }

  /** The payload as UTF-8; what is no UTF-8 becomes U+FFFD. */
  text(): string {
    const at = this.#payloadAt();
    return at < 0 ? "" : this.#source.frame.textAt(at);
  }

  /** The payload parsed as JSON; throws a SyntaxError for what is none. The type is the caller's word. */
  json<T = unknown>(): T {
    return JSON.parse(this.text());
  }

  /** Every field of the entry but the payload, in stored order. */
  get headers(): MessageHeaders {
    return new MessageHeaders(this.#source.frame, this.#at, this.#payloadAt());
  }

  /** The same message in memory of its own, so that holding it does not hold its page. */
  copy(): Message {
    const { frame } = this.#source;
    const end = this.#at + FIRST_FIELD + Math.max(0, frame.lengthAt(this.#at + FIELDS)) * 2;
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
    const copied = { lot: delivered.lot, entries: undefined, index: this.#index(delivered) };
    return messageAt({ ...source, delivered: copied }, 0, this.deliveries);
  }

  static {
    placeOf = (message) => {
      const { delivered } = message.#source;
      return delivered && { lot: delivered.lot, index: message.#index(delivered) };
    };
    decodeOf = (message) => message.#source.decode;
    entryOf = (message) => ({ source: message.#source, at: message.#at });
    fieldsOf = (message) => {
      const { frame } = message.#source;
      const first = message.#at + FIRST_FIELD;
      return Array.from({ length: frame.lengthAt(message.#at + FIELDS) }, (_, i) => frame.viewAt(first + i * 2));
    };
  }

  /** Which entry of its page it is: looked for, since only few messages are ever asked. */
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
    const end = this.#at + FIRST_FIELD + frame.lengthAt(this.#at + FIELDS) * 2;
    for (let at = this.#at + FIRST_FIELD; at < end; at += PAIR) {
      if (frame.lengthAt(at) === field.length && sameBytes(frame.bytes, frame.bodyAt(at), field)) return at + 2;
    }
    return -1;
  }
}

/** A message whose payload is read as a value by its consumer's codec. */
export class TypedMessage<T> extends Message {
  #decoded: { readonly value: T } | undefined;

  /**
   * What the codec makes of the payload: the same at every reading. Throws what the codec throws where the payload does
   * not decode; {@linkcode bytes} has it all the same.
   */
  get value(): T {
    // The consumer that made this message was given a codec of T.
    this.#decoded ??= { value: decodeOf(this)?.(this.bytes()) as T };
    return this.#decoded.value;
  }

  /** The same message in memory of its own, so that holding it does not hold its page. */
  override copy(): TypedMessage<T> {
    return super.copy() as TypedMessage<T>; // of the same source, and so of the same kind
  }
}

/** The message that the tape of the source's frame holds at `at`: with a value, where there is what makes one. */
export function messageAt(source: MessageSource, at: number, deliveries: number): Message {
  return source.decode === undefined
    ? new Message(source, at, deliveries)
    : new TypedMessage<unknown>(source, at, deliveries);
}

function sameBytes(bytes: Uint8Array, from: number, name: Uint8Array): boolean {
  for (let i = 0; i < name.length; i++) if (bytes[from + i] !== name[i]) return false;
  return true;
}

/** The fields of an entry beside its payload: names may repeat, values are bytes. */
export class MessageHeaders implements Iterable<[string, Uint8Array]> {
  readonly #frame: RespFrame;
  readonly #entry: number;
  readonly #payload: number;

  /** @internal Made by a message. */
  constructor(frame: RespFrame, entry: number, payload: number) {
    this.#frame = frame;
    this.#entry = entry;
    this.#payload = payload;
  }

  /** How many there are, repeated ones included. */
  get size(): number {
    const fields = Math.max(0, this.#frame.lengthAt(this.#entry + FIELDS)) / 2;
    return this.#payload < 0 ? fields : fields - 1;
  }

  /** Whether there is one of this name. */
  has(name: string): boolean {
    return this.getBytes(name) !== undefined;
  }

  /** The first of this name as UTF-8, or `undefined`. */
  get(name: string): string | undefined {
    for (const at of this.#values(name)) return this.#frame.textAt(at);
    return undefined;
  }

  /** The first of this name as a view of the page, or `undefined`. */
  getBytes(name: string): Uint8Array | undefined {
    for (const at of this.#values(name)) return this.#frame.viewAt(at);
    return undefined;
  }

  /** All of this name, in stored order, as views of the page. */
  getAll(name: string): Uint8Array[] {
    return Array.from(this.#values(name), (at) => this.#frame.viewAt(at));
  }

  /** Names and values in stored order. */
  *[Symbol.iterator](): IterableIterator<[string, Uint8Array]> {
    for (const at of this.#values()) yield [this.#frame.textAt(at - 2), this.#frame.viewAt(at)];
  }

  *#values(name?: string): Generator<number> {
    const wanted = name === undefined ? undefined : fieldBytes(name);
    const frame = this.#frame;
    const end = this.#entry + FIRST_FIELD + frame.lengthAt(this.#entry + FIELDS) * 2;
    for (let at = this.#entry + FIRST_FIELD; at < end; at += PAIR) {
      if (at + 2 === this.#payload) continue;
      const same = wanted === undefined ||
        (frame.lengthAt(at) === wanted.length && sameBytes(frame.bytes, frame.bodyAt(at), wanted));
      if (same) yield at + 2;
    }
  }
}
