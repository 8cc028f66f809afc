// What a program holds to receive messages in real time: asking, moving, ending. It must not know how pages are read.

import { StreamerError } from "../../resp/errors.ts";
import { lastIdOfStream, type Run } from "../commands/last_id.ts";
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
import { Inbox } from "./inbox.ts";
import { AskingIterator, readableOf } from "./iterate.ts";
import type { AutoStreamReset, ConsumerSettings } from "./options.ts";
import { Reader, type ReaderOptions, type ShardPosition } from "./reader.ts";

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
   * Waits for the next message. Several calls may wait, and are answered in order; an aborted one takes no message.
   *
   * Rejects with `CONSUMER_ENDED` after the end; after an error that reconnecting cannot heal, always with that error.
   */
  next(options?: WaitOptions): Promise<Message>;
  /** Iterates over messages; leaving the loop ends only the loop. Throws a fatal error once; finishes quietly on `end()`. */
  [Symbol.asyncIterator](): AsyncIterableIterator<Message>;
  /** Iterates over what is there: non-empty arrays of messages of one shard, at most `max`, never waiting to fill one. */
  batches(options?: { readonly max?: number }): AsyncIterableIterator<Message[]>;
  /** The messages as a web stream; always the same one. Cancelling it releases the consumer without ending it. */
  readonly readable: ReadableStream<Message>;
  /** Goes on behind a time, the whole of its millisecond for a Date. No message from before the call is delivered afterwards. */
  seek(time: Date | bigint, options?: WaitOptions): Promise<void>;
  /** Goes on behind a position; `"end"` is where the stream ends now. No message from before the call is delivered afterwards. */
  rewind(position: SeqPos, options?: WaitOptions): Promise<void>;
  /** Reads one more shard of a subscribed stream, from where `autoStreamReset` says. In force when it resolves. */
  assign(streamKey: string, shardId: number, options?: WaitOptions): Promise<void>;
  /** Reads one shard less; the last one cannot be removed: `STREAM_KEY_EMPTY`. In force when it resolves. */
  unassign(streamKey: string, shardId: number, options?: WaitOptions): Promise<void>;
  /** Hands out no message until {@linkcode resume}; what is asked meanwhile waits. */
  pause(): void;
  /** Hands out messages again. */
  resume(): void;
  /** What has been done so far. */
  stats(): ConsumerStats;
  /** Ends reading and closes the connection; who waits gets `CONSUMER_ENDED`. A second call does nothing. */
  end(options?: WaitOptions & { readonly timeout?: number }): Promise<void>;
}

/** What a consumer asks of the house it lives in. */
export interface ConsumerHost extends Omit<ReaderOptions, "settings" | "inbox" | "onFatal"> {
  readonly settings: ConsumerSettings;
  /** It has ended. */
  readonly onEnded: (consumer: RealTimeConsumer) => void;
}

/** Makes a consumer that is anchored: what is written from now on is not missed, what was there before is not read unless asked for. */
export async function createRealTimeConsumer(
  host: ConsumerHost,
  streamKeys: readonly string[],
  signal?: AbortSignal,
): Promise<RealTimeConsumer> {
  const { shards: wanted, autoStreamReset } = host.settings;
  const shards = streamKeys.flatMap((streamKey) =>
    wanted === undefined
      ? [shardOf(streamKey, 0, undefined)]
      : wanted.map((shardId) => shardOf(streamKey, shardId, wanted))
  );
  try {
    const run: Run = (command) => host.run(command, { signal });
    const positions = await Promise.all(shards.map((shard) => anchor(shard, autoStreamReset, run)));
    return new RealTimeConsumer(host, streamKeys, positions);
  } catch (error) {
    signal?.throwIfAborted();
    if (!(error instanceof StreamerError) || error.code === "DISCONNECTED") throw error;
    const consumer = new RealTimeConsumer(host, streamKeys, []);
    consumer.fail(error); // as any fatal error it is told by next()
    return consumer;
  }
}

type Shard = Omit<ShardPosition, "position">;

