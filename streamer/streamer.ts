// The streamer: one server, and everything that was made for it and has to end with it. It must not know how messages
// are sent or read.

import { StreamerError } from "../resp/errors.ts";
import { type Clock, systemClock } from "../resp/connection/clock.ts";
import type { Command } from "../resp/connection/command.ts";
import { CommandLane } from "../resp/connection/lane.ts";
import { type NodeEvents, type OpenConnection, RedisNode } from "../resp/connection/node.ts";
import { nativeDial } from "../resp/transport/dial.ts";
import type { Dial } from "../resp/transport/transport.ts";
import { clusterUnsupported, type ConnectOptions, type ConnectSettings, connectSettings } from "./connect_options.ts";
import type { AckConsumer, CommitConsumer, Consumer, GroupConsumer } from "./consumer/consumer.ts";
import { createGroupConsumer, type GroupConsumerCore } from "./consumer/group_consumer.ts";
import {
  type DelayedOptions,
  type DisabledOptions,
  type GroupOptions,
  groupSettings,
  type ImmediateOptions,
  type RollingOptions,
} from "./consumer/group_options.ts";
import { memberOf } from "./consumer/member.ts";
import {
  type DecodingOptions,
  type RealTimeDecodingOptions,
  type RealTimeOptions,
  realTimeSettings,
} from "./consumer/options.ts";
import { checkStreamKeys, createRealTimeConsumer, type RealTimeConsumer } from "./consumer/real_time.ts";
import { type StreamerEventDetails, StreamerEventTarget } from "./events.ts";
import { Manager } from "./manager/manager.ts";
import type { RunOn } from "./manager/shard_keys.ts";
import type { Codec } from "./model/codec.ts";
import { checkStreamKey } from "./model/key.ts";
import { fieldBytes, type TypedMessage } from "./model/message.ts";
import { checkNumber, invalidOption } from "./model/options.ts";
import { Engine } from "./producer/engine.ts";
import { type ProducerOptions, producerSettings } from "./producer/options.ts";
import { type GenericProducer, type Producer, ProducerHandle, type ProducerHost } from "./producer/producer.ts";
import { Sender } from "./producer/sender.ts";

/** Numbers of what a streamer has made. */
export interface StreamerStats {
  /** Producers, clones included, that have not ended. */
  readonly producers: number;
  /** Consumers that have not ended. */
  readonly consumers: number;
}

/** Options of any consumer. */
export type ConsumerOptions = (RealTimeOptions | GroupOptions) & Partial<DecodingOptions<unknown>>;

type ConsumerMaker = (keys: readonly string[], signal: AbortSignal) => Promise<RealTimeConsumer | GroupConsumerCore>;

/** What stands in for the world outside, in tests. */
export interface StreamerPorts {
  readonly dial: Dial;
  readonly clock: Clock;
}

/**
 * Connects to a server.
 *
 * Authenticates and makes one attempt. From then on a lost connection is the library's business: it is tried again as
 * `reconnect` says, and what waits goes on when it is back.
 *
 * @throws {StreamerError} `INVALID_URL` or `INVALID_OPTION`; `CONNECT` where no server serves, `AUTH` where it refuses
 * the password or wants one, `TIMEOUT` where it takes longer than `timeout`; `UNSUPPORTED` for clusters and Sentinel, and
 * for what the runtime cannot do; the signal's reason.
 *
 * Source: HELLO and AUTH (Redis 6.0), CLIENT SETINFO (7.2), CLIENT INFO (6.2), SELECT.
 *
 * @example
 * ```ts no-eval
 * import { connect } from "@sea/streamer-redis";
 *
 * await using streamer = await connect("redis://localhost:6379");
 * const producer = await streamer.createProducer("orders");
 * producer.send("paid");
 * ```
 */
export function connect(uri: string | readonly string[], options: ConnectOptions = {}): Promise<RedisStreamer> {
  return connectWith({ dial: nativeDial(), clock: systemClock }, uri, options);
}

