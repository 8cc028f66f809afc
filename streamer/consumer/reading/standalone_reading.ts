// Reading without a group: which shards, from which positions, and how both are changed.

import type { StreamerError } from "../../../resp/errors.ts";
import { compareIds, FIRST_ID, type MessageId, previousId } from "../../model/id.ts";
import type { Message } from "../../model/message.ts";
import { abortable } from "../../model/abortable.ts";
import { findEnd } from "../server/stream_end.ts";
import type { WaitOptions } from "../consumer.ts";
import type { FindTarget, SeekTarget } from "./seek_target.ts";
import type { ReaderOptions } from "./node_reader.ts";
import { StreamReader } from "./stream_reader.ts";
import { checkDistinct, isShard, lastShard, notFound, type StartAt, type SubscribedShard } from "../shards/shard.ts";
import { ShardPosition } from "../shards/shard_position.ts";
import type { Addition, Drain, ShardReading } from "../shards/shard_reading.ts";

/** What a change is made with. */
export interface ChangeOptions extends WaitOptions {
  /** Is called at the moment the change takes effect: from then on the signal changes nothing. */
  readonly onChanged?: () => void;
}

/** What a shard is added with. */
export interface AddOptions extends ChangeOptions {
  /** Where it begins. */
  readonly from: StartAt;
}

/** What a shard is removed with. */
export interface RemoveOptions extends ChangeOptions {
  /** Is called at the same moment, with the shard. */
  readonly onRemoved: (shard: SubscribedShard) => void;
}

/** Where a shard begins that has no position yet. */
export async function beginShard(
  shard: SubscribedShard,
  from: StartAt,
  { server, signal }: Pick<ReaderOptions, "server"> & { readonly signal: AbortSignal },
): Promise<ShardPosition> {
  if (from === "beginning") return new ShardPosition(shard, { position: FIRST_ID, reached: FIRST_ID });
  const { id } = await findEnd(shard.redisKey, server, signal);
  return new ShardPosition(shard, { position: id, reached: id });
}

/** Gives shards that are there and not read yet, and will be. */
export type FindLater = (signal: AbortSignal) => Promise<readonly SubscribedShard[]> | readonly SubscribedShard[];

/** Where shards are read from that are found later. */
export interface LaterStart {
  readonly position: MessageId;
  /** Where those ended that were there already when all went to the end: that is from before, too. */
  readonly ends: ReadonlyMap<string, MessageId>;
}

/** From their beginning, since all of it was written after the consumer was made. */
const FROM_BEGINNING: LaterStart = { position: FIRST_ID, ends: new Map() };

/** Where they are read from after a move of those that are read. */
export async function startOfLater(
  target: FindTarget,
  moved: readonly SeekTarget[],
  { later, signal }: { readonly later: FindLater; readonly signal: AbortSignal },
): Promise<LaterStart> {
  if (moved.length === 0) return FROM_BEGINNING;
  const [{ position, isEnd }] = moved;
  if (!isEnd) return { position, ends: new Map() };
  const ends = (await later(signal)).map(async ({ redisKey }) =>
    [redisKey, (await target(redisKey, signal)).position] as const
  );
  return { position: FIRST_ID, ends: new Map(await Promise.all(ends)) };
}

/** Options of {@linkcode StandaloneReading}. */
export interface StandaloneOptions {
  /** Whether its messages are marked, so that they can be put back. @default {false} */
  readonly marked?: boolean;
  /** Where shards are read from that are found later. @default {their beginning} */
  readonly start?: LaterStart;
  readonly later: FindLater;
  /** Positions have changed, or have been left as they were. */
  readonly onMoved: () => void;
}

/** Fills a queue with the entries after positions of its own. */
export class StandaloneReading implements ShardReading {
  readonly #ports: ReaderOptions;
  readonly #reader: StreamReader;
  #mark = new Mark(this); // of messages that were read since the last move
  readonly #options: StandaloneOptions;
  #later: LaterStart;
  #moving: Promise<void> = Promise.resolve();
  #movingAll = 0; // moves in progress

  constructor(ports: ReaderOptions, shards: readonly ShardPosition[], options: StandaloneOptions) {
    const { marked = false, start = FROM_BEGINNING } = options;
    this.#ports = ports;
    this.#options = options;
    this.#later = start;
    this.#reader = new StreamReader(marked ? { ...ports, mark: () => this.#mark } : ports, shards);
  }

  /** Whether a message with this mark was read here. */
  hasRead(batch: object): boolean {
    return batch instanceof Mark && batch.reading === this;
  }

