// Decides what a connection reads next while its shards lie in several slots: each slot by a read of its own that does not block, once
// the server has pushed that one of its shards has changed. Where the server does not push, all of them are polled.

import type { ReconnectOptions } from "../../../resp/connection/reconnect/backoff.ts";
import type { Timer } from "../../../resp/connection/clock.ts";
import type { OpenConnection } from "../../../resp/connection/node.ts";
import { passesInTime } from "../../../resp/connection/retry/retry.ts";
import { classify, classOf } from "../../../resp/connection/server_errors.ts";
import type { RespDecoder } from "../../../resp/decoder.ts";
import { RedisError, StreamerError } from "../../../resp/errors.ts";
import type { Router } from "../../cluster/router.ts";
import { changedKeys, clientTracking } from "../../commands/client_tracking.ts";
import { xlen } from "../../commands/xlen.ts";
import type { StreamShard } from "../../model/key.ts";
import { HeldShards, type HoldOptions } from "./held_shards.ts";
import type { Preceding } from "./read_unit.ts";
import { type Look, type LookOptions, ReadyShards } from "./ready_shards.ts";
import { HEARTBEAT_LOOKS, pollDelay } from "./watch_policy.ts";

/** What watching needs. */
export interface WatchedReadsPorts extends LookOptions {
  readonly router: Router;
  readonly reconnect: Required<ReconnectOptions>;
  readonly slotOf: (redisKey: string) => number;
  /** Milliseconds between two looks at shards that the server has not pushed. */
  readonly heartbeat: number;
  /** Whether the server does not push, so that all shards are polled. */
  readonly isPolled: boolean;
}

/** Reads the shards. */
export interface WatchedReadsOwner<S> {
  /** Shards may be ready. */
  ready(): void;
  /** Shards that were held back may be read again, or prepared for that. */
  released(): void;
  /** A heartbeat has passed. */
  heartbeat(): void;
  /** The server does not push changes to this connection. */
  untracked(cause: StreamerError): void;
  /** The command that arms a shard, which only reads. @default {XLEN} */
  arming?(shard: S): Preceding | undefined;
}

/** The shards of one unit. */
export class WatchedReads<S extends StreamShard & { readonly redisKey: string }> {
  readonly #ports: WatchedReadsPorts;
  readonly #owner: WatchedReadsOwner<S>;
  readonly #closing = new AbortController();
  readonly #ready: ReadyShards<S>;
  readonly #held: HeldShards<S>;
  readonly #slots = new Map<number, Set<S>>(); // of the shards that the unit has
  #isTracked = false; // whether the server pushes changes to the connection
  #timer: Timer | undefined; // of the next heartbeat, or round of polling
  #delay: number | undefined; // before the latest round of polling
  #hasBrought = false; // whether that round has brought entries
  #isNotifying = false;

  constructor(ports: WatchedReadsPorts, owner: WatchedReadsOwner<S>) {
    const { router: { clock, waits }, reconnect, isPolled } = ports;
    this.#ports = ports;
    this.#owner = owner;
    this.#ready = new ReadyShards(isPolled ? { ...ports, arms: false } : ports);
    const onReleased = (shards: readonly S[]) => this.#released(shards);
    this.#held = new HeldShards({ clock, reconnect, waits, signal: this.#closing.signal, onReleased });
  }

  /** Whether each slot is read by itself, without blocking. */
  get isActive(): boolean {
    return this.#isTracked || this.#ports.isPolled;
  }

  /** Whether the shards lie in several slots, so that nothing can be read before {@linkcode track}. */
  get needsTracking(): boolean {
    return this.#slots.size > 1 && !this.isActive;
  }

  /** The unit has this shard, too. It is read only with {@linkcode read}. */
  cover(shard: S): void {
    const slot = this.#ports.slotOf(shard.redisKey);
    const shards = this.#slots.get(slot);
    if (shards === undefined) this.#slots.set(slot, new Set([shard]));
    else shards.add(shard);
  }

  /** The unit has this shard no more. */
  uncover(shard: S): void {
    const slot = this.#ports.slotOf(shard.redisKey);
    const shards = this.#slots.get(slot);
    if (shards?.delete(shard) && shards.size === 0) this.#slots.delete(slot);
    this.#ready.remove(shard);
    this.#held.answered([shard]);
  }