/** The same with sockets and time put in. */
export async function connectWith(
  ports: StreamerPorts,
  uri: string | readonly string[],
  options: ConnectOptions = {},
): Promise<RedisStreamer> {
  const settings = connectSettings(uri, options);
  const signal = options.signal ?? new AbortController().signal;
  const relay: { to?: NodeEvents } = {};
  const node = new RedisNode({
    endpoint: settings.endpoint,
    dial: ports.dial,
    credentials: settings.credentials,
    timeout: settings.timeout,
    reconnect: settings.reconnect,
    limits: settings.limits,
    clock: ports.clock,
    events: {
      connect: (detail) => relay.to?.connect(detail),
      disconnect: (detail) => relay.to?.disconnect(detail),
      reconnect: (detail) => relay.to?.reconnect(detail),
    },
  });
  const opened = await node.open({ signal });
  const { mode } = opened.info;
  if (mode === "sentinel" || (mode === "cluster" && settings.cluster !== false)) {
    opened.pipeline.end(new StreamerError("UNSUPPORTED", "The server is no standalone one"));
    throw clusterUnsupported();
  }
  const streamer = new RedisStreamer({ node, opened, settings });
  relay.to = {
    connect: (detail) => streamer.tell("connect", detail),
    disconnect: (detail) => streamer.tell("disconnect", detail),
    reconnect: (detail) => streamer.tell("reconnect", detail),
  };
  return streamer;
}

// Set by the class below, whose private part it reads.
let laneOf: (streamer: RedisStreamer) => CommandLane;

/** The connection on which a streamer's commands never block, for what has no verb of its own. */
export function commandLane(streamer: RedisStreamer): CommandLane {
  return laneOf(streamer);
}

/** What a streamer is made of. */
interface StreamerParts {
  readonly node: RedisNode;
  readonly opened: OpenConnection;
  readonly settings: ConnectSettings;
}

/**
 * A server one is connected to: makes producers and consumers, tells events, and ends all of them.
 *
 * As an `EventTarget` it tells the events of {@linkcode StreamerEventDetails}, each a `CustomEvent` with that `detail`.
 * A listener that throws harms nothing; without listeners nothing is printed.
 */
export class RedisStreamer extends StreamerEventTarget implements AsyncDisposable {
  readonly #node: RedisNode;
  readonly #settings: ConnectSettings;
  readonly #lane: CommandLane;
  #pages: CommandLane | undefined; // opened when a manager first reads
  readonly #producers = new Set<ProducerHandle<unknown>>();
  readonly #consumers = new Set<RealTimeConsumer | GroupConsumerCore>();
  readonly #closing = new AbortController();
  #disconnecting: Promise<void> | undefined;

  static {
    laneOf = (streamer) => streamer.#lane;
  }

  /** @internal Made by {@linkcode connect}. */
  constructor({ node, opened, settings }: StreamerParts) {
    super();
    this.#node = node;
    this.#settings = settings;
    this.#lane = new CommandLane(node, { opened });
  }

  /** The server's url, its password hidden. */
  get uri(): string {
    return this.#settings.uri;
  }

  /**
   * Makes a producer for any stream. Its connection opens by itself; nothing is waited for.
   *
   * @throws {StreamerError} `INVALID_OPTION`; `UNSUPPORTED` for what is not built yet; `DISCONNECTED` after `disconnect`.
   */
  createGenericProducer(options?: ProducerOptions): Promise<GenericProducer>;
  /** A producer of values that a codec makes payloads of. */
  createGenericProducer<T>(options: ProducerOptions<T> & { readonly codec: Codec<T> }): Promise<GenericProducer<T>>;
  async createGenericProducer<T>(options: ProducerOptions<T> = {}): Promise<GenericProducer<T>> {
    return await this.#newProducer(options, undefined);
  }

  /**
   * Makes a producer for one stream. Its connection opens by itself; nothing is waited for.
   *
   * @throws {StreamerError} `INVALID_STREAM_KEY`, `INVALID_OPTION`; `UNSUPPORTED` for what is not built yet; `DISCONNECTED`
   * after `disconnect`.
   */
  createProducer(streamKey: string, options?: ProducerOptions): Promise<Producer>;
  /** A producer of values that a codec makes payloads of. */
  createProducer<T>(
    streamKey: string,
    options: ProducerOptions<T> & { readonly codec: Codec<T> },
  ): Promise<Producer<T>>;
  async createProducer<T>(streamKey: string, options: ProducerOptions<T> = {}): Promise<Producer<T>> {
    return await this.#newProducer(options, checkStreamKey(streamKey));
  }