function shardOf(streamKey: string, shardId: number, sharded: readonly number[] | undefined): Shard {
  const plain = sharded === undefined && shardId === 0;
  return { streamKey, shardId, redisKey: plain ? streamKey : `${streamKey}:${shardId}` };
}

async function anchor(shard: Shard, reset: AutoStreamReset, run: Run): Promise<ShardPosition> {
  return { ...shard, position: reset === "earliest" ? FIRST_ID : await lastIdOfStream(shard.redisKey, run) };
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
  #moving: Promise<unknown> = Promise.resolve();
  #ended = false;

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
    return this.#readable ??= readableOf({ take: () => inbox.take(), ask: (signal) => inbox.ask(signal) });
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
    const max = checkNumber("max", options.max, Infinity, { min: 1 });
    return new AskingIterator({ take: () => inbox.takeBatch(max), ask: (signal) => inbox.askBatch(max, signal) });
  }

  async seek(time: Date | bigint, options: WaitOptions = {}): Promise<void> {
    if (typeof time !== "bigint" && !(time instanceof Date)) throw invalidOption("time", time, "a Date or a bigint");
    const position = lastIdOf(time, this.#format);
    await this.#moveAll(() => Promise.resolve(position), options);
  }

  async rewind(position: SeqPos, options: WaitOptions = {}): Promise<void> {
    const fixed = fixedPosition(position);
    const run: Run = (command) => this.#host.run(command, options);
    await this.#moveAll(
      (shard) => fixed === undefined ? lastIdOfStream(shard.redisKey, run) : Promise.resolve(fixed),
      options,
    );
  }

  async assign(streamKey: string, shardId: number, options: WaitOptions = {}): Promise<void> {
    this.#checkSubscribed(streamKey, shardId);
    await this.#move(options, async (shards) => {
      if (shards.some((shard) => isShard(shard, streamKey, shardId))) return shards;
      const { settings } = this.#host;
      const run: Run = (command) => this.#host.run(command, options);
      const added = await anchor(shardOf(streamKey, shardId, settings.shards), settings.autoStreamReset, run);
      return [...shards, added];
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
      this.#inbox.clear({ streamKey, shardId });
      return Promise.resolve(rest);
    });
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
    if (!this.#ended) {
      this.fail(new StreamerError("CONSUMER_ENDED", "Cannot read from a consumer that has ended"));
      this.#ended = true;
      this.#host.onEnded(this);
    }
    return Promise.resolve();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end();
  }

  /** @internal Ends with this error. */
  fail(error: StreamerError): void {
    this.#inbox.end(error);
    this.#reader.close();
  }

  /** All shards go on from a new position; what was read ahead is thrown away at once. */
  async #moveAll(target: (shard: Shard) => Promise<MessageId>, options: WaitOptions): Promise<void> {
    options.signal?.throwIfAborted();
    this.#checkOpen();
    this.#inbox.hold();
    this.#reader.hold();
    const thrownAway = this.#inbox.clear();
    try {
      await this.#move(
        options,
        (shards) => Promise.all(shards.map(async (shard) => ({ ...shard, position: await target(shard) }))),
      );
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

  /** Changes the shards or their positions, one change after the other. */
  #move(
    options: WaitOptions,
    change: (shards: readonly ShardPosition[]) => Promise<readonly ShardPosition[]>,
  ): Promise<void> {
    const moved = this.#moving.then(async () => {
      options.signal?.throwIfAborted();
      this.#checkOpen();
      this.#reader.hold();
      try {
        this.#reader.reposition(await change(this.#reader.shards));
      } finally {
        this.#reader.release();
      }
      this.#checkOpen();
    });
    this.#moving = moved.catch(() => {});
    return moved;
  }

  #checkOpen(): void {
    if (this.#inbox.over !== undefined) throw this.#inbox.over;
  }

  #checkSubscribed(streamKey: string, shardId: number): void {
    checkNumber("shardId", shardId, 0, { min: 0, max: Number.MAX_SAFE_INTEGER, integer: true });
    if (!this.#streamKeys.includes(streamKey)) throw notFound(streamKey, shardId);
  }
}

function isShard(shard: StreamShard, streamKey: string, shardId: number): boolean {
  return shard.streamKey === streamKey && shard.shardId === shardId;
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
