// What a program holds to send messages: handles on one engine, with their own ledger. It must not know connections.

import { StreamerError } from "../../resp/errors.ts";
import { checkNumber, invalidOption } from "../model/options.ts";
import { checkStreamKey } from "../model/key.ts";
import { idOfTime } from "../model/id.ts";
import type { ShardServers } from "../cluster/shards.ts";
import type { TrimTarget } from "../commands/xtrim.ts";
import { SendLedger } from "./batch.ts";
import type { ProducerStats } from "./engine.ts";
import { type Payload, type SendOptions, TRIM_LENGTHS } from "./options.ts";
import type { SendReceipt } from "./receipt.ts";
import type { Sender } from "./sender.ts";
import { trimStream } from "./trimming.ts";
import { writableOf } from "./writable.ts";

/**
 * To what {@linkcode Producer.trim} cuts a stream: a number of entries, or a time from which on they stay, one of both. A
 * Date stands for its millisecond, all of which stays; a bigint is in the stream's own unit.
 */
export type TrimOptions =
  & (
    | { readonly maxLength: number; readonly minTimestamp?: undefined }
    | { readonly maxLength?: undefined; readonly minTimestamp: Date | bigint }
  )
  & {
    /** Whether to cut exactly there instead of at the next border of a node of about 100 entries. @default {false} */
    readonly exact?: boolean;
    /** Ends the waiting. */
    readonly signal?: AbortSignal;
  };

/** How {@linkcode GenericProducer.end} ends. */
export interface EndOptions {
  /** Milliseconds after which what is left rejects with `DISCONNECTED`. @default {none: each send has its own timeout} */
  readonly timeout?: number;
  /** Gives up waiting: what is left rejects with `DISCONNECTED`. */
  readonly signal?: AbortSignal;
}

/**
 * Sends messages to any stream, pipelined over one connection of its own.
 *
 * Messages to one stream, with a sharder to one shard of it, are stored in the order of the calls, also across reconnects and
 * retries; those to different ones do not wait for each other. A lost connection is taken up again by itself; what was in flight then is sent again, or not, as the option `delivery` says.
 *
 * @example
 * ```ts no-eval
 * import { connect } from "@sea/streamer-redis";
 *
 * await using streamer = await connect("redis://localhost");
 * const producer = await streamer.createGenericProducer();
 * producer.sendTo("orders", "paid"); // not awaited: pipelined
 * const { id } = await producer.sendTo("orders", "shipped", { headers: { trace: "7f3a" } });
 * await producer.end();
 * ```
 */
export interface GenericProducer<T = Payload> extends AsyncDisposable {
  /**
   * Sends a message. Never blocks and never throws: every failure is the receipt's. The bytes are taken at the call.
   * While the server is away it waits, for `sendTimeout` at most. With a sharder it goes to the shard that this chooses now.
   *
   * Source: XADD, Redis 5.0.
   */
  sendTo(streamKey: string, payload: T, options?: SendOptions): SendReceipt;
  /**
   * Binds this producer to one stream, once; it can `send` from then on.
   *
   * @throws {StreamerError} `ALREADY_ANCHORED` the second time; `INVALID_STREAM_KEY`.
   */
  anchor(streamKey: string): Producer<T>;
  /**
   * A second handle on the same pipeline, with its own count of failures, ended on its own.
   *
   * @throws {StreamerError} `PRODUCER_ENDED`
   */
  clone(): GenericProducer<T>;
  /** Whether a codec makes payloads of what is sent. */
  readonly encodes: boolean;
  /** Bytes that can still be accepted before {@linkcode ready} is pending; below zero past that. Shared by clones. */
  readonly desiredSize: number;
  /** Resolves when `desiredSize` is above zero. */
  readonly ready: Promise<void>;
  /**
   * Resolves when everything sent by this handle before is settled.
   *
   * @throws {StreamerError} `SEND_FAILED`, with `count` and the first `cause`, where sends have failed that nobody awaited;
   * then the count starts again. `PRODUCER_ENDED`; the signal's reason.
   */
  flush(options?: { readonly signal?: AbortSignal }): Promise<void>;
  /**
   * Takes nothing more and flushes; the connection closes with the last handle. A second call does nothing.
   *
   * @throws {StreamerError} `SEND_FAILED` as of {@linkcode flush}; `INVALID_OPTION`; the signal's reason.
   */
  end(options?: EndOptions): Promise<void>;
  /** What has been done so far, by all handles on the pipeline. */
  stats(): ProducerStats;
}

