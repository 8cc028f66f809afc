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
import { checkStreamKey } from "../model/key.ts";
import { invalidOption } from "../model/options.ts";
import type { SendLedger } from "./batch.ts";
import type { Engine } from "./engine.ts";
import { isPayload, type Payload, type SendOptions } from "./options.ts";
import { type SendReceipt, SendRecord } from "./receipt.ts";
import { freshId } from "./stamps.ts";
import type { Target } from "./target.ts";

/** Keys whose templates are kept; past that the idle ones are dropped now and then, and made again when needed. */
const MAX_TARGETS = 4096;

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
  readonly #targets = new Map<string, Target<SendRecord>>();
  #handles = 0;
  #sweepAt = MAX_TARGETS;
  #last: Target<SendRecord> | undefined;

  constructor(engine: Engine, { messageField, codec }: SenderOptions) {
    this.engine = engine;
    this.#codec = codec;
    this.#field = messageField;
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
      const target = this.#last?.streamKey === streamKey ? this.#last : this.#target(streamKey);
      if (!isPayload(payload)) throw invalidOption("payload", payload, "a string or a Uint8Array");
      if (options === undefined) {
        return this.#accept(ledger, target, target.template ?? this.#template(target, {}), payload);
      }
      options.signal?.throwIfAborted();
      const record = this.#accept(ledger, target, this.#template(target, options), payload);
      if (options.signal !== undefined) this.#listen(record, options.signal);
      return record;
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

  #target(streamKey: string): Target<SendRecord> {
    let target = this.#targets.get(streamKey);
    if (target === undefined) {
      checkStreamKey(streamKey);
      if (this.#targets.size >= this.#sweepAt) this.#dropIdle();
      target = this.#newTarget(streamKey);
      this.#targets.set(streamKey, target);
    }
    return this.#last = target;
  }

  #newTarget(streamKey: string): Target<SendRecord> {
    const { maxAge } = this.engine.settings;
    return {
      carrier: this.engine,
      streamKey,
      shardId: 0,
      redisKey: streamKey,
      template: maxAge === undefined ? this.#encode(streamKey, undefined, []) : undefined,
      inFlight: 0,
      unsettled: 0,
      backlog: undefined,
      refusingSince: undefined,
    };
  }

  #dropIdle(): void {
    for (const [key, target] of this.#targets) {
      if (target.unsettled === 0 && target.inFlight === 0 && target.backlog === undefined) this.#targets.delete(key);
    }
    this.#sweepAt = Math.max(MAX_TARGETS, this.#targets.size * 2); // so that a sweep is rare where none is idle
  }

  /** The template of one message, with what is its own. */
  #template(target: Target<SendRecord>, { timestamp, headers, key }: SendOptions): EntryTemplate {
    if (key !== undefined && typeof key !== "string") throw invalidOption("key", key, "a string");
    const list = headers === undefined ? [] : this.#headers(headers);
    if (timestamp === undefined && list.length === 0 && target.template !== undefined) return target.template;
    return this.#encode(target.redisKey, timestamp, list);
  }

  #encode(key: string, timestamp: Date | bigint | undefined, headers: HeaderList): EntryTemplate {
    const { maxLength, maxAge } = this.engine.settings;
    const trim = maxLength !== undefined
      ? trimArguments({ maxLength }, false)
      : maxAge !== undefined
      ? trimArguments({ minId: `${this.#ago(maxAge)}-0` }, false)
      : [];
    const stamped = timestamp === undefined && this.engine.timestampFormat === "nanoseconds";
    return entryTemplate({ key, trim, id: this.#id(timestamp), field: this.#field, headers, stamped });
  }

  #id(timestamp: Date | bigint | undefined): string {
    const { timestampFormat } = this.engine;
    if (timestamp === undefined) return freshId(timestampFormat);
    if (typeof timestamp !== "bigint" && !(timestamp instanceof Date)) {
      throw invalidOption("timestamp", timestamp, "a Date or a bigint");
    }
    return `${unitsOf(timestamp, timestampFormat)}-*`;
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
    return codec.encode(value);
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
