// The handles with which programs send messages. Several handles can share one engine, and each counts its own failures.

import { StreamerError } from "../../resp/errors.ts";
import { checkBoolean, checkNames, checkNumber, checkSignal, invalidOption } from "../model/options.ts";
import type { Router } from "../cluster/router.ts";
import { checkStreamKey } from "../model/key.ts";
import { idOfTime, type TimestampFormat } from "../model/id.ts";
import { checkFor, OptionError } from "../model/option_error.ts";
import { printAs } from "../model/printing.ts";
import type { TrimTarget } from "../commands/xtrim.ts";
import { SendFailures } from "./messages/send_failures.ts";
import type { ProducerJson, ProducerStats } from "./stats.ts";
import { type Payload, type SendOptions, TRIM_LENGTHS } from "./options.ts";
import type { SendReceipt, SendRecord } from "./messages/receipt.ts";
import { type PreparedEntry, prepareEntry } from "./sending/prepared_entry.ts";
import type { Sender } from "./sending/sender.ts";
import { type TrimServers, trimStream } from "./trimming.ts";
import { writableOf, type WritableTarget } from "./stream/writable.ts";

/**
 * Options of {@linkcode Producer.trim}: either `maxLength`, the number of entries to keep, or `minTimestamp`, the time from which
 * on entries are kept. A `Date` stands for its whole millisecond. A bigint is in the stream's own unit.
 *
 * @category Producing
 */
export type TrimOptions =
  & (
    | { readonly maxLength: number; readonly minTimestamp?: undefined }
    | { readonly maxLength?: undefined; readonly minTimestamp: Date | bigint }
  )
  & {
    /** True trims exactly. False keeps up to about 100 entries more, which is much faster. @default {false} */
    readonly exact?: boolean;
    /** Aborts the wait. Trims that were already sent take effect. */
    readonly signal?: AbortSignal;
  };

/**
 * Options of {@linkcode GenericProducer.end}.
 *
 * @category Producing
 */
