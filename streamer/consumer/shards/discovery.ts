// Looks for shards that are added or removed while a consumer reads, and has the consumer read the new ones.

import { RedisError } from "../../../resp/errors.ts";
import { classOf } from "../../../resp/connection/server_errors.ts";
import { sleep } from "../../../resp/connection/clock.ts";
import { UnreachableError } from "../../../resp/connection/lane.ts";
import {
  holdsPlainEntries,
  isForbidden,
  isPlainStream,
  type KeyServers,
  missingShards,
  probeShards,
} from "../../cluster/shards.ts";
import { lastEntryOfStream } from "../../commands/last_id.ts";
import { isStreamMissing } from "../../commands/xgroup.ts";
import { FIRST_ID, type MessageId } from "../../model/id.ts";
import { findEnd } from "../server/stream_end.ts";
import { isAway, isFatal, type ServerAccess } from "../server/server.ts";
import { BareStreams } from "./news/bare_streams.ts";
import { DiscoveredStream } from "./discovered_stream.ts";
import { type FoundStream, ownNumbers, shardServers } from "./find_shards.ts";
import type { ShardsDetail } from "../events.ts";
import { ShardNews } from "./news/shard_news.ts";
import { retryWhileUnavailable } from "../../../resp/connection/retry/retry.ts";
import { numberedShard, type ReadShard, type SubscribedShard } from "./shard.ts";
import type { ShardReading } from "./shard_reading.ts";

/** Milliseconds between two looks at streams that have neither entries nor shards. */
const BARE_INTERVAL = 1_000;
/** Milliseconds for which a look waits for one of several servers: shards on other servers do not wait for it. */
const LOOK_LIMIT = 5_000;

/** What a discovery needs. */
export interface DiscoveryPorts {
  readonly server: ServerAccess;
  /** Milliseconds between two looks; `undefined` for none. */
  readonly interval: number | undefined;
  readonly onShards: (detail: ShardsDetail) => void;
}

/** Discovers the shards of one consumer's streams. */
export class Discovery {
  readonly #ports: DiscoveryPorts;
  readonly #reading: ShardReading;
  readonly #streams: ReadonlyMap<string, DiscoveredStream>;
  readonly #servers: KeyServers;
  readonly #bare: BareStreams;
  readonly #news = new ShardNews();
  #turn: Promise<void> = Promise.resolve(); // one look after the other
  #leaving = false; // whether any of the streams may have a plain key to be left
  #settling = false;

  constructor(ports: DiscoveryPorts, found: readonly FoundStream[], reading: ShardReading) {
    this.#ports = ports;
    this.#reading = reading;
    const { server } = ports;
    this.#servers = shardServers(server, reading.signal, server.followsRedirects ? LOOK_LIMIT : Infinity);
    this.#bare = new BareStreams(reading.shards.filter(isBare).map(({ streamKey }) => streamKey));
    this.#streams = new Map(found.map((stream) => [stream.streamKey, new DiscoveredStream(stream, reading)]));
  }

  /** Looks at intervals, until reading ends. */
  async start(): Promise<void> {
    const { server: { clock }, interval } = this.#ports;
    const { signal } = this.#reading;
    if (interval === undefined) return;
    try {
      for (let due = clock.now() + interval;;) {
        const pause = this.#bareNow.length > 0 ? BARE_INTERVAL : interval;
        const left = Math.max(0, due - clock.now());
        const all = left <= pause; // not by the clock afterwards, since timers may be early
        await sleep(clock, Math.min(pause, left), signal);
        await (all ? this.look() : this.#lookAtBare());
        if (all) due = clock.now() + interval;
      }
    } catch {
      // Reading has ended.
    }
  }

  /** Looks at all streams, after any look in progress. Never rejects. */
  look(): Promise<void> {
    return this.#inTurn(async () => {
      await this.#lookAtSome([...this.#streams.values()]);
      await quietly(this.#bare.lookForMissing(this.#plain.map(({ streamKey }) => streamKey), this.#servers));
    });
  }

