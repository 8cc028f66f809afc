// A consumer that reads by itself, in real time: where it begins, and how it is moved. It must not know how pages are read.

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
import { checkNumber, invalidOption } from "../model/options.ts";
import { abortable } from "./abortable.ts";
import { findEnd } from "./anchor.ts";
import { AskingConsumer, consumerEnded } from "./asking.ts";
import type { Consumer, ConsumerStats, WaitOptions } from "./consumer.ts";
import { Inbox } from "./inbox.ts";
import { Reader, type ReaderOptions } from "./reader.ts";
import { checkDistinct, isShard, type ShardPosition, type SubscribedShard, subscribedShard } from "./shard.ts";

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
export class RealTimeConsumer extends AskingConsumer implements Consumer {
  readonly #host: ConsumerHost;
  readonly #streamKeys: readonly string[];
  readonly #inbox: Inbox;
  readonly #reader: Reader;
  readonly #format: TimestampFormat;
  #moving: Promise<void> = Promise.resolve();

  constructor(host: ConsumerHost, streamKeys: readonly string[], shards: readonly ShardPosition[]) {
    const inbox: Inbox = new Inbox({ wanted: () => this.#reader.fill() });
    super(inbox, "real-time");
    this.#inbox = inbox;
    this.#host = host;
    this.#streamKeys = streamKeys;
    this.#format = host.timestampFormat;
    this.#reader = new Reader({ ...host, inbox, onFatal: (error) => this.fail(error) }, shards);
    if (shards.length > 0) this.#reader.start();
  }

  get streamShards(): readonly StreamShard[] {
    return this.#reader.shards.map(({ streamKey, shardId }) => ({ streamKey, shardId }));
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

  stats(): ConsumerStats {
    const { queued, queuedBytes, delivered } = this.#inbox;
    return { queued, queuedBytes, delivered, inHand: 0, unsentAcks: 0, acked: 0, claimed: 0, replayed: 0, gaps: 0 };
  }

  end(_options: WaitOptions & { readonly timeout?: number } = {}): Promise<void> {
    this.fail(consumerEnded());
    return Promise.resolve();
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
