// What a program holds to receive messages in real time: asking, moving, ending. It must not know how pages are read.

import { StreamerError } from "../../resp/errors.ts";
import {
  FIRST_ID,
  halves,
  idOfSequence,
  lastIdOf,
  type MessageId,
  type SeqPos,
  type TimestampFormat,
} from "../model/id.ts";
import { checkStreamKey, type StreamShard } from "../model/key.ts";
import type { Message } from "../model/message.ts";
import { checkNumber, invalidOption } from "../model/options.ts";
import { findEnd } from "./anchor.ts";
import { Inbox } from "./inbox.ts";
import { AskingIterator, readableOf } from "./iterate.ts";
import { Reader, type ReaderOptions } from "./reader.ts";
import { checkDistinct, isShard, type ShardPosition, type SubscribedShard, subscribedShard } from "./shard.ts";

/** What a call that waits can be told. */
export interface WaitOptions {
  /** Ends the waiting; the call rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** Numbers of what a consumer has done and holds. */
export interface ConsumerStats {
  /** Messages read ahead and not handed out. */
  readonly queued: number;
  /** Bytes of the pages they stand in. */
  readonly queuedBytes: number;
  /** Messages handed out and not acknowledged; 0 in real time. */
  readonly inHand: number;
  /** Acknowledgements not sent; 0 in real time. */
  readonly unsentAcks: number;
  /** Messages handed out. */
  readonly delivered: number;
  /** Messages acknowledged; 0 in real time. */
  readonly acked: number;
  /** Messages taken over from others; 0 in real time. */
  readonly claimed: number;
  /** Messages of an earlier life or a lost connection; 0 in real time. */
  readonly replayed: number;
  /** Messages that were gone before they could be handed out; 0 in real time. */
  readonly gaps: number;
}

/**
 * Receives messages of one or several streams.
 *
 * `next`, loops, batches and `readable` may be mixed, and used at the same time: each message goes to exactly one
 * asker, those of one shard in the order of their ids. Pages are read ahead while messages are handed out. A lost
 * connection is taken up again behind the last message read, without loss or repetition.
 *
 * Source: XREAD, Redis 5.0.
 *
 * @example
 * ```ts no-eval
 * import { connect } from "@sea/streamer-redis";
 *
 * await using streamer = await connect("redis://localhost");
 * const consumer = await streamer.createConsumer("orders", { mode: "real-time" });
 * for await (const message of consumer) console.log(message.id, message.text());
 * ```
 */
export interface Consumer extends AsyncIterable<Message>, AsyncDisposable {
  /** The shards that are read. */
  readonly streamShards: readonly StreamShard[];
  /**
   * Waits for the next message, over reconnects too. Several calls may wait, and are answered in order; an aborted one
   * takes no message.
   *
   * @throws {StreamerError} `CONSUMER_ENDED` after the end; after an error that reconnecting cannot heal, always that error;
   * the signal's reason.
   */
  next(options?: WaitOptions): Promise<Message>;
  /** Iterates over messages; leaving the loop ends only the loop. Throws a fatal error once; finishes quietly on `end()`. */
  [Symbol.asyncIterator](): AsyncIterableIterator<Message>;
  /**
   * Iterates over what is there: non-empty arrays of messages of one shard, at most `max` (default: all of a page), never
   * waiting to fill one. A message, or a view of its bytes, that is kept keeps its whole page; `copy()` does not.
   *
   * @throws {StreamerError} `INVALID_OPTION`; while iterating, a fatal error once.
   */
  batches(options?: { readonly max?: number }): AsyncIterableIterator<Message[]>;
  /** The messages as a web stream; always the same one. Cancelling it releases the consumer without ending it. */
  readonly readable: ReadableStream<Message>;
  /**
   * Goes on behind a time, the whole of its millisecond for a Date. No message from before the call is delivered
   * afterwards. If it rejects, nothing has changed.
   *
   * @throws {StreamerError} `INVALID_OPTION`, `CONSUMER_ENDED` or the fatal error; the signal's reason.
   */
  seek(time: Date | bigint, options?: WaitOptions): Promise<void>;
  /**
   * Goes on behind a position; `"end"` is where the stream ends now. No message from before the call is delivered
   * afterwards. If it rejects, nothing has changed.
   *
   * @throws {StreamerError} `INVALID_OPTION`, `CONSUMER_ENDED` or the fatal error; the signal's reason.
   */
  rewind(position: SeqPos, options?: WaitOptions): Promise<void>;
  /**
   * Reads one more shard of a subscribed stream, from where `autoStreamReset` says. In force when it resolves.
   *
   * @throws {StreamerError} `STREAM_KEY_NOT_FOUND` for a stream that is not subscribed; `INVALID_OPTION` for a shard whose
   * Redis key is read already as another's; the signal's reason.
   */
  assign(streamKey: string, shardId: number, options?: WaitOptions): Promise<void>;
  /**
   * Reads one shard less; what was read ahead of it is thrown away. In force when it resolves.
   *
   * @throws {StreamerError} `STREAM_KEY_NOT_FOUND` for what is not read; `STREAM_KEY_EMPTY` for the last one: then nothing
   * changes. The signal's reason.
   */
  unassign(streamKey: string, shardId: number, options?: WaitOptions): Promise<void>;
  /** Hands out no message until {@linkcode resume}; what is asked meanwhile waits. */
  pause(): void;
  /** Hands out messages again. */
  resume(): void;
  /** What has been done so far. */
  stats(): ConsumerStats;
  /**
   * Ends reading and closes the connection; who waits gets `CONSUMER_ENDED`. A second call does nothing. In real time there
   * is nothing to wait for, so that neither `timeout` (milliseconds) nor `signal` matters.
   */
  end(options?: WaitOptions & { readonly timeout?: number }): Promise<void>;
}

/** What a consumer asks of the house it lives in. */
export interface ConsumerHost extends Omit<ReaderOptions, "inbox" | "onFatal"> {
  /** It has ended. */
  readonly onEnded: (consumer: RealTimeConsumer) => void;
}

/** Makes a consumer that is anchored: what is written from now on is not missed, what was there before is not read unless asked for. */
export async function createRealTimeConsumer(
  host: ConsumerHost,
  streamKeys: readonly string[],
  signal: AbortSignal,
): Promise<RealTimeConsumer> {
  const { shards: wanted } = host.settings;
  const numbers = wanted ?? [0];
  const shards = streamKeys.flatMap((key) => numbers.map((shardId) => subscribedShard(key, shardId, wanted)));
  checkDistinct(shards);
  try {
    const positions = await Promise.all(shards.map((shard) => begin(shard, host, signal)));
    return new RealTimeConsumer(host, streamKeys, positions);
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof StreamerError) || error.code === "DISCONNECTED") throw error;
    const consumer = new RealTimeConsumer(host, streamKeys, []);
    consumer.fail(error); // as any fatal error it is told by next()
    return consumer;
  }
}

