// From a call of `send` to bytes in a chunk and a record on its way: checks, templates, back-pressure. It must not know
// when the bytes are written.

import { StreamerError } from "../../resp/errors.ts";
import {
  compactPayload,
  entryLeast,
  entryRoom,
  type EntryTemplate,
  entryTemplate,
  type HeaderList,
  writeEntry,
} from "../commands/xadd.ts";
import { trimArguments } from "../commands/xtrim.ts";
import type { Codec } from "../model/codec.ts";
import { unitsOf } from "../model/id.ts";
import { checkStreamKey, shardRedisKey } from "../model/key.ts";
import { invalidOption } from "../model/options.ts";
import type { SendLedger } from "./batch.ts";
import type { Engine } from "./engine.ts";
import { isPayload, type Payload, type SendOptions } from "./options.ts";
import { type SendReceipt, SendRecord } from "./receipt.ts";
import { chooseShard, type Sharder } from "./sharder.ts";
import { freshId } from "./stamps.ts";
import type { Target } from "./target.ts";
import { Targets } from "./targets.ts";

const NO_HEADERS: HeaderList = Object.freeze([]);

/** How a sender encodes. */
export interface SenderOptions {
  /** The field that holds the payload. */
  readonly messageField: string;
  /** What makes payloads of what is sent. */
  readonly codec?: Codec<unknown> | undefined;
}

/** How {@linkcode Sender.finish} ends. */
export interface FinishOptions {
  /** Milliseconds after which what is left is given up. */
  readonly timeout?: number;
  /** Gives up what is left, and rejects. */
  readonly signal?: AbortSignal;
  /** Gives up what is left, which then is no failure of this call. */
  readonly hurry: AbortSignal;
}

/** Encodes for one engine, on behalf of its handles. */
export class Sender {
  readonly engine: Engine;
  readonly #codec: Codec<unknown> | undefined;
  readonly #field: string;
  readonly #sharder: Sharder | undefined;
  readonly #targets = new Targets<SendRecord>((streamKey, shard) => this.#newTarget(streamKey, shard));
  #handles = 0;

  constructor(engine: Engine, { messageField, codec }: SenderOptions) {
    this.engine = engine;
    this.#codec = codec;
    this.#field = messageField;
    this.#sharder = engine.settings.sharder;
  }

  /** Whether streams are written in shards. */
  get sharded(): boolean {
    return this.#sharder !== undefined;
  }

  /** Whether a codec makes payloads of what is sent. */
  get encodes(): boolean {
    return this.#codec !== undefined;
  }

  /** One more handle uses it. */
  hold(): void {
    this.#handles++;
  }

  /** A handle is done; with the last one the engine closes. */
  release(): void {
    if (--this.#handles === 0) this.engine.close();
  }

  /** Takes a message, or gives a receipt that has failed. */
  send(ledger: SendLedger, streamKey: string, value: unknown, options?: SendOptions): SendReceipt {
    try {
      const payload = this.#codec === undefined ? value : encode(this.#codec, value);
      if (!isPayload(payload)) throw invalidOption("payload", payload, "a string or a Uint8Array");
      if (options !== undefined) return this.#sendWith(ledger, streamKey, payload, options);
      const target = this.#target(streamKey, payload, undefined);
      const template = target.template ?? this.#encode(target.redisKey, undefined, NO_HEADERS); // with maxAge none is kept
      return this.#accept(ledger, target, template, payload);
    } catch (error) {
      return this.refuse(ledger, error);
    }
  }

  /** A receipt that has failed before anything was sent. */
  refuse(ledger: SendLedger, error: unknown): SendReceipt {
    const place = { chunk: undefined, from: 0, to: 0, serial: -1, acceptedAt: 0, stampAt: undefined };
    const record = new SendRecord(this.#nowhere, ledger.batch, place);
    record.reject(notWritten(error));
    return record;
  }

  /**
   * Waits until all of a ledger's sends are settled; at the timeout, or on a signal, what is left is given up.
   *
   * @throws {StreamerError} `SEND_FAILED` where sends have failed unseen; or the signal's reason.
   */
  async finish(ledger: SendLedger, { timeout, signal, hurry }: FinishOptions): Promise<void> {
    const late = new AbortController();
    const timer = timeout === undefined ? undefined : this.engine.after(timeout, () => late.abort());
    const stop = AbortSignal.any(signal === undefined ? [late.signal, hurry] : [late.signal, hurry, signal]);
    await ledger.settle(stop).catch(() => {});
    timer?.stop();
    const before = hurry.aborted ? ledger.take() : undefined;
    if (ledger.pending) this.engine.giveUp(ledger);
    const failure = ledger.take();
    signal?.throwIfAborted();
    if (before !== undefined) throw before;
    if (failure !== undefined && !hurry.aborted) throw failure;
  }

  /** What runs code of the caller's, as iterating over headers may, comes first: it may send, too. */
  #sendWith(ledger: SendLedger, streamKey: string, payload: Payload, options: SendOptions): SendRecord {
    const { timestamp, headers, key, signal } = options;
    signal?.throwIfAborted();
    if (key !== undefined && typeof key !== "string") throw invalidOption("key", key, "a string");
    const list = headers === undefined ? NO_HEADERS : this.#headers(headers);
    const id = timestamp === undefined ? undefined : this.#id(timestamp);
    const target = this.#target(streamKey, payload, key);
    const plain = id === undefined && list.length === 0 ? target.template : undefined;
    const record = this.#accept(ledger, target, plain ?? this.#encode(target.redisKey, id, list), payload);
    if (signal !== undefined) this.#listen(record, signal);
    return record;
  }

  #accept(ledger: SendLedger, target: Target<SendRecord>, template: EntryTemplate, given: Payload): SendRecord {
    const { engine } = this;
    const payload = compactPayload(given);
    const free = engine.settings.maxBuffered - engine.buffered;
    if (entryLeast(template, payload) > free) throw bufferFull(engine.settings.maxBuffered);
    const chunk = engine.chunks.withRoom(entryRoom(template, payload));
    const from = chunk.length;
    const to = writeEntry(chunk.bytes, from, template, payload);
    if (to - from > free) throw bufferFull(engine.settings.maxBuffered);
    chunk.length = to;
    const { now: acceptedAt, nextSerial: serial } = engine;
    const stampAt = template.stampAt === undefined ? undefined : from + template.stampAt;
    const record = new SendRecord(target, ledger.batch, { chunk, from, to, serial, acceptedAt, stampAt });
    engine.accept(record);
    return record;
  }