  /** Takes back a message that the program has not seen. It is delivered again, unless the reading has been moved since. */
  putBack(message: Message, batch: object): void {
    const isRead = this.shards.some(({ streamKey, shardId }) => isShard(message, streamKey, shardId));
    if (batch === this.#mark && isRead) this.#ports.queue.putBack(message, previousId(message.id) ?? FIRST_ID);
  }

  /** The shards that are read. */
  get shards(): readonly ShardPosition[] {
    return this.#reader.shards;
  }

  /** Aborted when it has ended. */
  get signal(): AbortSignal {
    return this.#reader.signal;
  }

  /** Begins to read. */
  start(): void {
    this.#reader.start();
  }

  /** There may be room for more. */
  fill(): void {
    this.#reader.fill();
  }

  /** Ends reading. Twice is harmless. */
  close(reason: StreamerError): void {
    this.#reader.close(reason);
  }

  /** All shards continue from a new position. Prefetched messages are dropped at once, and read again if the move fails. */
  async moveTo(target: FindTarget, options: ChangeOptions): Promise<void> {
    const { queue } = this.#ports;
    options.signal?.throwIfAborted();
    if (queue.over !== undefined) throw queue.over;
    this.#movingAll++;
    queue.pause();
    this.#reader.pause();
    const thrownAway = queue.clear();
    let start = this.#later;
    try {
      await this.#move(options, async (shards, signal) => {
        const goals = await Promise.all(shards.map(({ redisKey }) => target(redisKey, signal)));
        start = await startOfLater(target, goals, { later: this.#options.later, signal });
        return shards.map((shard, i) => {
          const { position, isEnd } = goals[i];
          return isEnd ? shard.movedToEnd(position) : shard.movedTo(position);
        });
      }, () => {
        queue.clear(); // of messages that were put back meanwhile
        this.#mark = new Mark(this);
        this.#later = start;
      });
    } catch (error) {
      for (const [source, position] of thrownAway) { // nothing has changed: it has to be read once more
        const shard = this.#reader.shards.find(({ streamKey, shardId }) => isShard(source, streamKey, shardId));
        if (shard !== undefined) shard.moveTo(position);
      }
      throw error;
    } finally {
      this.#movingAll--;
      this.#reader.resume();
      queue.resume();
      this.#options.onMoved();
    }
  }

  /** Whether a plain key was read up to this id, and its messages were returned: they have the same name as those of shard 0. */
  isDrained({ plain, until }: Drain): boolean {
    const shard = this.shards.find(({ redisKey }) => redisKey === plain.redisKey);
    return this.#movingAll === 0 && shard !== undefined && compareIds(shard.position, until) >= 0 &&
      !this.#ports.queue.hasAny(plain);
  }

  /** Reads shards that were found later, too. */
  async addLater(addition: Addition): Promise<void> {
    let wanted: readonly SubscribedShard[] = [];
    await this.#move({}, (shards) => {
      wanted = addition.wanted();
      return Promise.resolve([...shards, ...this.#found(wanted, shards)]);
    }, () => {
      if (wanted.length > 0) addition.done();
    });
  }

  /** Reads shards in place of a plain key, if it is drained and any of them is still wanted. */
  async leaveDrained(drain: Drain, addition: Addition): Promise<void> {
    let left = false;
    await this.#move({}, (shards) => {
      const wanted = addition.wanted();
      left = wanted.length > 0 && this.isDrained(drain);
      if (!left) return Promise.resolve(shards);
      const rest = shards.filter(({ redisKey }) => redisKey !== drain.plain.redisKey);
      return Promise.resolve([...rest, ...this.#found(wanted, rest)]);
    }, () => {
      if (left) addition.done();
    });
  }

  /** Reads more shards. Those that are read already are not affected. */
  async add(added: readonly SubscribedShard[], { from, ...options }: AddOptions): Promise<void> {
    await this.#move(options, async (shards, signal) => {
      const fresh = added.filter(({ streamKey, shardId }) => !shards.some((one) => isShard(one, streamKey, shardId)));
      checkDistinct([...shards, ...fresh]);
      const { server } = this.#ports;
      return [...shards, ...await Promise.all(fresh.map((shard) => beginShard(shard, from, { server, signal })))];
    });
  }

  /** Reads one shard less. Its prefetched messages are dropped. */
  async remove(streamKey: string, shardId: number, { onRemoved, ...options }: RemoveOptions): Promise<void> {
    let removed: SubscribedShard | undefined;
    await this.#move(options, (shards) => {
      removed = shards.find((shard) => isShard(shard, streamKey, shardId));
      if (removed === undefined) throw notFound(streamKey, shardId);
      if (shards.length === 1) throw lastShard(streamKey, shardId);
      return Promise.resolve(shards.filter((shard) => shard !== removed));
    }, () => {
      this.#ports.queue.clear({ streamKey, shardId });
      if (removed !== undefined) onRemoved(removed);
    });
  }

  /** Those that are not read already, where they are read from. */
  #found(added: readonly SubscribedShard[], shards: readonly ShardPosition[]): readonly ShardPosition[] {
    const read = new Set(shards.map(({ redisKey }) => redisKey));
    return added.filter(({ redisKey }) => !read.has(redisKey)).map((shard) => {
      const end = this.#later.ends.get(shard.redisKey);
      return new ShardPosition(shard, { position: end ?? this.#later.position, reached: end ?? FIRST_ID });
    });
  }

  /** Changes the shards or their positions, one change after the other. On the signal, or at the end, it is given up. */
  async #move(options: ChangeOptions, change: MoveShards, moved?: () => void): Promise<void> {
    const signal = AbortSignal.any([this.#reader.signal, ...(options.signal === undefined ? [] : [options.signal])]);
    signal.throwIfAborted();
    const before = this.#moving;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#moving = before.then(() => promise);
    this.#reader.pause();
    try {
      await abortable(before, signal);
      const shards = await abortable(change(this.#reader.shards, signal), signal);
      this.#reader.reposition(shards);
      moved?.();
      options.onChanged?.();
    } finally {
      this.#reader.resume();
      resolve();
    }
  }
}

/** What messages were read by, between two of its moves. */
class Mark {
  readonly reading: StandaloneReading;

  constructor(reading: StandaloneReading) {
    this.reading = reading;
  }
}

type MoveShards = (shards: readonly ShardPosition[], signal: AbortSignal) => Promise<readonly ShardPosition[]>;