  /** Messages were returned, or positions have changed: a plain key may be drained now. Cheap if none is to be left. */
  progressed(): void {
    if (!this.#leaving || this.#settling) return;
    if (![...this.#streams.values()].some(({ canLeave }) => canLeave)) return;
    this.#settling = true;
    this.#inTurn(async () => {
      this.#settling = false;
      for (const stream of this.#streams.values()) await this.#guard(stream, () => this.#settle(stream));
    });
  }

  /** The shard that a number of a stream names now. */
  shardOf(streamKey: string, shardId: number): SubscribedShard | undefined {
    return this.#streams.get(streamKey)?.shardOf(shardId);
  }

  /** Shards that exist and are not read yet, and will be. */
  async find(signal: AbortSignal): Promise<readonly SubscribedShard[]> {
    if (this.#ports.interval === undefined) return [];
    const found: SubscribedShard[] = [];
    const servers = shardServers(this.#ports.server, signal);
    for (const stream of this.#streams.values()) {
      if (!stream.isWatched) continue;
      try {
        const numbers = await retryWhileUnavailable(this.#ports.server, signal, () => this.#probe(stream, servers));
        found.push(...numbers.map((number) => numberedShard(stream.streamKey, number)));
      } catch {
        signal.throwIfAborted(); // the next look meets anything else again
      }
    }
    return found;
  }

  /** The user has unassigned a shard: it is not to be found again. Called in the step in which it is unassigned. */
  unassigned({ streamKey, shardId, redisKey }: SubscribedShard): void {
    if (redisKey !== streamKey) this.#streams.get(streamKey)?.markKnown([shardId]);
  }

  /** The watched streams that are not read in shards. */
  get #plain(): readonly DiscoveredStream[] {
    return [...this.#streams.values()].filter(({ form, isWatched }) => form.kind !== "sharded" && isWatched);
  }

  /** Those of them without entries, even if shards were found that cannot be read yet. */
  get #bareNow(): readonly DiscoveredStream[] {
    return this.#plain.filter(({ streamKey }) => this.#bare.has(streamKey));
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    return this.#turn = this.#turn.then(work);
  }

  #lookAtBare(): Promise<void> {
    return this.#inTurn(async () => {
      await this.#lookAtSome(this.#bareNow);
      await quietly(this.#bare.askForEntries(this.#bareNow.map(({ streamKey }) => streamKey), this.#servers));
    });
  }

  /** Looks at some streams: first at a few keys of all together, then at those of which anything may have changed. */
  async #lookAtSome(streams: readonly DiscoveredStream[]): Promise<void> {
    const watched = streams.filter(({ isWatched }) => isWatched);
    const quiet = watched.filter(({ form }) => form.kind !== "leaving");
    const seen = quiet.map(({ streamKey, known, gone, readNumbers }) => ({
      streamKey,
      known,
      gone,
      read: readNumbers,
    }));
    const news = await quietly(this.#news.of(seen, this.#servers));
    for (const stream of watched) {
      if (stream.form.kind === "leaving" || news?.has(stream.streamKey)) await this.#lookAt(stream);
    }
  }

  async #lookAt(stream: DiscoveredStream): Promise<void> {
    if (!stream.isWatched || this.#reading.signal.aborted) return;
    const isSharded = stream.form.kind === "sharded";
    await this.#guard(stream, () => isSharded ? this.#lookAtSharded(stream) : this.#lookAtPlain(stream));
  }

  async #lookAtSharded(stream: DiscoveredStream): Promise<void> {
    const { streamKey } = stream;
    const [present, missing] = await Promise.all([
      this.#probe(stream),
      missingShards(streamKey, stream.readNumbers, this.#servers),
    ]);
    const gone = stream.newlyGone(missing);
    const ignoredPlain = present.length + gone.length > 0 && await this.#holdsPlainEntries(streamKey);
    const found = await stream.add(present);
    stream.markGone(missing);
    if (found.length + gone.length > 0) this.#ports.onShards({ streamKey, found, gone, ignoredPlain });
  }

  /** Whether the plain key has entries, as far as its server can be reached. */
  async #holdsPlainEntries(streamKey: string): Promise<boolean> {
    try {
      return await holdsPlainEntries(streamKey, this.#servers);
    } catch (error) {
      if (error instanceof UnreachableError) return false;
      throw error;
    }
  }

  /** Looks at a stream of which the plain key is read. */
  async #lookAtPlain(stream: DiscoveredStream): Promise<void> {
    const { streamKey } = stream;
    const numbers = await this.#probe(stream);
    const plain = numbers.length > 0 && await isPlainStream(streamKey, this.#servers) === true;
    const last = plain ? await this.#lastEntry(streamKey) : FIRST_ID;
    stream.lookedAtPlain({ numbers, last, plain });
    this.#leaving ||= stream.form.kind === "leaving";
    await this.#settle(stream);
  }

  async #probe(stream: DiscoveredStream, servers = this.#servers): Promise<readonly number[]> {
    const { streamKey, known } = stream;
    const found = await probeShards(streamKey, [...known], servers);
    const own = ownNumbers(streamKey, found.sort((one, other) => one - other), [...this.#streams.keys()]);
    return own.filter((number) => stream.isWanted(number));
  }

  /** The last entry that exists, rather than the last id: deleted entries can never be read. */
  async #lastEntry(redisKey: string): Promise<MessageId> {
    try {
      return (await lastEntryOfStream(redisKey, this.#servers.run)).id;
    } catch (error) {
      if (!isForbidden(error, this.#servers)) throw error;
      return (await findEnd(redisKey, this.#ports.server, this.#reading.signal)).id;
    }
  }

  /** Leaves a plain key for its shards, if it is drained. */
  async #settle(stream: DiscoveredStream): Promise<void> {
    const { streamKey, form } = stream;
    if (form.kind !== "leaving" || !stream.canLeave) return;
    const found = await stream.leave(form);
    if (found.length === 0) return; // the plain key had to be read once more
    this.#leaving = [...this.#streams.values()].some((other) => other.form.kind === "leaving");
    this.#ports.onShards({ streamKey, found, gone: [], ignoredPlain: form.ignoredPlain });
  }

  /** The next look retries after a passing error. Any other error ends the looks at this stream, and is emitted. */
  async #guard(stream: DiscoveredStream, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (cause) {
      if (isPassing(cause) || this.#reading.signal.aborted) return;
      stream.stop();
      this.#ports.onShards({ streamKey: stream.streamKey, found: [], gone: [], ignoredPlain: false, cause });
    }
  }
}

/** Whether a shard is a plain key of which nothing has been read, and that was empty as far as is known. */
function isBare({ streamKey, redisKey, position, reached }: ReadShard): boolean {
  return redisKey === streamKey && position === FIRST_ID && reached === FIRST_ID;
}

/** A query that fails as the server is away is repeated by the next look. */
async function quietly<T>(asked: Promise<T>): Promise<T | undefined> {
  return await asked.catch(() => undefined);
}

/** Whether the next look may succeed: the server was away or full, or a shard was gone, or no stream, before it was read. */
function isPassing(cause: unknown): boolean {
  if (isAway(cause) || isStreamMissing(cause)) return true;
  return cause instanceof RedisError && (classOf(cause) === "wrong-type" || !isFatal(cause.code, cause.message));
}
