// A consumer that reads by itself, in real time: where it begins, and how it is moved. It must not know how pages are read.

import { StreamerError } from "../../resp/errors.ts";
import {
  compareIds,
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
import { detailOf, discoverStreams, type FoundStream, type ShardsDetail, shardsOf } from "./discover.ts";
import { Discovery, type Replacement } from "./discovery.ts";
import { Inbox } from "./inbox.ts";
import { Reader, type ReaderOptions } from "./reader.ts";
import { checkDistinct, isShard, type ShardPosition, type SubscribedShard, subscribedShard } from "./shard.ts";

/** What a consumer asks of the house it lives in. */
export interface ConsumerHost extends Omit<ReaderOptions, "inbox" | "onFatal"> {
  /** Which shards were found, or are gone. */
  readonly onShards: (detail: ShardsDetail) => void;
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
  const numbered = streamKeys.flatMap((key) => (wanted ?? []).map((shardId) => subscribedShard(key, shardId, wanted)));
  checkDistinct(numbered);
  try {
    const found = wanted === undefined ? await discoverStreams(streamKeys, host.anchor, signal) : undefined;
    const shards = found === undefined ? numbered : found.flatMap(shardsOf);
    const positions = await Promise.all(shards.map((shard) => begin(shard, host, signal)));
    const consumer = new RealTimeConsumer(host, { streamKeys, shards: positions, found });
    for (const detail of found?.map(detailOf) ?? []) if (detail !== undefined) host.onShards(detail);
    return consumer;
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof StreamerError) || ["DISCONNECTED", "INVALID_OPTION"].includes(error.code)) throw error;
    const consumer = new RealTimeConsumer(host, { streamKeys, shards: [] });
    consumer.fail(error); // as any fatal error it is told by next()
    return consumer;
  }
}

/** What a consumer reads. */
interface Subscription {
  readonly streamKeys: readonly string[];
  readonly shards: readonly ShardPosition[];
  /** What was found of each stream, where shards are discovered. */
  readonly found?: readonly FoundStream[] | undefined;
}

/** Where a shard begins that has no position yet. */
async function begin(shard: SubscribedShard, host: ConsumerHost, signal: AbortSignal): Promise<ShardPosition> {
  if (host.settings.autoStreamReset === "earliest") return freshAt(shard, FIRST_ID);
  const { id } = await findEnd(shard.redisKey, host.anchor, signal);
  return { ...freshAt(shard, id), reached: id };
}

/** A shard of which nothing is known yet, to be read behind an id. */
function freshAt(shard: SubscribedShard, position: MessageId): ShardPosition {
  return { ...shard, position, reached: FIRST_ID, gone: false };
}

/** A consumer that reads by itself, with XREAD. */
export class RealTimeConsumer extends AskingConsumer implements Consumer {
  readonly #host: ConsumerHost;
  readonly #streamKeys: readonly string[];
  readonly #inbox: Inbox;
  readonly #reader: Reader;
  readonly #format: TimestampFormat;
  readonly #discovery: Discovery | undefined;
  #moving: Promise<void> = Promise.resolve();
  #movingAll = 0; // seeks and rewinds under way
  #begin: MessageId = FIRST_ID; // where shards are read from that are found later,
  #ends: ReadonlyMap<string, ShardPosition> = new Map(); // except for those that had been found when going to the end

  constructor(host: ConsumerHost, { streamKeys, shards, found }: Subscription) {
    const inbox: Inbox = new Inbox({ wanted: () => this.#wanted() });
    super(inbox, "real-time");
    this.#inbox = inbox;
    this.#host = host;
    this.#streamKeys = streamKeys;
    this.#format = host.timestampFormat;
    this.#reader = new Reader({ ...host, inbox, onFatal: (error) => this.fail(error) }, shards);
    this.#discovery = found && new Discovery({
      anchor: host.anchor,
      interval: host.settings.shardDiscoveryInterval,
      signal: this.#reader.signal,
      shards: () => this.#reader.shards,
      adopt: (added) => this.#adopt(added),
      isLeft: (plain, until) => this.#isLeft(plain, until),
      replace: (replacement) => this.#replace(replacement),
      onShards: host.onShards,
    }, found);
    if (shards.length === 0) return;
    this.#reader.start();
    this.#discovery?.start();
  }

  get streamShards(): readonly StreamShard[] {
    return this.#reader.shards.map(({ streamKey, shardId }) => ({ streamKey, shardId }));
  }

