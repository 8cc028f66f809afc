// A consumer without a group: creates it, and offers its verbs.

import { StreamerError } from "../../resp/errors.ts";
import type { FindShards } from "../cluster/shard_walks.ts";
import type { SeqPos } from "../model/id.ts";
import { checkStreamKey, type StreamShard } from "../model/key.ts";
import { invalidOption } from "../model/options.ts";
import { type ServerAccess, UNMADE } from "./server/server.ts";
import { AskingConsumer, checkEnd, checkWait, consumerEnded } from "./delivery/base_consumer.ts";
import type { Consumer, ConsumerEndOptions, ConsumerJson, ConsumerStats, WaitOptions } from "./consumer.ts";
import type { DeadLetterDetail, ShardsDetail } from "./events.ts";
import { FixedShards, type ShardSource, shardSource } from "./shards/shard_source.ts";
import { decodingGate, reportSkipped } from "./delivery/decoding.ts";
import { type AddOptions, beginShard, StandaloneReading } from "./reading/standalone_reading.ts";
import { targetOfPosition, targetOfTime } from "./reading/seek_target.ts";
import { PrefetchQueue } from "./delivery/prefetch_queue.ts";
import type { ReaderOptions } from "./reading/node_reader.ts";
import { checkSubscribed, startAt, type SubscribedShard } from "./shards/shard.ts";
import type { ShardPosition } from "./shards/shard_position.ts";

/** What a consumer works with, and its listeners. */
export interface ConsumerContext extends Omit<ReaderOptions, "queue" | "onFatal"> {
  /** Access to the server during the creation, limited to the `timeout` of `connect`. */
  readonly creating: ServerAccess;
  /** Looks for the shards of several streams at once. */
  readonly findShards: FindShards;
  /** Which shards were found, or are gone. */
  readonly onShards: (detail: ShardsDetail) => void;
  /** A message was not returned since it cannot be decoded. */
  readonly onDeadLetter: (detail: DeadLetterDetail) => void;
  /** The consumer has ended. */
  readonly onEnded: (consumer: RealTimeConsumer) => void;
}

/** Creates a consumer whose positions are fixed: it misses no entry written from now on, and reads older ones only if asked to. */
export async function createRealTimeConsumer(
  context: ConsumerContext,
  streamKeys: readonly string[],
  signal: AbortSignal,
): Promise<RealTimeConsumer> {
  const { creating: server, settings } = context;
  const fixed = new FixedShards(streamKeys, settings.shards);
  try {
    const source = await shardSource(streamKeys, fixed, { ...context, signal });
    const from = startAt(settings.autoStreamReset);
    const shards = await Promise.all(source.shards.map((shard) => beginShard(shard, from, { server, signal })));
    const consumer = new RealTimeConsumer(context, { streamKeys, source, shards });
    consumer.start();
    return consumer;
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof StreamerError) || UNMADE.includes(error.code)) throw error;
    const consumer = new RealTimeConsumer(context, { streamKeys, source: fixed, shards: [] });
    consumer.fail(error); // as any fatal error, it rejects next()
    return consumer;
  }
}

/** What a consumer reads. */
interface Subscription {
  readonly streamKeys: readonly string[];
  readonly source: ShardSource;
  readonly shards: readonly ShardPosition[];
}

/** A consumer that reads by itself, with XREAD. */
export class RealTimeConsumer extends AskingConsumer implements Consumer {
  readonly #context: ConsumerContext;
  readonly #streamKeys: readonly string[];
  readonly #queue: PrefetchQueue;
  readonly #reading: StandaloneReading;
  readonly #source: ShardSource;

  constructor(context: ConsumerContext, { streamKeys, source, shards }: Subscription) {
    const accepts = decodingGate(context.settings.onDecodeError, (message, reason) => {
      reportSkipped(message, reason, context.onDeadLetter);
    });
    const queue: PrefetchQueue = new PrefetchQueue({ onDemand: () => this.#onDemand(), accepts });
    super(queue, "real-time");
    this.#queue = queue;
    this.#context = context;
    this.#streamKeys = streamKeys;
    this.#source = source;
    this.#reading = new StandaloneReading(
      { ...context, queue, onFatal: (error) => this.fail(error) },
      shards,
      {
        later: (signal) => source.later(signal),
        onMoved: () => source.progressed(),
      },
    );
  }

  /** @internal Begins to read. */
  start(): void {
    this.#reading.start();
    this.#source.start(this.#reading);
  }

  get streamShards(): readonly StreamShard[] {
    return this.#reading.shards.map(({ streamKey, shardId }) => ({ streamKey, shardId }));
  }

  async seek(time: Date | bigint, options: WaitOptions = {}): Promise<void> {
    checkWait("a real-time consumer's seek", options);
    await this.#reading.moveTo(targetOfTime(time, this.#context.timestampFormat), options);
  }

  async rewind(position: SeqPos, options: WaitOptions = {}): Promise<void> {
    checkWait("a real-time consumer's rewind", options);
    await this.#reading.moveTo(targetOfPosition(position, this.#context.server), options);
  }

  async assign(streamKey: string, shardId: number, options: WaitOptions = {}): Promise<void> {
    const { settings } = this.#context;
    const signal = checkWait("assign", options);
    checkSubscribed(this.#streamKeys, { streamKey, shardId });
    const from = startAt(settings.autoStreamReset);
    const added = this.#source.shardOf(streamKey, shardId);
    await this.adopt([added], { signal, from });
  }

  /** @internal Reads more shards; those that are read already continue as they do. */
  async adopt(shards: readonly SubscribedShard[], options: AddOptions): Promise<void> {
    await this.#reading.add(shards, options);
  }

  async unassign(streamKey: string, shardId: number, options: WaitOptions = {}): Promise<void> {
    const signal = checkWait("unassign", options);
    checkSubscribed(this.#streamKeys, { streamKey, shardId });
    const onRemoved = (shard: SubscribedShard) => this.#source.unassigned(shard);
    await this.#reading.remove(streamKey, shardId, { signal, onRemoved });
  }

  stats(): ConsumerStats {
    const { queued, queuedBytes, delivered } = this.#queue;
    return { queued, queuedBytes, delivered, inHand: 0, unsentAcks: 0, acked: 0, claimed: 0, replayed: 0, gaps: 0 };
  }

  toJSON(): ConsumerJson {
    return { mode: "real-time", streamShards: this.streamShards, ...this.stats() };
  }

  end(options: ConsumerEndOptions = {}): Promise<void> {
    try {
      checkEnd(options, 0); // there is nothing to wait for
      options.signal?.throwIfAborted();
    } catch (error) {
      return Promise.reject(error); // nothing has ended
    }
    return this.shutdown();
  }

  /** @internal Ends when the streamer disconnects. */
  shutdown(): Promise<void> {
    this.fail(consumerEnded());
    return Promise.resolve();
  }

  /** @internal Ends with this error. */
  fail(error: StreamerError): void {
    this.#queue.end(error);
    this.#reading.close(this.#queue.over ?? error);
    this.#context.onEnded(this);
  }

  #onDemand(): void {
    this.#reading.fill();
    this.#source.progressed();
  }
}

/** The stream keys of a subscription: at least one, each once. */
export function checkStreamKeys(streamKeys: string | readonly string[]): readonly string[] {
  const keys = typeof streamKeys === "string" ? [streamKeys] : streamKeys;
  if (!Array.isArray(keys)) throw invalidOption("streamKeys", keys, "a stream key or an array of them");
  if (keys.length === 0) throw new StreamerError("STREAM_KEY_EMPTY", "No stream key was given");
  return [...new Set(keys.map(checkStreamKey))];
}