  #listen(record: SendRecord, signal: AbortSignal): void {
    const abort = () => this.engine.withdraw(record, signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    record.release = () => signal.removeEventListener("abort", abort);
  }

  #target(streamKey: string, payload: Payload, key: string | undefined): Target<SendRecord> {
    if (this.#sharder === undefined) return this.#targets.find(streamKey);
    if (!this.#targets.has(streamKey)) checkStreamKey(streamKey);
    return this.#targets.find(streamKey, chooseShard(this.#sharder, { streamKey, payload, key }));
  }

  #newTarget(streamKey: string, shard: number | undefined): Target<SendRecord> {
    const redisKey = shard === undefined ? streamKey : shardRedisKey(streamKey, shard);
    return {
      carrier: this.engine,
      streamKey,
      shardId: shard ?? 0,
      redisKey,
      template: this.engine.settings.maxAge === undefined ? this.#encode(redisKey, undefined, NO_HEADERS) : undefined,
      inFlight: 0,
      unsettled: 0,
      backlog: undefined,
      refusingSince: undefined,
    };
  }

  /** What comes before and behind a payload. Without an id the library's own time, or the server's, makes it. */
  #encode(key: string, id: string | undefined, headers: HeaderList): EntryTemplate {
    const { timestampFormat, settings: { maxLength, maxAge } } = this.engine;
    const trim = maxLength !== undefined
      ? trimArguments({ maxLength }, false)
      : maxAge !== undefined
      ? trimArguments({ minId: `${this.#ago(maxAge)}-0` }, false)
      : [];
    const stamped = id === undefined && timestampFormat === "nanoseconds";
    return entryTemplate({ key, trim, id: id ?? freshId(timestampFormat), field: this.#field, headers, stamped });
  }

  #id(timestamp: Date | bigint): string {
    if (typeof timestamp !== "bigint" && !(timestamp instanceof Date)) {
      throw invalidOption("timestamp", timestamp, "a Date or a bigint");
    }
    return `${unitsOf(timestamp, this.engine.timestampFormat)}-*`;
  }

  #ago(milliseconds: number): bigint {
    const time = new Date(Math.max(0, Math.floor(Date.now() - milliseconds)));
    return unitsOf(time, this.engine.timestampFormat);
  }

  #headers(headers: NonNullable<SendOptions["headers"]>): HeaderList {
    if (typeof headers !== "object" || headers === null) {
      throw invalidOption("headers", headers, "an object or an iterable of pairs");
    }
    const pairs = Symbol.iterator in headers ? headers : Object.entries(headers);
    const list: [string, string | Uint8Array][] = [];
    for (const pair of pairs) {
      if (!Array.isArray(pair)) throw invalidOption("headers", pair, "pairs of a name and a value");
      const [name, value] = pair;
      if (typeof name !== "string") throw invalidOption("headers", name, "pairs of a name and a value");
      if (name === this.#field) {
        throw invalidOption("headers", name, `named otherwise than the payload's field ${this.#field}`);
      }
      if (typeof value === "string") list.push([name, value]);
      else if (value instanceof Uint8Array) list.push([name, value]); // encoded before this call returns
      else throw invalidOption(`headers.${name}`, value, "a string or a Uint8Array");
    }
    return list;
  }

  /** For receipts of messages that never had a place. */
  get #nowhere(): Target<SendRecord> {
    return {
      carrier: this.engine,
      streamKey: "",
      shardId: 0,
      redisKey: "",
      template: undefined,
      inFlight: 0,
      unsettled: 0,
      backlog: undefined,
      refusingSince: undefined,
    };
  }
}

function encode(codec: Codec<unknown>, value: unknown): unknown {
  try {
    const payload: unknown = codec.encode(value);
    if (payload instanceof Promise) payload.catch(() => {}); // it is refused, and nobody waits for it
    return payload;
  } catch (cause) {
    throw new StreamerError("INVALID_OPTION", "Cannot send a value as its codec must encode it: it throws", { cause });
  }
}

function bufferFull(maxBuffered: number): StreamerError {
  return new StreamerError("BUFFER_FULL", `Cannot buffer more as maxBuffered is ${maxBuffered} bytes`, {
    outcome: "not-written",
  });
}

/** The same error, saying that nothing was written; a signal's reason is given as it is. */
function notWritten(error: unknown): unknown {
  if (!(error instanceof StreamerError) || error.outcome !== undefined) return error;
  return new StreamerError(error.code, error.message, { cause: error.cause, outcome: "not-written" });
}
