// Watches for the end of a bounded read: whether each shard has delivered its last message before the bound.

import type { Manager } from "../../manager/manager.ts";
import { isAfter, type MessageId, nanosecondsOf, type TimestampFormat } from "../../model/id.ts";
import { shardRedisKey, type StreamShard } from "../../model/key.ts";
import type { Message } from "../../model/message.ts";
import type { System } from "../system.ts";

/** Options of {@linkcode UntilWatch}. */
export interface UntilOptions {
  /** The first id to read. */
  readonly start: MessageId | undefined;
  /** The last id to read. */
  readonly end: MessageId;
  readonly system: System;
  readonly format: TimestampFormat;
}

/** The longest timer, in milliseconds. */
const LONGEST = 2 ** 31 - 1;
/** Milliseconds between checks: the last entry may be deleted before it is delivered. */
const AGAIN = 2_000;

/** Watches shards until each is at its end. It owns a timer. */
export class UntilWatch implements Disposable {
  readonly #manager: Manager;
  readonly #options: UntilOptions;
  /** The shards that are not at their end, and the last id delivered from each, by number and stream. */
  readonly #open = new Map<string, { readonly shard: StreamShard; seen: MessageId | undefined; last?: MessageId }>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #listener = () => {};
  #failure: { readonly error: unknown } | undefined;

  private constructor(manager: Manager, shards: readonly StreamShard[], options: UntilOptions) {
    this.#manager = manager;
    this.#options = options;
    for (const shard of shards) this.#open.set(nameOf(shard), { shard, seen: undefined });
  }

  /** Finds the ends of the shards: at once if the bound has passed, otherwise when it does. */
  static async open(manager: Manager, shards: readonly StreamShard[], options: UntilOptions): Promise<UntilWatch> {
    const watch = new UntilWatch(manager, shards, options);
    await watch.#wait();
    return watch;
  }

  /** Whether every shard is at its end. Throws the failure of a check. */
  get done(): boolean {
    if (this.#failure !== undefined) throw this.#failure.error;
    return this.#open.size === 0;
  }

  /** Calls the listener once every shard is at its end, even if no message arrives. */
  onDone(listener: () => void): void {
    this.#listener = listener;
  }

  /** Whether a message is before the bound. Records the progress of its shard. */
  admits(message: Message): boolean {
    const { id } = message;
    const name = nameOf(message);
    const admitted = !isAfter(id, this.#options.end);
    const state = this.#open.get(name);
    if (state === undefined) return admitted;
    state.seen = id;
    if (!admitted || (state.last !== undefined && !isAfter(state.last, id))) this.#open.delete(name);
    return admitted;
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }

  /** Waits for the time of the bound: until then, entries before it can still be added. */
  async #wait(): Promise<void> {
    const { end, format, system } = this.#options;
    const left = Number(nanosecondsOf(end, format) / 1_000_000n) + 1 - system.now();
    if (left <= 0) await this.#check();
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

  /** Finds the last entry of each shard before the bound. */
  async #check(): Promise<void> {
    const { start, end, system } = this.#options;
    for (const [name, state] of [...this.#open]) {
      const last = await this.#lastBefore(state.shard, end, system.signal);
      const nothing = last === undefined || (start !== undefined && isAfter(start, last));
      if (nothing || (state.seen !== undefined && !isAfter(last, state.seen))) this.#open.delete(name);
      else state.last = last;
    }
  }

  async #lastBefore({ streamKey, shardId }: StreamShard, end: MessageId, signal: AbortSignal) {
    const options = { count: 1, reverse: true, signal };
    // A stream without shards has shard 0 in the key of its name.
    const plain = shardId === 0 && await this.#manager.length(shardRedisKey(streamKey, 0), { signal }) === 0;
    const [last] = await this.#manager.range(streamKey, "-", end, plain ? options : { ...options, shardId });
    return last?.id;
  }
}

function nameOf({ streamKey, shardId }: StreamShard): string {
  return `${shardId} ${streamKey}`;
}
