// A consumer that reads by itself, in real time: makes it, and offers the verbs. It must not know how shards are read or moved.

import { StreamerError } from "../../resp/errors.ts";
import type { SeqPos } from "../model/id.ts";
import { checkStreamKey, type StreamShard } from "../model/key.ts";
import { checkNames, invalidOption } from "../model/options.ts";
import { AskingConsumer, consumerEnded } from "./asking.ts";
import type { Consumer, ConsumerStats, WaitOptions } from "./consumer.ts";
import { detailOf, discoverStreams, type FoundStream, type ShardsDetail, shardsOf } from "./discover.ts";
import { Discovery } from "./discovery.ts";
import { decodingGate, tellSkipped } from "./decoding.ts";
import { type AddOptions, beginShard, FreeReading } from "./free_reading.ts";
import { goalOfPosition, goalOfTime } from "./goal.ts";
import type { DeadLetterDetail } from "./graveyard.ts";
import { Inbox } from "./inbox.ts";
import type { ReaderOptions } from "./reader.ts";
import {
  checkDistinct,
  checkSubscribed,
  type ShardPosition,
  startAt,
  type SubscribedShard,
  subscribedShard,
} from "./shard.ts";

/** What a consumer asks of the house it lives in. */
export interface ConsumerHost extends Omit<ReaderOptions, "inbox" | "onFatal"> {
  /** Which shards were found, or are gone. */
  readonly onShards: (detail: ShardsDetail) => void;
  /** A message was not handed out since it does not decode. */
  readonly onDeadLetter: (detail: DeadLetterDetail) => void;
  /** It has ended. */
  readonly onEnded: (consumer: RealTimeConsumer) => void;
}

/** Makes a consumer that is anchored: what is written from now on is not missed, what was there before is not read unless asked for. */
export async function createRealTimeConsumer(
  host: ConsumerHost,
  streamKeys: readonly string[],
  signal: AbortSignal,
): Promise<RealTimeConsumer> {
  const { anchor, settings } = host;
  const { shards: wanted, autoStreamReset } = settings;
  const numbered = streamKeys.flatMap((key) => (wanted ?? []).map((shardId) => subscribedShard(key, shardId, wanted)));
  checkDistinct(numbered);
  try {
    const found = wanted === undefined ? await discoverStreams(streamKeys, anchor, signal) : undefined;
    const shards = found === undefined ? numbered : found.flatMap(shardsOf);
    const from = startAt(autoStreamReset);
    const positions = await Promise.all(shards.map((shard) => beginShard(shard, from, { anchor, signal })));
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

/** A consumer that reads by itself, with XREAD. */
export class RealTimeConsumer extends AskingConsumer implements Consumer {
  readonly #host: ConsumerHost;
  readonly #streamKeys: readonly string[];
  readonly #inbox: Inbox;
  readonly #reading: FreeReading;
  readonly #discovery: Discovery | undefined;

  constructor(host: ConsumerHost, { streamKeys, shards, found }: Subscription) {
    const accepts = decodingGate(host.settings.onDecodeError, (message, reason) => {
      tellSkipped(message, reason, host.onDeadLetter);
    });
    const inbox: Inbox = new Inbox({ wanted: () => this.#wanted(), accepts });
    super(inbox, "real-time");
    this.#inbox = inbox;
    this.#host = host;
    this.#streamKeys = streamKeys;
    const reading = this.#reading = new FreeReading({ ...host, inbox, onFatal: (error) => this.fail(error) }, shards, {
      later: (signal) => this.#discovery?.find(signal) ?? [],
      onMoved: () => this.#discovery?.progressed(),
    });
    this.#discovery = found && new Discovery({
      anchor: host.anchor,
      interval: host.settings.shardDiscoveryInterval,
      signal: reading.signal,
      shards: () => reading.shards,
      adopt: (addition) => reading.addLater(addition),
      isLeft: (plain, until) => reading.isLeft(plain, until),
      replace: (replacement) => reading.replace(replacement),
      onShards: host.onShards,
    }, found);
    if (shards.length === 0) return;
    reading.start();
    this.#discovery?.start();
  }

  get streamShards(): readonly StreamShard[] {
    return this.#reading.shards.map(({ streamKey, shardId }) => ({ streamKey, shardId }));
  }

  async seek(time: Date | bigint, options: WaitOptions = {}): Promise<void> {
    checkNames("options of a real-time consumer's seek", options, WAIT_NAMES);
    await this.#reading.moveTo(goalOfTime(time, this.#host.timestampFormat), options);
  }

  async rewind(position: SeqPos, options: WaitOptions = {}): Promise<void> {
    checkNames("options of a real-time consumer's rewind", options, WAIT_NAMES);
    await this.#reading.moveTo(goalOfPosition(position, this.#host.anchor), options);
  }

  async assign(streamKey: string, shardId: number, options: WaitOptions = {}): Promise<void> {
    const { settings } = this.#host;
    checkSubscribed(this.#streamKeys, { streamKey, shardId });
    const from = startAt(settings.autoStreamReset);
    const added = this.#discovery?.shardOf(streamKey, shardId) ?? subscribedShard(streamKey, shardId, settings.shards);
    await this.adopt([added], { signal: options.signal, from });
  }

  /** @internal Reads more shards; those that are read already go on as they do. */
  async adopt(shards: readonly SubscribedShard[], options: AddOptions): Promise<void> {
    await this.#reading.add(shards, options);
  }

  async unassign(streamKey: string, shardId: number, { signal }: WaitOptions = {}): Promise<void> {
    checkSubscribed(this.#streamKeys, { streamKey, shardId });
    const onRemoved = (shard: SubscribedShard) => this.#discovery?.dismiss(shard);
    await this.#reading.remove(streamKey, shardId, { signal, onRemoved });
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
    this.#reading.close(this.#inbox.over ?? error);
    this.#host.onEnded(this);
  }

  #wanted(): void {
    this.#reading.fill();
    this.#discovery?.progressed();
  }
}

const WAIT_NAMES = ["signal"];

/** The stream keys of a subscription: at least one, each once. */
export function checkStreamKeys(streamKeys: string | readonly string[]): readonly string[] {
  const keys = typeof streamKeys === "string" ? [streamKeys] : streamKeys;
  if (!Array.isArray(keys)) throw invalidOption("streamKeys", keys, "a stream key or an array of them");
  if (keys.length === 0) throw new StreamerError("STREAM_KEY_EMPTY", "Cannot consume without a stream key");
  return [...new Set(keys.map(checkStreamKey))];
}