export interface EndOptions {
  /** Milliseconds after which the remaining sends reject with `DISCONNECTED`. @default {none: each send has its own timeout} */
  readonly timeout?: number;
  /** Rejects the remaining sends with `DISCONNECTED`. `end` then rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

/**
 * Sends messages to any stream, pipelined over its own connection.
 *
 * Messages to one stream are stored in the order of the calls, also across reconnects and retries. In a sharded stream this applies
 * to each shard. Messages to different streams do not wait for each other. A lost connection is reconnected. The option
 * `delivery` decides whether messages in flight are sent again.
 *
 * @example
 * ```ts
 * import { connect } from "@sea/streamer-redis";
 *
 * await using streamer = await connect();
 * const producer = await streamer.createGenericProducer();
 * producer.sendTo("orders", "paid"); // not awaited: pipelined
 * const { id } = await producer.sendTo("orders", "shipped", { headers: { trace: "7f3a" } });
 * console.log(id);
 * await producer.end();
 * ```
 *
 * @category Producing
 */
export interface GenericProducer<T = Payload> extends AsyncDisposable {
  /**
   * Sends a message to a stream.
   *
   * It returns immediately and never throws: every failure rejects the receipt. The bytes are copied at the call. While the server
   * is not available the message waits, at most for `sendTimeout`. A sharder chooses the shard at the call.
   *
   * Source: `XADD`, Redis 5.0.
   */
  sendTo(streamKey: string, payload: T, options?: SendOptions): SendReceipt;
  /**
   * Binds this producer to one stream, so that it offers `send`. This is possible once.
   *
   * @throws {StreamerError} `ALREADY_ANCHORED` for the second call, or `INVALID_STREAM_KEY`.
   */
  anchor(streamKey: string): Producer<T>;
  /**
   * Creates another handle of the same connection, with its own `flush`, `end` and count of failures.
   *
   * @throws {StreamerError} `PRODUCER_ENDED` after `end`.
   */
  clone(): GenericProducer<T>;
  /** Whether the producer has a codec. */
  readonly encodes: boolean;
  /** `highWaterMark` minus the bytes accepted and not settled. Can be negative. Shared by clones. */
  readonly desiredSize: number;
  /** Resolves when {@linkcode desiredSize} is above zero. Await it to respect back-pressure. */
  readonly ready: Promise<void>;
  /**
   * Resolves when all earlier sends of this handle are settled.
   *
   * @throws {StreamerError} `SEND_FAILED` if sends failed that were not awaited, with their `count` and the first `cause`. The
   * count then restarts at 0.
   * @throws {StreamerError} `PRODUCER_ENDED` after `end`.
   * @throws the reason of the signal.
   */
  flush(options?: { readonly signal?: AbortSignal }): Promise<void>;
  /**
   * Stops accepting messages and waits until all earlier ones are settled. The connection closes with the last handle. A second
   * call has no effect.
   *
   * @throws {StreamerError} `SEND_FAILED`, as {@linkcode flush} does, or `INVALID_OPTION`.
   * @throws the reason of the signal.
   */
  end(options?: EndOptions): Promise<void>;
  /** Returns the statistics of all handles of the connection. */
  stats(): ProducerStats;
  /** The stream and the statistics of this producer, for `JSON.stringify`. `console.log` prints the same. */
  toJSON(): ProducerJson;
}

/**
 * Sends messages to one stream. See {@linkcode GenericProducer} for order and delivery.
 *
 * @example Respect back-pressure
 * ```ts
 * import { connect } from "@sea/streamer-redis";
 *
 * await using streamer = await connect();
 * const producer = await streamer.createProducer("orders");
 * for (let i = 0; i < 10_000; i++) {
 *   producer.send(`order ${i}`);
 *   if (producer.desiredSize <= 0) await producer.ready;
 * }
 * await producer.flush();
 * ```
 *
 * @category Producing
 */
export interface Producer<T = Payload> extends GenericProducer<T> {
  /** The stream of this producer. */
  readonly streamKey: string;
  /** Sends a message to the stream of this producer, as {@linkcode GenericProducer.sendTo} does. */
  send(payload: T, options?: SendOptions): SendReceipt;
  /** Creates another handle of the same connection, bound to the same stream. */
  clone(): Producer<T>;
  /**
   * The producer as a web stream of values, with back-pressure.
   *
   * - A failed send errors the stream and a pipe into it.
   * - Closing the stream waits until all sends of this handle are settled. It rejects with the first failure of the stream's own
   *   sends, and does not end the producer.
   * - Aborting the stream does not wait. Messages that were accepted are still sent.
   *
   * After each of these the property returns a new stream.
   *
   * One error of the stream stands for all of its failed sends. If the program does not see it, the next {@linkcode flush} or
   * {@linkcode end} rejects with `SEND_FAILED`. The program sees it by a pipe, by the writer's `closed`, or by writing or closing.
   */
  readonly writable: WritableStream<T>;
  /**
   * Trims the stream, and returns the number of removed entries.
   *
   * With a sharder, every shard on the server is trimmed to `maxLength` or `minTimestamp`, also shards of other producers. If
   * there are no shards, the plain key is trimmed. Without a sharder only the plain key is trimmed. If the server refuses to trim a
   * shard, the other shards are trimmed before this rejects.
   *
   * An approximate trim repeats the command until nothing more is removed, since the server removes about 10,000 entries at once.
   *
   * The commands use another connection than the messages. Call `flush` first if messages in flight have to count. If a command is
   * repeated after a lost connection, the result contains only the entries that the second attempt removed.
   *
   * Source: `XTRIM`, Redis 5.0. `minTimestamp` requires Redis 6.2. With a sharder also `SCAN` and `TYPE`, Redis 6.0.
   *
   * @throws {StreamerError} `INVALID_OPTION`, `PRODUCER_ENDED`, `TIMEOUT` or `DISCONNECTED`.
   * @throws {RedisError} the error reply of the server. With a sharder this is `NOPERM` if the server forbids `SCAN`.
   * @throws the reason of the signal.
   *
   * @example
   * ```ts
   * import { connect, roundRobinSharder } from "@sea/streamer-redis";
   *
   * await using streamer = await connect();
   * const producer = await streamer.createProducer("orders", { sharder: roundRobinSharder(8) });
   * await producer.send("paid");
   * const anHourAgo = new Date(Date.now() - 3_600_000);
   * console.log(await producer.trim({ minTimestamp: anHourAgo }), "entries of all shards were older");
   * ```
   */
  trim(options: TrimOptions): Promise<number>;
}

/** The part of a streamer that handles use. */
export interface ProducerContext {
  /** The streamer's router. */
  readonly router: Router;
  /** The URL of the streamer, without secrets. */
  readonly uri: string;
  /** Runs commands other than sends, over the streamer's own connection. The signal aborts the wait. */
  servers(signal: AbortSignal | undefined): TrimServers;
  /** A handle ended. */
  ended(handle: ProducerHandle<unknown>): void;
  /** A handle was cloned. */
  cloned(handle: ProducerHandle<unknown>): void;
}

/** A producer whose messages are stored by other means than its own connection. */
export interface PreparedOutlet {
  /** The router and the URL of its streamer. */
  readonly router: Router;
  readonly uri: string;
  /** The key of the stream, unless a sharder chooses among several. */
  readonly redisKey: string | undefined;
  /** Encodes a message. Throws what `send` would reject with. */
  readonly prepare: (value: unknown, options?: SendOptions) => PreparedEntry;
}

/** One handle. */
export class ProducerHandle<T = Payload> implements Producer<T> {
  static {
    const nameOf = (handle: ProducerHandle<unknown>) => handle.#anchor === undefined ? "GenericProducer" : "Producer";
    printAs(this.prototype, nameOf, (handle) => handle.toJSON());
  }