  /**
   * Makes a consumer of one or several streams, with a connection of its own.
   *
   * In real time it is anchored when this resolves, in a group the group is there: what is written from then on is not missed.
   * While the server is away this waits. What cannot be healed (no stream, not allowed) is told by the first `next()`.
   *
   * Which verbs it has follows from its options: `ack`, `ackWith`, `nack` and `term` with `autoCommit` `"rolling"` and
   * `"disabled"`, and `commit` with the latter.
   *
   * @throws {StreamerError} `INVALID_STREAM_KEY`, `STREAM_KEY_EMPTY`, `INVALID_OPTION`, `UNSUPPORTED`; `DISCONNECTED` after
   * `disconnect`; the signal's reason.
   */
  createConsumer<T>(
    streamKeys: string | readonly string[],
    options: RealTimeOptions & RealTimeDecodingOptions<T>,
  ): Promise<Consumer<TypedMessage<T>>>;
  /** The same without a codec. */
  createConsumer(streamKeys: string | readonly string[], options: RealTimeOptions): Promise<Consumer>;
  /** A consumer in a group whose acknowledgements are sent by itself. */
  createConsumer<T>(
    streamKeys: string | readonly string[],
    options: RollingOptions & DecodingOptions<T>,
  ): Promise<AckConsumer<TypedMessage<T>>>;
  /** The same without a codec. */
  createConsumer(streamKeys: string | readonly string[], options: RollingOptions): Promise<AckConsumer>;
  /** A consumer in a group whose acknowledgements are sent when it says so. */
  createConsumer<T>(
    streamKeys: string | readonly string[],
    options: DisabledOptions & DecodingOptions<T>,
  ): Promise<CommitConsumer<TypedMessage<T>>>;
  /** The same without a codec. */
  createConsumer(streamKeys: string | readonly string[], options: DisabledOptions): Promise<CommitConsumer>;
  /** A consumer in a group that acknowledges by itself. */
  createConsumer<T>(
    streamKeys: string | readonly string[],
    options: (DelayedOptions | ImmediateOptions) & DecodingOptions<T>,
  ): Promise<GroupConsumer<TypedMessage<T>>>;
  /** The same without a codec. */
  createConsumer(
    streamKeys: string | readonly string[],
    options: DelayedOptions | ImmediateOptions,
  ): Promise<GroupConsumer>;
  /** Any consumer of values, where its other options are not known before the program runs. */
  createConsumer<T>(
    streamKeys: string | readonly string[],
    options: (RealTimeOptions | GroupOptions) & DecodingOptions<T>,
  ): Promise<Consumer<TypedMessage<T>>>;
  /** Any consumer, where its options are not known before the program runs. */
  createConsumer(streamKeys: string | readonly string[], options: ConsumerOptions): Promise<Consumer>;
  async createConsumer(streamKeys: string | readonly string[], options: ConsumerOptions): Promise<Consumer> {
    const make = this.#consumerMaker(options);
    const keys = checkStreamKeys(streamKeys);
    this.#checkConnected();
    options.signal?.throwIfAborted();
    const signals = [this.#closing.signal, ...(options.signal === undefined ? [] : [options.signal])];
    const consumer = await make(keys, AbortSignal.any(signals));
    this.#consumers.add(consumer);
    if (this.#disconnecting !== undefined) await consumer.end();
    return consumer;
  }

  /**
   * Makes a manager, on this streamer's own connection, and another one once it reads messages. It need not be ended.
   *
   * @throws {StreamerError} `DISCONNECTED` after `disconnect`.
   */
  // deno-lint-ignore require-await -- what it throws is to reject
  async createManager(): Promise<Manager> {
    this.#checkConnected();
    const { timestampFormat, messageField, limits } = this.#settings;
    const run: RunOn = async (command, options) => {
      this.#checkConnected();
      return await this.#lane.run(command, options);
    };
    const primaries = [{ name: this.#node.name, run }]; // of a cluster all, each with its own
    return new Manager({
      timestampFormat,
      field: fieldBytes(messageField),
      replyLimit: limits.reply,
      run,
      read: async (command, options) => {
        this.#checkConnected();
        return await (this.#pages ??= new CommandLane(this.#node)).run(command, options);
      },
      server: () => this.#node.server,
      primaries: () => primaries,
    });
  }

  /** What this streamer has made that has not ended. */
  stats(): StreamerStats {
    return { producers: this.#producers.size, consumers: this.#consumers.size };
  }

  /**
   * Flushes every producer, ends every consumer, and closes all sockets, so that the process can exit by itself.
   *
   * What is left at the timeout (milliseconds, by default that of `connect`) rejects with `DISCONNECTED`. A second call is
   * harmless.
   *
   * @throws {StreamerError} `SEND_FAILED`, after everything is closed, where sends had failed that nobody awaited;
   * `INVALID_OPTION`.
   */
  disconnect(options: { readonly timeout?: number } = {}): Promise<void> {
    if (this.#disconnecting !== undefined) return this.#disconnecting.catch(() => {}); // its first caller is told
    try {
      const limit = checkNumber("timeout", options.timeout, this.#settings.timeout, { min: 0 });
      return this.#disconnecting = this.#disconnect(limit);
    } catch (error) {
      return Promise.reject(error); // nothing has been disconnected
    }
  }

  /** The same as {@linkcode disconnect}. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.disconnect();
  }

  /** @internal Tells an event. */
  tell<Name extends keyof StreamerEventDetails>(name: Name, detail: StreamerEventDetails[Name]): void {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  #newProducer<T>(options: ProducerOptions<T>, streamKey: string | undefined): ProducerHandle<T> {
    const settings = producerSettings(options);
    this.#checkConnected();
    options.signal?.throwIfAborted();
    const { timestampFormat, messageField, reconnect } = this.#settings;
    const engine = new Engine({
      node: this.#node,
      settings,
      timestampFormat,
      reconnect,
      onFenceUnavailable: (detail) => this.tell("fence-unavailable", detail),
    });
    const host: ProducerHost = {
      servers: (signal) => {
        const run = <T>(command: Command<T>) => this.#lane.run(command, { signal });
        return { run, primaries: [run] };
      },
      ended: (handle) => this.#producers.delete(handle),
      cloned: (handle) => this.#producers.add(handle),
    };
    const producer = new ProducerHandle<T>(
      new Sender(engine, { messageField, codec: settings.codec }),
      host,
      streamKey,
    );
    this.#producers.add(producer);
    return producer;
  }

  /** Checks the options, and gives what makes a consumer of them. */
  #consumerMaker(options: ConsumerOptions): ConsumerMaker {
    if (typeof options !== "object" || options === null) {
      throw invalidOption("options", options, "an object with a mode");
    }
    const { timestampFormat, messageField, reconnect, timeout } = this.#settings;
    const shared = {
      node: this.#node,
      anchor: {
        clock: this.#node.clock,
        reconnect,
        barred: new Set<string>(),
        run: <T>(command: Command<T>, runOptions: { readonly signal: AbortSignal }) =>
          this.#lane.run(command, runOptions),
      },
      timestampFormat,
      field: fieldBytes(messageField),
      onEnded: (ended: RealTimeConsumer | GroupConsumerCore) => void this.#consumers.delete(ended),
    };
    if (options.mode === "real-time") {
      const host = {
        ...shared,
        settings: realTimeSettings(options),
        onReset: this.#teller("stream-reset"),
        onShards: this.#teller("shards"),
        onDeadLetter: this.#teller("dead-letter"),
      };
      return (keys, signal) => createRealTimeConsumer(host, keys, signal);
    }
    if (options.mode !== "resumable" && options.mode !== "load-balanced") {
      throw invalidOption(
        "mode",
        (options as { mode?: unknown }).mode,
        `"real-time" or "resumable" or "load-balanced"`,
      );
    }
    const settings = groupSettings(options);
    const events = {
      claimed: this.#teller("claimed"),
      lost: this.#teller("lost"),
      released: this.#teller("released"),
      gap: this.#teller("gap"),
      groupRecreated: this.#teller("group-recreated"),
      streamReset: this.#teller("stream-reset"),
      deadLetter: this.#teller("dead-letter"),
      shards: this.#teller("shards"),
      fenceUnavailable: this.#teller("fence-unavailable"),
    };
    return async (keys, signal) => {
      const member = await memberOf(settings);
      return await createGroupConsumer({ ...shared, settings, member, timeout, events }, keys, signal);
    };
  }

  #teller<Name extends keyof StreamerEventDetails>(name: Name): (detail: StreamerEventDetails[Name]) => void {
    return (detail) => this.tell(name, detail);
  }

  #checkConnected(): void {
    if (this.#disconnecting === undefined) return;
    throw new StreamerError("DISCONNECTED", "Cannot use a streamer that has been disconnected");
  }

  async #disconnect(limit: number): Promise<void> {
    this.#closing.abort(new StreamerError("DISCONNECTED", "The streamer was disconnected"));
    const ends = [...this.#producers].map((producer) => producer.shutdown(limit));
    const consumers = [...this.#consumers].map((consumer) => consumer.end({ timeout: limit }).catch(() => {})); // it stays pending
    const results = await Promise.allSettled([...ends, ...consumers]);
    this.#lane.close();
    this.#pages?.close();
    const failed = results.find((result) => result.status === "rejected");
    if (failed !== undefined) throw failed.reason;
  }
}