/** Where a shard begins that has no position yet. */
async function begin(shard: SubscribedShard, host: ConsumerHost, signal: AbortSignal): Promise<ShardPosition> {
  const fresh = { ...shard, gone: false };
  if (host.settings.autoStreamReset === "earliest") return { ...fresh, position: FIRST_ID, reached: FIRST_ID };
  const { id } = await findEnd(shard.redisKey, host.anchor, signal);
  return { ...fresh, position: id, reached: id };
}

/** A consumer that reads by itself, with XREAD. */
export class RealTimeConsumer implements Consumer {
  readonly #host: ConsumerHost;
  readonly #streamKeys: readonly string[];
  readonly #inbox: Inbox;
  readonly #reader: Reader;
  readonly #format: TimestampFormat;
  #readable: ReadableStream<Message> | undefined;
  #paused = false;
  #moving: Promise<void> = Promise.resolve();

  constructor(host: ConsumerHost, streamKeys: readonly string[], shards: readonly ShardPosition[]) {
    this.#host = host;
    this.#streamKeys = streamKeys;
    this.#format = host.timestampFormat;
    this.#inbox = new Inbox({ wanted: () => this.#reader.fill() });
    this.#reader = new Reader({ ...host, inbox: this.#inbox, onFatal: (error) => this.fail(error) }, shards);
    if (shards.length > 0) this.#reader.start();
  }