  async seek(time: Date | bigint, options: WaitOptions = {}): Promise<void> {
    if (typeof time !== "bigint" && !(time instanceof Date)) throw invalidOption("time", time, "a Date or a bigint");
    const position = lastIdOf(time, this.#format);
    await this.#moveAll((shard) => Promise.resolve({ ...shard, position }), position, options);
  }

  async rewind(position: SeqPos, options: WaitOptions = {}): Promise<void> {
    const fixed = fixedPosition(position);
    await this.#moveAll(
      async (shard, signal) => {
        if (fixed !== undefined) return { ...shard, position: fixed };
        const { id } = await findEnd(shard.redisKey, this.#host.anchor, signal);
        return { ...shard, position: id, reached: id, gone: false };
      },
      fixed,
      options,
    );
  }

  async assign(streamKey: string, shardId: number, options: WaitOptions = {}): Promise<void> {
    this.#checkSubscribed(streamKey, shardId);
    await this.#move(options, async (shards, signal) => {
      if (shards.some((shard) => isShard(shard, streamKey, shardId))) return shards;
      const added = this.#discovery?.shardOf(streamKey, shardId) ??
        subscribedShard(streamKey, shardId, this.#host.settings.shards);
      checkDistinct([...shards, added]);
      return [...shards, await begin(added, this.#host, signal)];
    });
  }

  async unassign(streamKey: string, shardId: number, options: WaitOptions = {}): Promise<void> {
    this.#checkSubscribed(streamKey, shardId);
    let removed: ShardPosition | undefined;
    await this.#move(options, (shards) => {
      removed = shards.find((shard) => isShard(shard, streamKey, shardId));
      if (removed === undefined) throw notFound(streamKey, shardId);
      const rest = shards.filter((shard) => shard !== removed);
      if (rest.length === 0) {
        throw new StreamerError(
          "STREAM_KEY_EMPTY",
          `Cannot unassign shard ${shardId} of ${streamKey} as it is the last one`,
        );
      }
      return Promise.resolve(rest);
    }, () => {
      this.#inbox.clear({ streamKey, shardId });
      if (removed !== undefined) this.#discovery?.dismiss(removed);
    });
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

  #wanted(): void {
    this.#reader.fill();
    this.#discovery?.progressed();
  }

  /** Shards that were found are read too. */
  async #adopt(added: readonly SubscribedShard[]): Promise<void> {
    await this.#move({}, (shards) => Promise.resolve([...shards, ...this.#found(added, shards)]));
  }

  /** Whether all up to this id was read of a plain key, and handed out: its messages and those of the shard 0 bear the same name. */
  #isLeft(plain: SubscribedShard, until: MessageId): boolean {
    const shard = this.#reader.shards.find(({ redisKey }) => redisKey === plain.redisKey);
    return this.#movingAll === 0 && shard !== undefined && compareIds(shard.position, until) >= 0 &&
      !this.#inbox.holds(plain);
  }

  async #replace({ plain, until, shards: added, done }: Replacement): Promise<void> {
    let left = false;
    await this.#move({}, (shards) => {
      left = this.#isLeft(plain, until);
      if (!left) return Promise.resolve(shards);
      const rest = shards.filter(({ redisKey }) => redisKey !== plain.redisKey);
      return Promise.resolve([...rest, ...this.#found(added, rest)]);
    }, () => {
      if (left) done();
    });
  }

  /** Those of the shards that are not read already, with their positions. */
  #found(added: readonly SubscribedShard[], shards: readonly ShardPosition[]): readonly ShardPosition[] {
    const read = new Set(shards.map(({ redisKey }) => redisKey));
    return added.filter(({ redisKey }) => !read.has(redisKey))
      .map((shard) => this.#ends.get(shard.redisKey) ?? freshAt(shard, this.#begin));
  }

  /** All shards go on from a new position, the end of each if there is none; what was read ahead is thrown away at once. */
  async #moveAll(target: MoveShard, position: MessageId | undefined, options: WaitOptions): Promise<void> {
    options.signal?.throwIfAborted();
    this.#checkOpen();
    this.#movingAll++;
    this.#inbox.hold();
    this.#reader.hold();
    const thrownAway = this.#inbox.clear();
    try {
      let ends: readonly ShardPosition[] = [];
      await this.#move(options, async (shards, signal) => {
        const moved = (shard: ShardPosition) => target(shard, signal);
        if (position === undefined) {
          const later = await this.#discovery?.find(signal) ?? []; // what they hold now is from before, too
          ends = await Promise.all(later.map((shard) => moved(freshAt(shard, FIRST_ID))));
        }
        return await Promise.all(shards.map(moved));
      }, () => {
        this.#begin = position ?? FIRST_ID;
        this.#ends = new Map(ends.map((shard) => [shard.redisKey, shard]));
      });
    } catch (error) {
      for (const [source, position] of thrownAway) { // nothing has changed: it has to be read once more
        const shard = this.#reader.shards.find(({ streamKey, shardId }) => isShard(source, streamKey, shardId));
        if (shard !== undefined) shard.position = position;
      }
      throw error;
    } finally {
      this.#movingAll--;
      this.#reader.release();
      this.#inbox.release();
      this.#discovery?.progressed();
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
