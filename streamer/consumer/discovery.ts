// Looks now and then for shards that have come or gone since a consumer was made, and has its reading changed. It must not know
// how anything is read.

import { RedisError } from "../../resp/errors.ts";
import { sleep } from "../../resp/connection/clock.ts";
import { isForbidden, isPlainStream, missingShards, probeShards, type ShardServers } from "../cluster/shards.ts";
import { lastEntryOfStream } from "../commands/last_id.ts";
import { isStreamMissing } from "../commands/xgroup.ts";
import { FIRST_ID, type MessageId } from "../model/id.ts";
import { type AnchorPorts, findEnd } from "./anchor.ts";
import { type FoundStream, ownNumbers, type ShardsDetail, shardServers } from "./discover.ts";
import { judgePlain, newlyGone, type StreamForm } from "./discovery_policy.ts";
import { persist } from "./persist.ts";
import { isAway, isFatal } from "./policy.ts";
import { type Addition, numberedShard, plainShard, type Replacement, type SubscribedShard } from "./shard.ts";

/** What a discovery needs, and whom it tells. */
export interface DiscoveryPorts {
  readonly anchor: AnchorPorts;
  /** Milliseconds between two looks; `undefined` for none. */
  readonly interval: number | undefined;
  /** Ends it. */
  readonly signal: AbortSignal;
  /** The shards that are read now. */
  readonly shards: () => readonly SubscribedShard[];
  /** These are to be read too, from their beginning. */
  readonly adopt: (addition: Addition) => Promise<void>;
  /** Whether a plain key was read up to this id, and none of what was read of it is left here. */
  readonly isLeft: (plain: SubscribedShard, until: MessageId) => boolean;
  /** Shards are to be read in place of a plain key, if it still is left then. */
  readonly replace: (replacement: Replacement) => Promise<void>;
  readonly onShards: (detail: ShardsDetail) => void;
}

/** One stream, and what is known of it. */
interface DiscoveredStream {
  readonly streamKey: string;
  form: StreamForm;
  /** Numbers that are not looked for any more: they were found, or are not wanted. */
  readonly known: Set<number>;
  /** Those of them that were found missing. */
  gone: ReadonlySet<number>;
  /** Whether looking for shards makes no sense any more. */
  stopped: boolean;
}

/** Keeps an eye on the shards of one consumer's streams. */
export class Discovery {
  readonly #ports: DiscoveryPorts;
  readonly #streams: ReadonlyMap<string, DiscoveredStream>;
  readonly #servers: ShardServers;
  #turn: Promise<void> = Promise.resolve(); // one look after the other
  #leaving = false; // whether any of the streams may have a plain key that is to be left
  #settling = false;

