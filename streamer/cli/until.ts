// When a reading that has an end is at it: each shard has given its last message up to there. It must not know what is done
// with messages.

import type { Manager } from "../manager/manager.ts";
import type { MessageId, TimestampFormat } from "../model/id.ts";
import { nanosecondsOf } from "../model/id.ts";
import type { StreamShard } from "../model/key.ts";
import { shardRedisKey } from "../model/key.ts";
import type { Message } from "../model/message.ts";
import type { System } from "./system.ts";
import { isBehind } from "./times.ts";

/** What is to be watched. */
export interface UntilOptions {
  /** The first id that counts. */
  readonly start: MessageId | undefined;
  /** The last one. */
  readonly end: MessageId;
  readonly system: System;
  readonly format: TimestampFormat;
}

/** Timers hold no more milliseconds. */
const LONGEST = 2 ** 31 - 1;
/** Milliseconds between looks: the last entry may be deleted before it comes. */
const AGAIN = 2_000;

/** Watches shards until each is at the end. It owns a timer. */
export class UntilWatch implements Disposable {
  readonly #manager: Manager;
  readonly #options: UntilOptions;
  /** The last id that was seen of each shard that is not at the end; by its number and stream. */
  readonly #open = new Map<string, { readonly shard: StreamShard; seen: MessageId | undefined; last?: MessageId }>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #listener = () => {};
  #failure: { readonly error: unknown } | undefined;

  private constructor(manager: Manager, shards: readonly StreamShard[], options: UntilOptions) {
    this.#manager = manager;
    this.#options = options;
    for (const shard of shards) this.#open.set(nameOf(shard), { shard, seen: undefined });
  }

  /** Looks where the shards end, if the time has passed already, or has that done when it does. */
  static async open(manager: Manager, shards: readonly StreamShard[], options: UntilOptions): Promise<UntilWatch> {
    const watch = new UntilWatch(manager, shards, options);
    await watch.#wait();
    return watch;
  }

  /** Whether every shard is at its end. Throws what has kept it from looking. */
  get done(): boolean {
    if (this.#failure !== undefined) throw this.#failure.error;
    return this.#open.size === 0;
  }

  /** Is told once when it is, also if nothing comes any more. */
  onDone(listener: () => void): void {
    this.#listener = listener;
  }

  /** Whether a message is in front of the end; notes how far its shard is. */
  admits(message: Message): boolean {
    const { id } = message;
    const name = nameOf(message);
    const admitted = !isBehind(id, this.#options.end);
    const state = this.#open.get(name);
    if (state === undefined) return admitted;
    state.seen = id;
    if (!admitted || (state.last !== undefined && !isBehind(state.last, id))) this.#open.delete(name);
    return admitted;
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }

  /** Waits for the time of the end, and for the last entry that can still be given its id. */
  async #wait(): Promise<void> {
    const { end, format, system } = this.#options;
    const left = Number(nanosecondsOf(end, format) / 1_000_000n) + 1 - system.now();
    if (left <= 0) await this.#look();
    if (this.#open.size === 0) return;
    this.#timer = setTimeout(() => {
      this.#wait().then(() => {
        if (this.#open.size === 0) this.#listener();
      }, (error) => {
        this.#failure = { error };
        this.#listener();
      });
    }, left <= 0 ? AGAIN : Math.min(left, LONGEST));
  }

  /** Which entry each shard gives last. */
  async #look(): Promise<void> {
    const { start, end, system } = this.#options;
    for (const [name, state] of [...this.#open]) {
      const last = await this.#lastBefore(state.shard, end, system.signal);
      const nothing = last === undefined || (start !== undefined && isBehind(start, last));
      if (nothing || (state.seen !== undefined && !isBehind(last, state.seen))) this.#open.delete(name);
      else state.last = last;
    }
  }

  async #lastBefore({ streamKey, shardId }: StreamShard, end: MessageId, signal: AbortSignal) {
    const options = { count: 1, reverse: true, signal };
    // A stream without shards is its shard 0, in the key of its name.
    const plain = shardId === 0 && await this.#manager.length(shardRedisKey(streamKey, 0), { signal }) === 0;
    const [last] = await this.#manager.range(streamKey, "-", end, plain ? options : { ...options, shardId });
    return last?.id;
  }
}

function nameOf({ streamKey, shardId }: StreamShard): string {
  return `${shardId} ${streamKey}`;
}
