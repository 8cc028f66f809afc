// Shards whose reads the server refuses while it serves others: each is read again after a delay of its own.

import { reconnectDelay, type ReconnectOptions } from "../../../resp/connection/reconnect/backoff.ts";
import { type Clock, sleep } from "../../../resp/connection/clock.ts";
import type { Wait, Waits } from "../../../resp/connection/retry/waiting.ts";
import type { StreamerError } from "../../../resp/errors.ts";
import type { StreamShard } from "../../model/key.ts";

/** What holding shards back needs. */
export interface HeldShardsPorts<S> {
  readonly clock: Clock;
  readonly reconnect: Required<ReconnectOptions>;
  readonly waits: Waits;
  /** Aborted when the unit is closed. */
  readonly signal: AbortSignal;
  /** The delay of these shards has passed. */
  readonly onReleased: (shards: readonly S[]) => void;
}

/** How shards are held back. */
export interface HoldOptions {
  /** Whether they are noted as waiting. @default {true} */
  readonly isNoted?: boolean;
  /** Is awaited before the delay begins. */
  readonly before?: (() => Promise<void>) | undefined;
}

/** Refusals of one shard in a row. */
interface Refusals {
  readonly since: number;
  wait: Wait | undefined;
  isDelayed: boolean;
}

/** The shards of one unit that are held back. */
export class HeldShards<S extends StreamShard> {
  readonly #ports: HeldShardsPorts<S>;
  readonly #refused = new Map<S, Refusals>();

  constructor(ports: HeldShardsPorts<S>) {
    this.#ports = ports;
    ports.signal.addEventListener("abort", () => this.answered([...this.#refused.keys()]), { once: true });
  }

  /** Whether a shard must not be read now. */
  has(shard: S): boolean {
    return this.#refused.get(shard)?.isDelayed ?? false;
  }

  /** The server has refused these shards, which are those of one slot. */
  async hold(shards: readonly S[], error: StreamerError, { isNoted = true, before }: HoldOptions = {}): Promise<void> {
    const { clock, reconnect, signal, onReleased } = this.#ports;
    const now = clock.now();
    const held = shards.map((
      shard,
    ): readonly [S, Refusals] => [shard, this.#refuse(shard, isNoted ? error : undefined)]);
    const since = held.reduce((first, [, refusals]) => Math.min(first, refusals.since), now);
    try {
      await before?.();
      await sleep(clock, reconnectDelay(reconnect, now - since, clock.random()), signal);
    } catch {
      return; // the unit was closed
    }
    for (const [, refusals] of held) refusals.isDelayed = false;
    onReleased(shards);
  }

  /** The server has accepted a read of these shards, or they are read elsewhere. */
  answered(shards: readonly S[]): void {
    if (this.#refused.size === 0) return;
    for (const shard of shards) {
      this.#refused.get(shard)?.wait?.over();
      this.#refused.delete(shard);
    }
  }

  #refuse(shard: S, error: StreamerError | undefined): Refusals {
    const { clock, waits } = this.#ports;
    let refusals = this.#refused.get(shard);
    if (refusals === undefined) {
      this.#refused.set(shard, refusals = { since: clock.now(), wait: undefined, isDelayed: true });
    }
    refusals.isDelayed = true;
    if (error === undefined) refusals.wait?.over();
    if (error === undefined) refusals.wait = undefined;
    else if (refusals.wait === undefined) refusals.wait = waits.begin(error, shard.streamKey);
    else refusals.wait.refused(error);
    return refusals;
  }
}
