// The streamer: a connection to Redis, and the producers, consumers and managers that are created on it and end with it.

import { StreamerError } from "../resp/errors.ts";
import type { Command } from "../resp/connection/command.ts";
import type { NodeStats, Router } from "./cluster/router.ts";
import { scanAll } from "./cluster/scanning/scan_all.ts";
import { type FindShards, ShardWalks } from "./cluster/shard_walks.ts";
import type { ConnectSettings } from "./connect_options.ts";
import type { AckConsumer, CommitConsumer, Consumer, GroupConsumer } from "./consumer/consumer.ts";
import { GroupConsumerCore } from "./consumer/group_consumer.ts";
import type {
  DelayedOptions,
  DisabledOptions,
  GroupOptions,
  ImmediateOptions,
  RollingOptions,
} from "./consumer/group_options.ts";
import type { DecodingOptions, RealTimeDecodingOptions, RealTimeOptions } from "./consumer/options.ts";
import { checkStreamKeys } from "./consumer/real_time.ts";
import { type AnyConsumer, consumerMaker, type ConsumerMakerContext, type ConsumerOptions } from "./consumer_makers.ts";
import { FailedConsumers } from "./failed_consumers.ts";
import { type StreamerEventDetails, StreamerEventTarget } from "./events.ts";
import { Manager } from "./manager/manager.ts";
import { managerContext } from "./manager_context.ts";
import type { Codec } from "./model/codec.ts";
import { checkStreamKey } from "./model/key.ts";
import type { TypedMessage } from "./model/message.ts";
import { checkFor } from "./model/option_error.ts";
import { checkNames, checkNumber } from "./model/options.ts";
import { printAs } from "./model/printing.ts";
import { checkConnected, PatientAccess } from "./patience.ts";
import { Engine } from "./producer/sending/engine.ts";
import { checkNumbered } from "./producer/ids/idempotency.ts";
import { type ProducerOptions, producerSettings } from "./producer/options.ts";
import { type GenericProducer, type Producer, type ProducerContext, ProducerHandle } from "./producer/producer.ts";
import { Sender } from "./producer/sending/sender.ts";

/**
 * The statistics of a streamer.
 *
 * @category Connecting
 */
export interface StreamerStats {
  /** Producers that have not ended, clones included. */
  readonly producers: number;
  /** Consumers that have neither ended nor failed. */
  readonly consumers: number;
  /** The servers that are written to: the primaries of a cluster, or the one server. */
  readonly nodes: readonly NodeStats[];
}

/**
 * The JSON form of a streamer.
 *
 * @category Connecting
 */
export interface StreamerJson extends StreamerStats {
  /** The URL of the server, with the password hidden. */
  readonly uri: string;
}

// Set by the class below: they read its private fields.
let routerOf: (streamer: RedisStreamer) => Router;
let walksOf: (streamer: RedisStreamer) => ShardWalks;

/** The router of a streamer, for commands that no method of the streamer covers. */
export function routerFor(streamer: RedisStreamer): Router {
  return routerOf(streamer);
}

/** Looks for the shards of streams. Concurrent calls of one streamer share their scans. */
export function shardFinder(streamer: RedisStreamer): FindShards {
  return walksOf(streamer).find;
}

/**
 * A connection to Redis. It creates producers, consumers and managers, dispatches events, and closes all of them.
 *
 * As an `EventTarget` it dispatches the events of {@linkcode StreamerEventDetails}, each as a `CustomEvent` with that `detail`.
 * An exception in a listener affects neither the streamer nor other listeners. The library itself logs nothing.
 *
 * `console.log` prints the URL with the password hidden, and the statistics.
 *
 * @example
 * ```ts
 * import { connect } from "@sea/streamer-redis";
 *
 * await using streamer = await connect();
 * streamer.addEventListener("reconnect", ({ detail }) => console.warn("reconnecting to", detail.node, detail.cause));
 * const consumer = await streamer.createConsumer("orders", { mode: "real-time" });
 * const producer = await streamer.createProducer("orders");
 * producer.send("paid");
 * const message = await consumer.next();
 * console.log(message.id, message.text());
 * ```
 *
 * @category Connecting
 */