  get streamShards(): readonly StreamShard[] {
    return this.#reader.shards.map(({ streamKey, shardId }) => ({ streamKey, shardId }));
  }

  get readable(): ReadableStream<Message> {
    const inbox = this.#inbox;
    return this.#readable ??= readableOf(inbox);
  }

  next({ signal }: WaitOptions = {}): Promise<Message> {
    return this.#inbox.ask(signal);
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<Message> {
    const inbox = this.#inbox;
    return new AskingIterator({ take: () => inbox.take(), ask: (signal) => inbox.ask(signal) });
  }

  batches(options: { readonly max?: number } = {}): AsyncIterableIterator<Message[]> {
    const inbox = this.#inbox;
    const max = options.max === undefined || options.max === Infinity
      ? Infinity
      : checkNumber("max", options.max, 0, { min: 1, integer: true });
    return new AskingIterator({ take: () => inbox.takeBatch(max), ask: (signal) => inbox.askBatch(max, signal) });
  }

  async seek(time: Date | bigint, options: WaitOptions = {}): Promise<void> {
    if (typeof time !== "bigint" && !(time instanceof Date)) throw invalidOption("time", time, "a Date or a bigint");
    const position = lastIdOf(time, this.#format);
    await this.#moveAll((shard) => Promise.resolve({ ...shard, position }), options);
  }

  async rewind(position: SeqPos, options: WaitOptions = {}): Promise<void> {
    const fixed = fixedPosition(position);
    await this.#moveAll(async (shard, signal) => {
      if (fixed !== undefined) return { ...shard, position: fixed };
      const { id } = await findEnd(shard.redisKey, this.#host.anchor, signal);
      return { ...shard, position: id, reached: id, gone: false };
    }, options);
  }

  async assign(streamKey: string, shardId: number, options: WaitOptions = {}): Promise<void> {
    this.#checkSubscribed(streamKey, shardId);
    await this.#move(options, async (shards, signal) => {
      if (shards.some((shard) => isShard(shard, streamKey, shardId))) return shards;
      const added = subscribedShard(streamKey, shardId, this.#host.settings.shards);
      checkDistinct([...shards, added]);
      return [...shards, await begin(added, this.#host, signal)];
    });
  }

  async unassign(streamKey: string, shardId: number, options: WaitOptions = {}): Promise<void> {
    this.#checkSubscribed(streamKey, shardId);
    await this.#move(options, (shards) => {
      const rest = shards.filter((shard) => !isShard(shard, streamKey, shardId));
      if (rest.length === shards.length) throw notFound(streamKey, shardId);
      if (rest.length === 0) {
        throw new StreamerError(
          "STREAM_KEY_EMPTY",
          `Cannot unassign shard ${shardId} of ${streamKey} as it is the last one`,
        );
      }
      return Promise.resolve(rest);
    }, () => void this.#inbox.clear({ streamKey, shardId }));
  }

  pause(): void {
    if (this.#paused) return;
    this.#paused = true;
    this.#inbox.hold();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#inbox.release();
  }

  stats(): ConsumerStats {
    const { queued, queuedBytes, delivered } = this.#inbox;
    return { queued, queuedBytes, delivered, inHand: 0, unsentAcks: 0, acked: 0, claimed: 0, replayed: 0, gaps: 0 };
  }

  end(_options: WaitOptions & { readonly timeout?: number } = {}): Promise<void> {
    this.fail(new StreamerError("CONSUMER_ENDED", "Cannot read from a consumer that has ended"));
    return Promise.resolve();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end();
  }

  /** @internal Ends with this error. */
  fail(error: StreamerError): void {
    this.#inbox.end(error);
    this.#reader.close(this.#inbox.over ?? error);
    this.#host.onEnded(this);
  }

  /** All shards go on from a new position; what was read ahead is thrown away at once. */
  async #moveAll(target: MoveShard, options: WaitOptions): Promise<void> {
    options.signal?.throwIfAborted();
    this.#checkOpen();
    this.#inbox.hold();
    this.#reader.hold();
    const thrownAway = this.#inbox.clear();
    try {
      await this.#move(options, (shards, signal) => Promise.all(shards.map((shard) => target(shard, signal))));
    } catch (error) {
      for (const [source, position] of thrownAway) { // nothing has changed: it has to be read once more
        const shard = this.#reader.shards.find(({ streamKey, shardId }) => isShard(source, streamKey, shardId));
        if (shard !== undefined) shard.position = position;
      }
      throw error;
    } finally {
      this.#reader.release();
      this.#inbox.release();
    }
  }

  /** Changes the shards or their positions, one change after the other. On the signal, or at the end, it is given up. */
  async #move(options: WaitOptions, change: MoveShards, moved?: () => void): Promise<void> {
    const signal = AbortSignal.any([this.#reader.signal, ...(options.signal === undefined ? [] : [options.signal])]);
    signal.throwIfAborted();
    const before = this.#moving;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#moving = before.then(() => promise);
    this.#reader.hold();
    try {
      await abortable(before, signal);
      const shards = await abortable(change(this.#reader.shards, signal), signal);
      this.#reader.reposition(shards);
      moved?.();
    } finally {
      this.#reader.release();
      resolve();
    }
  }

  #checkOpen(): void {
    if (this.#inbox.over !== undefined) throw this.#inbox.over;
  }

  #checkSubscribed(streamKey: string, shardId: number): void {
    checkNumber("shardId", shardId, 0, { min: 0, max: Number.MAX_SAFE_INTEGER, integer: true });
    if (!this.#streamKeys.includes(streamKey)) throw notFound(streamKey, shardId);
  }
}

type MoveShard = (shard: ShardPosition, signal: AbortSignal) => Promise<ShardPosition>;
type MoveShards = (shards: readonly ShardPosition[], signal: AbortSignal) => Promise<readonly ShardPosition[]>;

/** The promise's outcome, or the signal's reason if that comes first. */
function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}

function notFound(streamKey: string, shardId: number): StreamerError {
  return new StreamerError(
    "STREAM_KEY_NOT_FOUND",
    `Cannot find shard ${shardId} of ${JSON.stringify(streamKey)} among the subscribed ones`,
  );
}

/** The id behind which to go on, or `undefined` for the end. */
function fixedPosition(position: SeqPos): MessageId | undefined {
  if (position === "end") return undefined;
  if (position === "beginning") return FIRST_ID;
  if (typeof position === "bigint") return idOfSequence(position);
  if (typeof position !== "string") {
    throw invalidOption("position", position, `"beginning", "end", a bigint or a message id`);
  }
  halves(position);
  return position;
}

/** The stream keys of a subscription: at least one, each once. */
export function checkStreamKeys(streamKeys: string | readonly string[]): readonly string[] {
  const keys = typeof streamKeys === "string" ? [streamKeys] : streamKeys;
  if (!Array.isArray(keys)) throw invalidOption("streamKeys", keys, "a stream key or an array of them");
  if (keys.length === 0) throw new StreamerError("STREAM_KEY_EMPTY", "Cannot consume without a stream key");
  return [...new Set(keys.map(checkStreamKey))];
}
