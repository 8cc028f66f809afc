// Reading without a group: which shards, from where, and how that is changed. It must not know how pages are read, nor whether
// there was a group before.

import type { StreamerError } from "../../resp/errors.ts";
import { compareIds, FIRST_ID, type MessageId, previousId } from "../model/id.ts";
import type { Message } from "../model/message.ts";
import { abortable } from "../model/abortable.ts";
import { findEnd } from "./anchor.ts";
import type { WaitOptions } from "./consumer.ts";
import type { FindGoal, Goal } from "./goal.ts";
import { Reader, type ReaderOptions } from "./reader.ts";
import {
  type Addition,
  checkDistinct,
  isShard,
  lastShard,
  notFound,
  type Replacement,
  type ShardPosition,
  type StartAt,
  type SubscribedShard,
} from "./shard.ts";

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
  { anchor, signal }: Pick<ReaderOptions, "anchor"> & { readonly signal: AbortSignal },
): Promise<ShardPosition> {
  if (from === "beginning") return { ...shard, position: FIRST_ID, reached: FIRST_ID, gone: false };
  const { id } = await findEnd(shard.redisKey, anchor, signal);
  return { ...shard, position: id, reached: id, gone: false };
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
  goal: FindGoal,
  moved: readonly Goal[],
  { later, signal }: { readonly later: FindLater; readonly signal: AbortSignal },
): Promise<LaterStart> {
  if (moved.length === 0) return FROM_BEGINNING;
  const [{ position, isEnd }] = moved;
  if (!isEnd) return { position, ends: new Map() };
  const ends = (await later(signal)).map(async ({ redisKey }) =>
    [redisKey, (await goal(redisKey, signal)).position] as const
  );
  return { position: FIRST_ID, ends: new Map(await Promise.all(ends)) };
}

/** What a reading can be told. */
export interface FreeReadingOptions {
  /** Whether its messages are to be known again. @default {false} */
  readonly marked?: boolean;
  /** Where shards are read from that are found later. @default {their beginning} */
  readonly start?: LaterStart;
  readonly later: FindLater;
  /** Positions have changed, or have been left as they were. */
  readonly onMoved: () => void;
}

/** Fills an inbox with what is behind positions that are its own. */
export class FreeReading {
  readonly #ports: ReaderOptions;
  readonly #reader: Reader;
  #mark = new Mark(this); // of what was read since the last move
  readonly #options: FreeReadingOptions;
  #later: LaterStart;
  #moving: Promise<void> = Promise.resolve();
  #movingAll = 0; // moves under way

  constructor(ports: ReaderOptions, shards: readonly ShardPosition[], options: FreeReadingOptions) {
    const { marked = false, start = FROM_BEGINNING } = options;
    this.#ports = ports;
    this.#options = options;
    this.#later = start;
    this.#reader = new Reader(marked ? { ...ports, mark: () => this.#mark } : ports, shards);
  }

  /** Whether a message with this mark was read here. */
  hasRead(lot: object): boolean {
    return lot instanceof Mark && lot.reading === this;
  }

