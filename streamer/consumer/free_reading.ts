// Reading without a group: which shards, from where, and how that is changed. It must not know how pages are read, nor whether
// there was a group before.

import type { StreamerError } from "../../resp/errors.ts";
import { FIRST_ID, previousId } from "../model/id.ts";
import type { Message } from "../model/message.ts";
import { abortable } from "./abortable.ts";
import { findEnd } from "./anchor.ts";
import type { WaitOptions } from "./consumer.ts";
import type { FindGoal } from "./goal.ts";
import { Reader, type ReaderOptions } from "./reader.ts";
import {
  checkDistinct,
  isShard,
  lastShard,
  notFound,
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

/** Where a shard begins that has no position yet. */
export async function beginShard(
  shard: SubscribedShard,
  from: StartAt,
  { anchor, signal }: Pick<ReaderOptions, "anchor"> & { readonly signal: AbortSignal },
): Promise<ShardPosition> {
  const fresh = { ...shard, gone: false };
  if (from === "beginning") return { ...fresh, position: FIRST_ID, reached: FIRST_ID };
  const { id } = await findEnd(shard.redisKey, anchor, signal);
  return { ...fresh, position: id, reached: id };
}

/** Fills an inbox with what is behind positions that are its own. */
export class FreeReading {
  readonly #ports: ReaderOptions;
  readonly #reader: Reader;
  #mark = new Mark(this); // of what was read since the last move
  #moving: Promise<void> = Promise.resolve();

  /** `marked`: whether its messages are to be known again. */
  constructor(ports: ReaderOptions, shards: readonly ShardPosition[], { marked = false } = {}) {
    this.#ports = ports;
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
    inbox.hold();
    this.#reader.hold();
    const thrownAway = inbox.clear();
    try {
      await this.#move(options, (shards, signal) =>
        Promise.all(shards.map(async (shard) => {
          const { position, isEnd } = await goal(shard.redisKey, signal);
          return isEnd ? { ...shard, position, reached: position, gone: false } : { ...shard, position };
        })), () => {
        inbox.clear(); // of what was put back meanwhile
        this.#mark = new Mark(this);
      });
    } catch (error) {
      for (const [source, position] of thrownAway) { // nothing has changed: it has to be read once more
        const shard = this.#reader.shards.find(({ streamKey, shardId }) => isShard(source, streamKey, shardId));
        if (shard !== undefined) shard.position = position;
      }
      throw error;
    } finally {
      this.#reader.release();
      inbox.release();
    }
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
  async remove(streamKey: string, shardId: number, options: ChangeOptions): Promise<void> {
    await this.#move(options, (shards) => {
      const rest = shards.filter((shard) => !isShard(shard, streamKey, shardId));
      if (rest.length === shards.length) throw notFound(streamKey, shardId);
      if (rest.length === 0) throw lastShard(streamKey, shardId);
      return Promise.resolve(rest);
    }, () => void this.#ports.inbox.clear({ streamKey, shardId }));
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