  readonly #sender: Sender;
  readonly #context: ProducerContext;
  readonly #failures = new SendFailures();
  #anchor: string | undefined;
  readonly #hurry = new AbortController();
  #ending: Promise<void> | undefined;
  #writable: WritableStream<T> | undefined;

  constructor(sender: Sender, context: ProducerContext, streamKey?: string) {
    this.#sender = sender;
    this.#context = context;
    this.#anchor = streamKey;
    sender.attach();
  }

  get streamKey(): string {
    return this.#anchored();
  }

  get desiredSize(): number {
    return this.#sender.engine.budget.desiredSize;
  }

  get ready(): Promise<void> {
    return this.#sender.engine.budget.ready;
  }

  get encodes(): boolean {
    return this.#sender.encodes;
  }

  get writable(): WritableStream<T> {
    this.#anchored();
    return this.#writable ??= this.#newWritable();
  }

  send(payload: T, options?: SendOptions): SendReceipt {
    return this.#send(payload, options);
  }

  sendTo(streamKey: string, payload: T, options?: SendOptions): SendReceipt {
    if (this.#ending !== undefined) return this.#sender.refuse(this.#failures, ended());
    return this.#sender.send(this.#failures, streamKey, payload, options);
  }

  anchor(streamKey: string): Producer<T> {
    if (this.#anchor !== undefined) {
      throw new StreamerError("ALREADY_ANCHORED", `The producer is already anchored to ${this.#anchor}`);
    }
    this.#anchor = checkStreamKey(streamKey);
    return this;
  }

  clone(): Producer<T> {
    if (this.#ending !== undefined) throw ended();
    const clone = new ProducerHandle<T>(this.#sender, this.#context, this.#anchor);
    this.#context.cloned(clone);
    return clone;
  }

  async flush(options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    if (this.#ending !== undefined) throw ended();
    checkFor("flush", () => {
      checkNames("options of flush", options, ["signal"]);
      checkSignal(options.signal);
    });
    await this.#failures.flush(options.signal);
  }

  end(options: EndOptions = {}): Promise<void> {
    if (this.#ending !== undefined) return this.#ending.catch(() => {}); // the first caller gets the error
    try {
      checkNames("options of end", options, ["timeout", "signal"]);
      if (options.timeout !== undefined) checkNumber("timeout", options.timeout, 0, { min: 0 });
      checkSignal(options.signal);
    } catch (error) {
      return Promise.reject(OptionError.during("end the producer", error)); // the producer does not end
    }
    return this.#ending = this.#end(options);
  }

  async trim(options: TrimOptions): Promise<number> {
    if (this.#ending !== undefined) throw ended();
    const { target, exact } = checkFor("trim the stream", () => {
      return checkTrim(options, this.#sender.engine.timestampFormat);
    });
    const cut = { target, exact, sharded: this.#sender.sharded };
    return await trimStream(this.#anchored(), this.#context.servers(options.signal), cut);
  }

  /** @internal What `process` stores in place of this producer. */
  get outlet(): PreparedOutlet {
    const streamKey = this.#anchored();
    const { settings: { codec, sharder }, encoder } = this.#sender.engine;
    return {
      router: this.#context.router,
      uri: this.#context.uri,
      redisKey: sharder === undefined ? streamKey : undefined,
      prepare: (value, options) => {
        if (this.#ending !== undefined) throw ended();
        return prepareEntry({ codec, sharder, encoder }, { streamKey, value, options });
      },
    };
  }

  stats(): ProducerStats {
    return this.#sender.engine.stats;
  }

  toJSON(): ProducerJson {
    return { ...(this.#anchor === undefined ? {} : { streamKey: this.#anchor }), ...this.stats() };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end();
  }

  #send(payload: T, options?: SendOptions): SendRecord {
    if (this.#anchor === undefined) return this.#sender.refuse(this.#failures, notAnchored());
    if (this.#ending !== undefined) return this.#sender.refuse(this.#failures, ended());
    return this.#sender.send(this.#failures, this.#anchor, payload, options);
  }

  #newWritable(): WritableStream<T> {
    const { budget } = this.#sender.engine;
    const target: WritableTarget<T> = {
      get desiredSize() {
        return budget.desiredSize;
      },
      get ready() {
        return budget.ready;
      },
      send: (payload) => this.#send(payload),
      settle: (signal) => this.#failures.settle(signal),
    };
    const stream = writableOf(target, () => {
      if (this.#writable === stream) this.#writable = undefined;
    });
    return stream;
  }

  async #end(options: EndOptions): Promise<void> {
    const { signal } = this.#hurry;
    try {
      await this.#sender.finish(this.#failures, { timeout: options.timeout, signal: options.signal, hurry: signal });
    } finally {
      this.#sender.detach();
      this.#context.ended(this);
    }
  }

  /**
   * @internal Ends the handle together with its streamer. Sends that remain at the timeout are rejected, which does not reject this
   * call. Earlier unseen failures do.
   */
  async shutdown(timeout: number): Promise<void> {
    const late = this.#sender.engine.after(timeout, () => this.#hurry.abort());
    const own = this.#ending !== undefined; // the caller of `end` gets the result
    try {
      await this.end();
    } catch (error) {
      if (!own) throw error;
    } finally {
      late.stop();
    }
  }

  #anchored(): string {
    if (this.#anchor === undefined) throw notAnchored();
    return this.#anchor;
  }
}

function checkTrim(options: TrimOptions, format: TimestampFormat): { target: TrimTarget; exact: boolean } {
  checkNames("options of trim", options, ["maxLength", "minTimestamp", "exact", "signal"]);
  checkSignal(options.signal);
  return { target: trimTarget(options, format), exact: checkBoolean("exact", options.exact, false) };
}

/** Exactly one of two options. */
function trimTarget({ maxLength, minTimestamp }: TrimOptions, format: TimestampFormat): TrimTarget {
  if (maxLength !== undefined && minTimestamp !== undefined) {
    throw invalidOption("minTimestamp", minTimestamp, "omitted if 'maxLength' is given");
  }
  if (minTimestamp !== undefined) return { minId: idOfTime(minTimestamp, format, "minTimestamp") };
  if (maxLength === undefined) throw invalidOption("maxLength", maxLength, "given if 'minTimestamp' is not");
  return { maxLength: checkNumber("maxLength", maxLength, 0, TRIM_LENGTHS) };
}

function notAnchored(): StreamerError {
  const message = "The producer is not anchored to a stream. Call 'anchor' first, or use 'sendTo'";
  return new StreamerError("NOT_ANCHORED", message, { outcome: "not-written" });
}

function ended(): StreamerError {
  return new StreamerError("PRODUCER_ENDED", "The producer has ended", { outcome: "not-written" });
}