/**
 * Sends messages to one stream; see {@linkcode GenericProducer}.
 *
 * @example Respect back-pressure
 * ```ts no-eval
 * import { connect } from "@sea/streamer-redis";
 *
 * await using streamer = await connect("redis://localhost");
 * const producer = await streamer.createProducer("orders");
 * for (let i = 0; i < 1_000_000; i++) {
 *   producer.send(`order ${i}`);
 *   if (producer.desiredSize <= 0) await producer.ready;
 * }
 * await producer.flush();
 * ```
 */
export interface Producer<T = Payload> extends GenericProducer<T> {
  /** The stream this producer is bound to. */
  readonly streamKey: string;
  /** Sends a message to this producer's stream; see {@linkcode GenericProducer.sendTo}. */
  send(payload: T, options?: SendOptions): SendReceipt;
  /** A second handle on the same pipeline, bound to the same stream. */
  clone(): Producer<T>;
  /**
   * Takes payloads with back-pressure. Closing it flushes, and does not end the producer; a failed send errors it. After
   * either, this is a new one.
   */
  readonly writable: WritableStream<T>;
  /**
   * Cuts the stream and gives how many entries were removed.
   *
   * With a sharder this cuts every shard that is found on the server, also such as only others have written to, each to
   * `maxLength` or `minTimestamp`, and gives the sum; where there is none it cuts the plain key. Without a sharder it cuts the
   * plain key alone: keys that look like shards of it may be streams of their own. If a shard is refused the others are cut
   * all the same, before this rejects. An approximate cut goes on while the server, which ends each after about 10,000
   * entries, may have left some.
   *
   * It goes over another connection than the messages do: flush before, if what is under way is to count. Asked again after
   * a lost connection, it tells only what the second time removed.
   *
   * Source: XTRIM, Redis 5.0; `minTimestamp` 6.2; with a sharder also SCAN and TYPE, 6.0.
   *
   * @throws {StreamerError} `INVALID_OPTION`, `PRODUCER_ENDED`, `DISCONNECTED`; what the server answers as a
   * `RedisError`, with a sharder also where it forbids SCAN: `NOPERM`; the signal's reason.
   *
   * @example
   * ```ts no-eval
   * import { connect, roundRobinSharder } from "@sea/streamer-redis";
   *
   * await using streamer = await connect("redis://localhost");
   * const producer = await streamer.createProducer("orders", { sharder: roundRobinSharder(8) });
   * const anHourAgo = new Date(Date.now() - 3_600_000);
   * console.log(await producer.trim({ minTimestamp: anHourAgo }), "were older, in all shards");
   * ```
   */
  trim(options: TrimOptions): Promise<number>;
}

/** What a handle asks of the house it lives in. */
export interface ProducerHost {
  /** Where commands that are no messages go: over a connection of the house's own. The signal ends the waiting for them. */
  servers(signal: AbortSignal | undefined): ShardServers;
  /** A handle has ended. */
  ended(handle: ProducerHandle<unknown>): void;
  /** A handle was cloned. */
  cloned(handle: ProducerHandle<unknown>): void;
}

/** One handle. */
export class ProducerHandle<T = Payload> implements Producer<T> {
  readonly #sender: Sender;
  readonly #host: ProducerHost;
  readonly #ledger = new SendLedger();
  #anchor: string | undefined;
  readonly #hurry = new AbortController();
  #ending: Promise<void> | undefined;
  #writable: WritableStream<T> | undefined;