  /** Takes a message back that nobody has looked at: it is handed out again, unless the reading has been moved since. */
  putBack(message: Message, lot: object): void {
    const isRead = this.shards.some(({ streamKey, shardId }) => isShard(message, streamKey, shardId));
    if (lot === this.#mark && isRead) this.#ports.inbox.putBack(message, previousId(message.id) ?? FIRST_ID);
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

  /** Ends. Twice is harmless. */
  close(reason: StreamerError): void {
    this.#reader.close(reason);
  }

  /** All shards go on from a new position; what was read ahead is thrown away at once, and read again where that fails. */
  async moveTo(goal: FindGoal, options: ChangeOptions): Promise<void> {
    const { inbox } = this.#ports;
    options.signal?.throwIfAborted();
    if (inbox.over !== undefined) throw inbox.over;
    this.#movingAll++;
    inbox.hold();
    this.#reader.hold();
    const thrownAway = inbox.clear();
    let start = this.#later;
    try {
      await this.#move(options, async (shards, signal) => {
        const goals = await Promise.all(shards.map(({ redisKey }) => goal(redisKey, signal)));
        start = await startOfLater(goal, goals, { later: this.#options.later, signal });
        return shards.map((shard, i) => {
          const { position, isEnd } = goals[i];
          return isEnd ? { ...shard, position, reached: position, gone: false } : { ...shard, position };
        });
      }, () => {
        inbox.clear(); // of what was put back meanwhile
        this.#mark = new Mark(this);
        this.#later = start;
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
      inbox.release();
      this.#options.onMoved();
    }
  }

  /** Whether all up to this id was read of a plain key, and handed out: its messages and those of the shard 0 bear the same name. */
  isLeft(plain: SubscribedShard, until: MessageId): boolean {
    const shard = this.shards.find(({ redisKey }) => redisKey === plain.redisKey);
    return this.#movingAll === 0 && shard !== undefined && compareIds(shard.position, until) >= 0 &&
      !this.#ports.inbox.holds(plain);
  }

  /** Reads shards that were found later, too. */
  async addLater({ shards: added, isWanted, done }: Addition): Promise<void> {
    let wanted: readonly SubscribedShard[] = [];
    await this.#move({}, (shards) => {
      wanted = added.filter(isWanted);
      return Promise.resolve([...shards, ...this.#found(wanted, shards)]);
    }, () => {
      if (wanted.length > 0) done();
    });
  }

  /** Reads shards that were found in place of a plain key, if that is left and any of them still is wanted. */
  async replace({ plain, until, shards: added, isWanted, done }: Replacement): Promise<void> {
    let left = false;
    await this.#move({}, (shards) => {
      const wanted = added.filter(isWanted);
      left = wanted.length > 0 && this.isLeft(plain, until);
      if (!left) return Promise.resolve(shards);
      const rest = shards.filter(({ redisKey }) => redisKey !== plain.redisKey);
      return Promise.resolve([...rest, ...this.#found(wanted, rest)]);
    }, () => {
      if (left) done();
    });
  }

  /** Reads more shards; those that are read already go on as they do. */
  async add(added: readonly SubscribedShard[], { from, ...options }: AddOptions): Promise<void> {
    await this.#move(options, async (shards, signal) => {
      const fresh = added.filter(({ streamKey, shardId }) => !shards.some((one) => isShard(one, streamKey, shardId)));
      checkDistinct([...shards, ...fresh]);
      const { anchor } = this.#ports;
      return [...shards, ...await Promise.all(fresh.map((shard) => beginShard(shard, from, { anchor, signal })))];
    });
  }

  /** Reads one shard less; what was read ahead of it is thrown away. */
  async remove(streamKey: string, shardId: number, { onRemoved, ...options }: RemoveOptions): Promise<void> {
    let removed: SubscribedShard | undefined;
    await this.#move(options, (shards) => {
      removed = shards.find((shard) => isShard(shard, streamKey, shardId));
      if (removed === undefined) throw notFound(streamKey, shardId);
      if (shards.length === 1) throw lastShard(streamKey, shardId);
      return Promise.resolve(shards.filter((shard) => shard !== removed));
    }, () => {
      this.#ports.inbox.clear({ streamKey, shardId });
      if (removed !== undefined) onRemoved(removed);
    });
  }

  /** Those that are not read already, where they are read from. */
  #found(added: readonly SubscribedShard[], shards: readonly ShardPosition[]): readonly ShardPosition[] {
    const read = new Set(shards.map(({ redisKey }) => redisKey));
    return added.filter(({ redisKey }) => !read.has(redisKey)).map((shard): ShardPosition => {
      const end = this.#later.ends.get(shard.redisKey);
      return { ...shard, position: end ?? this.#later.position, reached: end ?? FIRST_ID, gone: false };
    });
  }

  /** Changes the shards or their positions, one change after the other. On the signal, or at the end, it is given up. */
  async #move(options: ChangeOptions, change: MoveShards, moved?: () => void): Promise<void> {
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
      options.onChanged?.();
    } finally {
      this.#reader.release();
      resolve();
    }
  }
}

/** What messages were read by, between two of its moves. */
class Mark {
  readonly reading: FreeReading;

  constructor(reading: FreeReading) {
    this.reading = reading;
  }
}

type MoveShards = (shards: readonly ShardPosition[], signal: AbortSignal) => Promise<readonly ShardPosition[]>;