  /** Reads exactly these shards of the unit. */
  read(shards: readonly S[]): void {
    this.#ready.keep(shards, this.#ports.slotOf);
    for (const shard of shards) if (this.#held.has(shard)) this.#ready.hold(shard);
  }

  /** Whether a shard is read. */
  has(shard: S): boolean {
    return this.#ready.has(shard);
  }

  /** The time since when a shard has been quiet, see {@linkcode ReadyShards.quietSpan}; `undefined` if the server does not push. */
  quietSpan(shard: S): object | undefined {
    return this.#isTracked ? this.#ready.quietSpan(shard) : undefined;
  }

  /** Has the server push changes to a connection. Gives false if it does not. Rejects with a refusal that passes, or if the connection ends. */
  async track({ pipeline, info }: OpenConnection): Promise<boolean> {
    try {
      if (info.protocol !== 3) throw untracked("RESP3");
      if (!info.clientInfo) throw untracked("`clientInfo: true`");
      await pipeline.call(clientTracking());
    } catch (error) {
      if (pipeline.ending !== undefined || !(error instanceof StreamerError)) throw error;
      if (error instanceof RedisError && passesInTime(classify(error.code, error.message))) throw error;
      this.#owner.untracked(error);
      return false;
    }
    this.#isTracked = true;
    this.#timer?.stop();
    this.#beat();
    return true;
  }

  /** The server has pushed a message. */
  push(decoder: RespDecoder): void {
    const keys = changedKeys(decoder);
    if (keys !== undefined && this.#ready.changed(keys)) this.#notify();
  }

  /** Reads all shards again, whether or not they have changed. */
  wake(): void {
    this.#ready.wake();
  }

  /** The next reads, of at most `width` shards together. */
  next(width: number): readonly Look<S>[] {
    return this.#ready.take(width);
  }

  /** The commands that are sent right before a read. */
  armingOf({ unarmed = [] }: Look<S>): readonly Preceding[] {
    const refused = (error: RedisError) => {
      const kind = classOf(error); // if the refusal is about the key, the read is refused, too
      if (kind === "forbidden" || kind === "unavailable") this.#owner.untracked(error);
    };
    return unarmed.map((shard) => {
      const own = this.#owner.arming?.(shard);
      if (own === undefined) return { command: xlen(shard.redisKey), refused };
      const notArmed = (error: RedisError) => {
        own.refused?.(error);
        this.#ready.changed([shard.redisKey]); // so that it is read and armed again
      };
      return { ...own, refused: notArmed };
    });
  }

  /** A look was answered. `full`: the shards with as many entries as were requested. */
  answered(look: Look<S>, { total, full }: { readonly total: number; readonly full: ReadonlySet<S> }): void {
    this.#held.answered(look.shards);
    this.#ready.answered(look, (shard) => full.has(shard), total === 0);
    this.#hasBrought ||= total > 0;
    this.#poll();
  }

  /** A look was refused, or its answer was dropped. */
  failed(look: Look<S>): void {
    this.#ready.failed(look);
    this.#poll();
  }

  /** Whether a shard must not be read now, after a refusal. */
  isHeld(shard: S): boolean {
    return this.#held.has(shard);
  }

  /** The server has refused these shards alone. They are read again after a delay. */
  hold(shards: readonly S[], error: StreamerError, options?: HoldOptions): void {
    for (const shard of shards) this.#ready.hold(shard);
    this.#held.hold(shards, error, options);
    this.#poll();
  }

  /** The connection was lost. */
  lost(): void {
    this.#isTracked = false;
    this.#timer?.stop();
    this.#timer = undefined;
    this.#ready.lost();
  }

  /** Stops all timers. Twice is harmless. */
  close(reason: StreamerError): void {
    this.#closing.abort(reason);
    this.#timer?.stop();
  }

  /** Also shows that the connection still works: no read blocks there, so silence alone says nothing. */
  #beat(): void {
    const { router, heartbeat } = this.#ports;
    if (this.#closing.signal.aborted) return;
    this.#timer = router.clock.after(heartbeat, () => {
      this.#beat();
      this.#ready.wake(HEARTBEAT_LOOKS);
      this.#owner.ready();
      this.#owner.heartbeat();
    });
  }

  /** Without pushes all shards are read again and again. */
  #poll(): void {
    const { router, isPolled } = this.#ports;
    if (!isPolled || this.#timer !== undefined || !this.#ready.isIdle || this.#closing.signal.aborted) return;
    this.#delay = pollDelay(this.#delay, this.#hasBrought);
    this.#hasBrought = false;
    this.#timer = router.clock.after(this.#delay, () => {
      this.#timer = undefined;
      this.#ready.wake();
      this.#poll(); // if all shards are held back
      this.#owner.ready();
    });
  }

  #released(shards: readonly S[]): void {
    for (const shard of shards) this.#ready.release(shard);
    this.#owner.released();
  }

  /** Pushes that arrive together are answered by one write. */
  #notify(): void {
    if (this.#isNotifying) return;
    this.#isNotifying = true;
    queueMicrotask(() => {
      this.#isNotifying = false;
      this.#owner.ready();
    });
  }
}

function untracked(what: string): StreamerError {
  return new StreamerError("UNSUPPORTED", `CLIENT TRACKING needs ${what}`);
}