  constructor(sender: Sender, host: ProducerHost, streamKey?: string) {
    this.#sender = sender;
    this.#host = host;
    this.#anchor = streamKey;
    sender.hold();
  }

  get streamKey(): string {
    return this.#anchored();
  }

  get desiredSize(): number {
    return this.#sender.engine.desiredSize;
  }

  get ready(): Promise<void> {
    return this.#sender.engine.ready;
  }

  get encodes(): boolean {
    return this.#sender.encodes;
  }

  get writable(): WritableStream<T> {
    this.#anchored();
    return this.#writable ??= writableOf(this, () => this.#writable = undefined);
  }

  send(payload: T, options?: SendOptions): SendReceipt {
    if (this.#anchor === undefined) return this.#sender.refuse(this.#ledger, notAnchored());
    return this.sendTo(this.#anchor, payload, options);
  }

  sendTo(streamKey: string, payload: T, options?: SendOptions): SendReceipt {
    if (this.#ending !== undefined) return this.#sender.refuse(this.#ledger, ended());
    return this.#sender.send(this.#ledger, streamKey, payload, options);
  }

  anchor(streamKey: string): Producer<T> {
    if (this.#anchor !== undefined) {
      throw new StreamerError("ALREADY_ANCHORED", `Cannot anchor a producer twice: it is anchored to ${this.#anchor}`);
    }
    this.#anchor = checkStreamKey(streamKey);
    return this;
  }

  clone(): Producer<T> {
    if (this.#ending !== undefined) throw ended();
    const clone = new ProducerHandle<T>(this.#sender, this.#host, this.#anchor);
    this.#host.cloned(clone);
    return clone;
  }

  async flush(options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    if (this.#ending !== undefined) throw ended();
    await this.#ledger.flush(options.signal);
  }

  end(options: EndOptions = {}): Promise<void> {
    if (this.#ending !== undefined) return this.#ending.catch(() => {}); // its first caller has been told
    const { timeout, signal } = options;
    try {
      if (timeout !== undefined) checkNumber("timeout", timeout, 0, { min: 0 });
    } catch (error) {
      return Promise.reject(error); // nothing has ended
    }
    return this.#ending = this.#end({ timeout, signal });
  }

  async trim(options: TrimOptions): Promise<number> {
    if (this.#ending !== undefined) throw ended();
    const { maxLength, minTimestamp, exact = false, signal } = options;
    if ((maxLength === undefined) === (minTimestamp === undefined)) {
      throw invalidOption("maxLength", maxLength, "given when minTimestamp is not, and left out when it is");
    }
    const target: TrimTarget = minTimestamp === undefined
      ? { maxLength: checkNumber("maxLength", maxLength, 0, TRIM_LENGTHS) }
      : { minId: idOfTime(minTimestamp, this.#sender.engine.timestampFormat) };
    const cut = { target, exact, sharded: this.#sender.sharded };
    return await trimStream(this.#anchored(), this.#host.servers(signal), cut);
  }

  stats(): ProducerStats {
    return this.#sender.engine.stats;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end();
  }

  async #end(options: EndOptions): Promise<void> {
    const { signal } = this.#hurry;
    try {
      await this.#sender.finish(this.#ledger, { timeout: options.timeout, signal: options.signal, hurry: signal });
    } finally {
      this.#sender.release();
      this.#host.ended(this);
    }
  }

  /**
   * @internal Ends it because all of the house ends: what is left at the timeout is given up, which is no failure of
   * this call; what had failed unseen before is.
   */
  async shutdown(timeout: number): Promise<void> {
    const late = this.#sender.engine.after(timeout, () => this.#hurry.abort());
    const own = this.#ending !== undefined; // its own caller is told how it went
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

function notAnchored(): StreamerError {
  return new StreamerError("NOT_ANCHORED", "Cannot send without a stream key as the producer is not anchored", {
    outcome: "not-written",
  });
}

function ended(): StreamerError {
  return new StreamerError("PRODUCER_ENDED", "Cannot use a producer that has ended", { outcome: "not-written" });
}