export class RedisStreamer extends StreamerEventTarget implements AsyncDisposable {
  readonly #router: Router;
  readonly #settings: ConnectSettings;
  readonly #walks: ShardWalks;
  readonly #access: PatientAccess;
  readonly #consumerContext: ConsumerMakerContext;
  readonly #producers = new Set<ProducerHandle<unknown>>();
  readonly #consumers = new Set<AnyConsumer>();
  readonly #failed = new FailedConsumers<GroupConsumerCore>();
  readonly #closing = new AbortController();
  #disconnecting: Promise<void> | undefined;

  static {
    routerOf = (streamer) => streamer.#router;
    walksOf = (streamer) => streamer.#walks;
    printAs(this.prototype, "RedisStreamer", (streamer) => streamer.toJSON());
  }

  /** @internal Created by {@linkcode connect}. */
  constructor(router: Router, settings: ConnectSettings) {
    super();
    this.#router = router;
    this.#settings = settings;
    this.#walks = new ShardWalks({ clock: router.clock, timeout: settings.timeout }, (signal, left) => ({
      run: (command) => router.run(command, { signal, within: left() }),
      slotOf: (redisKey) => router.slotOf(redisKey),
      followsRedirects: router.followsRedirects,
      scanAll: (scan) => scanAll(router, scan, { signal, options: () => ({ within: left() }) }),
    }));
    const { timeout } = settings;
    const findShards = this.#walks.find;
    this.#access = new PatientAccess({ router, timeout, closing: this.#closing.signal, findShards });
    this.#consumerContext = {
      router,
      settings,
      findShards,
      emitter: (name) => this.#emitter(name),
      untracked: new Set(),
      onEnded: (ended) => {
        this.#consumers.delete(ended);
        if (ended instanceof GroupConsumerCore) this.#failed.delete(ended);
      },
      onFailed: (failed) => {
        if (this.#consumers.delete(failed)) this.#failed.add(failed);
      },
    };
  }

  /** The URL of the server, with the password hidden. */
  get uri(): string {
    return this.#settings.uri;
  }

  /**
   * Creates a producer for any stream. It resolves immediately: the connection of the producer opens in the background.
   *
   * @throws {StreamerError} `INVALID_OPTION` for invalid options. `UNSUPPORTED` for `delivery: "exactly-once"` without
   * `singleWriter`, unless the server is Redis 8.6 or later. `DISCONNECTED` after `disconnect`.
   *
   * @example
   * ```ts
   * import { connect } from "@sea/streamer-redis";
   *
   * await using streamer = await connect();
   * const producer = await streamer.createGenericProducer();
   * await producer.sendTo("orders", "paid");
   * await producer.sendTo("invoices", "created");
   * ```
   */
  createGenericProducer(options?: ProducerOptions): Promise<GenericProducer>;
  /** Creates a producer of typed values, which the codec encodes. */
  createGenericProducer<T>(options: ProducerOptions<T> & { readonly codec: Codec<T> }): Promise<GenericProducer<T>>;
  async createGenericProducer<T>(options: ProducerOptions<T> = {}): Promise<GenericProducer<T>> {
    return await this.#newProducer(options, undefined);
  }

  /**
   * Creates a producer for one stream. It resolves immediately: the connection of the producer opens in the background.
   *
   * @throws {StreamerError} `INVALID_STREAM_KEY` or `INVALID_OPTION` for invalid arguments. `UNSUPPORTED` for
   * `delivery: "exactly-once"` without `singleWriter`. `DISCONNECTED` after `disconnect`.
   *
   * @example
   * ```ts
   * import { connect } from "@sea/streamer-redis";
   *
   * await using streamer = await connect();
   * const producer = await streamer.createProducer("orders");
   * producer.send("paid"); // not awaited: sends are pipelined
   * await producer.flush();
   * ```
   */
  createProducer(streamKey: string, options?: ProducerOptions): Promise<Producer>;
  /** Creates a producer of typed values, which the codec encodes. */
  createProducer<T>(
    streamKey: string,
    options: ProducerOptions<T> & { readonly codec: Codec<T> },
  ): Promise<Producer<T>>;
  async createProducer<T>(streamKey: string, options: ProducerOptions<T> = {}): Promise<Producer<T>> {
    return await this.#newProducer(options, checkStreamKey(streamKey));
  }

  /**
   * Creates a consumer of one or several streams. It has a connection of its own.
   *
   * When the promise resolves, the start position is fixed, and the group exists. No entry that is added from then on is missed.
   * Unrecoverable errors, such as a missing permission, reject the first `next()`. If the server cannot be reached or is not
   * ready, creation fails after the `timeout` of `connect`. An existing consumer waits without a limit.
   *
   * The available methods depend on `autoCommit`. `"rolling"` and `"disabled"` have `ack`, `ackWith`, `nack` and `term`.
   * `"disabled"` also has `commit`.
   *
   * @throws {StreamerError} `INVALID_STREAM_KEY`, `STREAM_KEY_EMPTY` or `INVALID_OPTION` for invalid arguments. `UNSUPPORTED` for
   * `shardOwnership: "owned"`. `TIMEOUT` if the server cannot be reached or is not ready: the `cause` is its last answer.
   * `DISCONNECTED` after `disconnect`. Or the reason of `signal`.
   *
   * @example
   * ```ts
   * import { connect } from "@sea/streamer-redis";
   *
   * await using streamer = await connect();
   * const consumer = await streamer.createConsumer("orders", {
   *   mode: "load-balanced",
   *   group: "billing",
   *   autoCommit: "rolling",
   * });
   * const producer = await streamer.createProducer("orders");
   * producer.send("paid");
   *
   * // A worker uses a signal that SIGTERM aborts.
   * for await (const message of consumer.messages({ signal: AbortSignal.timeout(1_000) })) {
   *   console.log(message.id, message.text());
   *   consumer.ack(message);
   * }
   * ```
   */
  createConsumer<T>(
    streamKeys: string | readonly string[],
    options: RealTimeOptions & RealTimeDecodingOptions<T>,
  ): Promise<Consumer<TypedMessage<T>>>;
  /** Creates a consumer without a group. */
  createConsumer(streamKeys: string | readonly string[], options: RealTimeOptions): Promise<Consumer>;
  /** Creates a group consumer of typed values with `ack`. Acknowledgements are sent automatically. */
  createConsumer<T>(
    streamKeys: string | readonly string[],
    options: RollingOptions & DecodingOptions<T>,
  ): Promise<AckConsumer<TypedMessage<T>>>;
  /** Creates a group consumer with `ack`. Acknowledgements are sent automatically. */
  createConsumer(streamKeys: string | readonly string[], options: RollingOptions): Promise<AckConsumer>;
  /** Creates a group consumer of typed values with `ack` and `commit`. */
  createConsumer<T>(
    streamKeys: string | readonly string[],
    options: DisabledOptions & DecodingOptions<T>,
  ): Promise<CommitConsumer<TypedMessage<T>>>;
  /** Creates a group consumer with `ack` and `commit`. */
  createConsumer(streamKeys: string | readonly string[], options: DisabledOptions): Promise<CommitConsumer>;
  /** Creates a group consumer of typed values that acknowledges automatically. */
  createConsumer<T>(
    streamKeys: string | readonly string[],
    options: (DelayedOptions | ImmediateOptions) & DecodingOptions<T>,
  ): Promise<GroupConsumer<TypedMessage<T>>>;
  /** Creates a group consumer that acknowledges automatically. */
  createConsumer(
    streamKeys: string | readonly string[],
    options: DelayedOptions | ImmediateOptions,
  ): Promise<GroupConsumer>;
  /** Creates a consumer of typed values whose other options are only known at run time. */
  createConsumer<T>(
    streamKeys: string | readonly string[],
    options: (RealTimeOptions | GroupOptions) & DecodingOptions<T>,
  ): Promise<Consumer<TypedMessage<T>>>;
  /** Creates a consumer whose options are only known at run time. */
  createConsumer(streamKeys: string | readonly string[], options: ConsumerOptions): Promise<Consumer>;
  async createConsumer(streamKeys: string | readonly string[], options: ConsumerOptions): Promise<Consumer> {
    const make = checkFor("create the consumer", () => consumerMaker(options, this.#consumerContext));
    const keys = checkFor("create the consumer", () => checkStreamKeys(streamKeys));
    this.#checkConnected();
    options.signal?.throwIfAborted();
    const signals = [this.#closing.signal, ...(options.signal === undefined ? [] : [options.signal])];
    const consumer = await make(keys, AbortSignal.any(signals));
    if (!consumer.isOver) this.#consumers.add(consumer); // otherwise it has failed already, and next() rejects
    if (this.#disconnecting !== undefined) await consumer.end();
    return consumer;
  }

  /**
   * Creates a manager, which inspects and maintains streams and their groups.
   *
   * The manager uses the streamer's own connection, and opens another one for replies that may be large. You do not have to close it.
   *
   * @throws {StreamerError} `DISCONNECTED` after `disconnect`.
   *
   * @example
   * ```ts
   * import { connect } from "@sea/streamer-redis";
   *
   * await using streamer = await connect();
   * const manager = await streamer.createManager();
   * for await (const key of manager.streams()) console.log(key, await manager.length(key));
   * ```
   */
  // deno-lint-ignore require-await -- so that it rejects instead of throwing
  async createManager(): Promise<Manager> {
    this.#checkConnected();
    return new Manager(managerContext(this.#router, this.#settings, this.#access));
  }

  /** Returns the numbers of producers and consumers that have not ended, and the nodes with their connections. */
  stats(): StreamerStats {
    return { producers: this.#producers.size, consumers: this.#consumers.size, nodes: this.#router.nodes() };
  }

  /** Returns the URL with the password hidden, and the statistics, for `JSON.stringify`. */
  toJSON(): StreamerJson {
    return { uri: this.uri, ...this.stats() };
  }

  /**
   * Flushes every producer, ends every consumer, and closes all sockets, so that the process can exit by itself.
   *
   * The receipts of sends that are not complete after `timeout` reject with `DISCONNECTED`. That does not reject this call: to
   * learn of them, await the receipts, or `end` of the producer. `timeout` is a number of milliseconds, and the default is the
   * `timeout` of `connect`. A second call does nothing.
   *
   * @throws {StreamerError} `SEND_FAILED` if unawaited sends had failed before the timeout. Everything is closed by then.
   * `INVALID_OPTION` for an invalid timeout.
   */
  disconnect(options: { readonly timeout?: number } = {}): Promise<void> {
    if (this.#disconnecting !== undefined) return this.#disconnecting.catch(() => {}); // the first caller gets the error
    try {
      const limit = checkFor("disconnect", () => {
        checkNames("options of disconnect", options, ["timeout"]);
        return checkNumber("timeout", options.timeout, this.#settings.timeout, { min: 0 });
      });
      return this.#disconnecting = this.#disconnect(limit);
    } catch (error) {
      return Promise.reject(error); // nothing has been disconnected
    }
  }

  /** The same as {@linkcode disconnect}. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.disconnect();
  }

  /** @internal Dispatches an event. */
  emit<Name extends keyof StreamerEventDetails>(name: Name, detail: StreamerEventDetails[Name]): void {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  #newProducer<T>(options: ProducerOptions<T>, streamKey: string | undefined): ProducerHandle<T> {
    const settings = checkFor("create the producer", () => producerSettings(options));
    this.#checkConnected();
    options.signal?.throwIfAborted();
    const { timestampFormat, messageField } = this.#settings;
    if (settings.delivery === "exactly-once" && !settings.singleWriter) {
      checkFor("create the producer", () => checkNumbered(this.#router, timestampFormat));
    }
    const engine = new Engine({
      router: this.#router,
      settings,
      messageField,
      timestampFormat,
      onFenceUnavailable: (detail) => this.emit("fence-unavailable", detail),
    });
    const host: ProducerContext = {
      router: this.#router,
      uri: this.uri,
      servers: (signal) => {
        const patiently = this.#access.patiently((command, options) => this.#router.run(command, options));
        const run = <T>(command: Command<T>) => patiently(command, signal === undefined ? {} : { signal });
        return { run, findShards: this.#access.findShards, signal };
      },
      ended: (handle) => this.#producers.delete(handle),
      cloned: (handle) => this.#producers.add(handle),
    };
    const producer = new ProducerHandle<T>(
      new Sender(engine, settings.codec),
      host,
      streamKey,
    );
    this.#producers.add(producer);
    return producer;
  }

  #emitter<Name extends keyof StreamerEventDetails>(name: Name): (detail: StreamerEventDetails[Name]) => void {
    return (detail) => this.emit(name, detail);
  }

  #checkConnected(): void {
    checkConnected(this.#closing.signal);
  }

  async #disconnect(limit: number): Promise<void> {
    this.#closing.abort(new StreamerError("DISCONNECTED", "The streamer was disconnected"));
    const ends = [...this.#producers].map((producer) => producer.shutdown(limit));
    const consumers = [...this.#consumers, ...this.#failed.held].map((consumer) =>
      consumer.shutdown(limit).catch(() => {})
    ); // unacknowledged messages stay pending
    const results = await Promise.allSettled([...ends, ...consumers]);
    this.#router.close();
    const failed = results.find((result) => result.status === "rejected");
    if (failed !== undefined) throw failed.reason;
  }
}