  constructor(ports: DiscoveryPorts, found: readonly FoundStream[]) {
    this.#ports = ports;
    this.#servers = shardServers(ports.anchor, ports.signal);
    this.#streams = new Map(found.map(({ streamKey, numbers, forbidden }) => [streamKey, {
      streamKey,
      form: { kind: numbers.length === 0 ? "plain" : "sharded" },
      known: new Set(numbers),
      gone: new Set(),
      stopped: forbidden !== undefined,
    }]));
  }

  /** Begins to look, at intervals. */
  async start(): Promise<void> {
    const { anchor, interval, signal } = this.#ports;
    if (interval === undefined) return;
    try {
      for (;;) {
        await sleep(anchor.clock, interval, signal);
        await this.look();
      }
    } catch {
      // It has ended.
    }
  }

  /** Looks at all streams, after whoever is looking already. Never rejects. */
  look(): Promise<void> {
    return this.#inTurn(async () => {
      for (const stream of this.#streams.values()) await this.#lookAt(stream);
    });
  }

  /** Some of what was read has been handed out, or positions have changed: a plain key may be left now. Cheap where none is to be. */
  progressed(): void {
    if (!this.#leaving || this.#settling) return;
    if (![...this.#streams.values()].some((stream) => this.#isSettled(stream))) return;
    this.#settling = true;
    this.#inTurn(async () => {
      this.#settling = false;
      for (const stream of this.#streams.values()) await this.#guard(stream, () => this.#settle(stream));
    });
  }

  /** The Redis key that a shard's number stands for now. */
  shardOf(streamKey: string, shardId: number): SubscribedShard {
    const plain = shardId === 0 && this.#streams.get(streamKey)?.form.kind !== "sharded";
    return plain ? plainShard(streamKey) : numberedShard(streamKey, shardId);
  }

  /** Shards that are there and not read yet, and will be. */
  async find(signal: AbortSignal): Promise<readonly SubscribedShard[]> {
    if (this.#ports.interval === undefined) return [];
    const found: SubscribedShard[] = [];
    for (const stream of this.#streams.values()) {
      if (!this.#isWatched(stream)) continue;
      try {
        const numbers = await persist(this.#ports.anchor, signal, () => this.#probe(stream, signal));
        found.push(...numbers.map((number) => numberedShard(stream.streamKey, number)));
      } catch {
        signal.throwIfAborted(); // anything else will be met again by the next look
      }
    }
    return found;
  }

  /** A shard was unassigned by hand: it must not be found again. To be told in the step in which it is. */
  dismiss({ streamKey, shardId, redisKey }: SubscribedShard): void {
    if (redisKey !== streamKey) this.#streams.get(streamKey)?.known.add(shardId);
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    return this.#turn = this.#turn.then(work);
  }

  async #lookAt(stream: DiscoveredStream): Promise<void> {
    if (!this.#isWatched(stream) || this.#ports.signal.aborted) return;
    await this.#guard(stream, () => stream.form.kind === "sharded" ? this.#lookOn(stream) : this.#lookFirst(stream));
  }

  /** Whether shards of a stream are looked for: it may be in vain, or the user may have unassigned all there is of it. */
  #isWatched(stream: DiscoveredStream): boolean {
    return !stream.stopped && this.#readOf(stream).length > 0;
  }

  #readOf(stream: DiscoveredStream): readonly SubscribedShard[] {
    return this.#ports.shards().filter(({ streamKey }) => streamKey === stream.streamKey);
  }

  /** At a stream that has shards. */
  async #lookOn(stream: DiscoveredStream): Promise<void> {
    const { streamKey, known } = stream;
    const read = this.#readOf(stream).map(({ shardId }) => shardId).filter((shardId) => known.has(shardId));
    const [there, missing] = await Promise.all([
      this.#probe(stream),
      missingShards(streamKey, read, this.#servers),
    ]);
    const gone = newlyGone(missing, stream.gone);
    const ignoredPlain = there.length + gone.length > 0 && await isPlainStream(streamKey, this.#servers) === true;
    const found = await this.#read(stream, there, (addition) => this.#ports.adopt(addition));
    stream.gone = new Set(missing);
    if (found.length + gone.length > 0) this.#ports.onShards({ streamKey, found, gone, ignoredPlain });
  }

  /** Has shards read that were found; gives those that are, since some may have been unassigned meanwhile. */
  async #read(
    stream: DiscoveredStream,
    numbers: readonly number[],
    read: (addition: Addition) => Promise<void>,
  ): Promise<readonly number[]> {
    const isWanted = ({ shardId }: SubscribedShard) => this.#isWanted(stream, shardId);
    const shards = numbers.map((number) => numberedShard(stream.streamKey, number)).filter(isWanted);
    const found: number[] = [];
    const done = () => {
      found.push(...shards.filter(isWanted).map(({ shardId }) => shardId));
      for (const number of found) stream.known.add(number);
    };
    if (shards.length > 0) await read({ shards, isWanted, done });
    return found;
  }

  /** At a stream that had none. */
  async #lookFirst(stream: DiscoveredStream): Promise<void> {
    const { streamKey } = stream;
    const numbers = await this.#probe(stream);
    const plain = numbers.length > 0 && await isPlainStream(streamKey, this.#servers) === true;
    const last = plain ? await this.#lastEntry(streamKey) : FIRST_ID;
    stream.form = judgePlain(stream.form, { numbers, last, plain });
    this.#leaving ||= stream.form.kind === "leaving";
    await this.#settle(stream);
  }

  async #probe(stream: DiscoveredStream, signal = this.#ports.signal): Promise<readonly number[]> {
    const { streamKey, known } = stream;
    const found = await probeShards(streamKey, [...known], shardServers(this.#ports.anchor, signal));
    const own = ownNumbers(streamKey, found.sort((one, other) => one - other), [...this.#streams.keys()]);
    return own.filter((number) => this.#isWanted(stream, number));
  }

  /** Whether a shard is to be read; not the shard 0 where its plain key was unassigned, since to the user they are one. */
  #isWanted({ streamKey, form, known }: DiscoveredStream, number: number): boolean {
    if (known.has(number)) return false;
    return number !== 0 || form.kind === "sharded" || this.#plainOf(streamKey) !== undefined;
  }

  /** The last entry there is, and not the last id given: what was deleted can never be read. */
  async #lastEntry(redisKey: string): Promise<MessageId> {
    const { anchor, signal } = this.#ports;
    try {
      return (await lastEntryOfStream(redisKey, this.#servers.run)).id;
    } catch (error) {
      if (!isForbidden(error)) throw error;
      return (await findEnd(redisKey, anchor, signal)).id;
    }
  }

  /** Whether a stream's shards can be read now, since its plain key is left, or was unassigned and others are read. */
  #isSettled(stream: DiscoveredStream): boolean {
    const { streamKey, form } = stream;
    if (form.kind !== "leaving" || !this.#isWatched(stream)) return false;
    if (!form.numbers.some((number) => this.#isWanted(stream, number))) return false;
    const plain = this.#plainOf(streamKey);
    return plain === undefined || this.#ports.isLeft(plain, form.until);
  }

  #plainOf(streamKey: string): SubscribedShard | undefined {
    return this.#ports.shards().find(({ redisKey }) => redisKey === streamKey);
  }

  async #settle(stream: DiscoveredStream): Promise<void> {
    const { streamKey, form } = stream;
    if (form.kind !== "leaving" || !this.#isSettled(stream)) return;
    const plain = this.#plainOf(streamKey);
    const found = await this.#read(stream, form.numbers, async ({ shards, ...addition }) => {
      const done = () => {
        stream.form = { kind: "sharded" };
        addition.done();
        if (plain === undefined) stream.known.add(0);
      };
      const { until } = form;
      if (plain !== undefined) return await this.#ports.replace({ ...addition, shards, done, plain, until });
      const isStill = () => this.#plainOf(streamKey) === undefined; // it may be assigned again meanwhile
      const isWanted = (shard: SubscribedShard) => isStill() && addition.isWanted(shard);
      await this.#ports.adopt({ shards, isWanted, done });
    });
    if (found.length === 0) return; // it had to be read once more
    this.#leaving = [...this.#streams.values()].some((other) => other.form.kind === "leaving");
    this.#ports.onShards({ streamKey, found, gone: [], ignoredPlain: form.ignoredPlain });
  }

  /** What passes by itself is left to the next look. What does not ends the looking at this stream, and is told. */
  async #guard(stream: DiscoveredStream, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (cause) {
      if (isPassing(cause) || this.#ports.signal.aborted) return;
      stream.stopped = true;
      this.#ports.onShards({ streamKey: stream.streamKey, found: [], gone: [], ignoredPlain: false, cause });
    }
  }
}

/** Whether the next look may meet it no more: a server that is away or full, or a shard that was gone, or something else, before it was read. */
function isPassing(cause: unknown): boolean {
  if (isAway(cause) || isStreamMissing(cause)) return true;
  return cause instanceof RedisError && (["OOM", "WRONGTYPE"].includes(cause.code) || !isFatal(cause.code));
}
