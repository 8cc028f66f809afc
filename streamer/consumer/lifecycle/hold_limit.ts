// Releases entries that have been in flight for longer than `maxHold`.

import type { Clock, Timer } from "../../../resp/connection/clock.ts";
import type { MessageId } from "../../model/id.ts";
import type { GroupShard } from "../shards/group_shard.ts";
import type { PendingBatch, PendingEntries } from "../pending/pending_entries.ts";

/** What the limit needs, and its listeners. */
export interface HoldLimitPorts {
  readonly clock: Clock;
  /** Milliseconds. */
  readonly maxHold: number;
  readonly pendingEntries: PendingEntries;
  readonly shards: () => readonly GroupShard[];
  /** Whether another consumer may have claimed entries of a batch, so that the server has to be queried first. */
  readonly isStale: (batch: PendingBatch) => boolean;
  readonly onReleased: (shard: GroupShard, ids: readonly MessageId[]) => void;
  /** Fewer entries are unacknowledged. */
  readonly onCapacity: () => void;
}

/** Least share of `maxHold` between two checks, so that messages that are delivered one by one are checked together. */
const GRAIN = 1 / 20;

/** Checks how long entries have been in flight. Entries that were only read ahead, or wait for their turn, are not released. */
export class HoldLimit {
  readonly #ports: HoldLimitPorts;
  #timer: Timer | undefined;

  constructor(ports: HoldLimitPorts) {
    this.#ports = ports;
  }

  /** Starts checking. */
  start(): void {
    const { clock, maxHold } = this.#ports;
    if (maxHold !== Infinity) this.#timer = clock.after(maxHold, () => this.#check());
  }

  /** Stops checking. */
  close(): void {
    this.#timer?.stop();
    this.#timer = undefined;
  }

  #check(): void {
    const { clock, maxHold, shards, onReleased, onCapacity } = this.#ports;
    const now = clock.now();
    let next = maxHold; // messages that are delivered from now on are not due before
    let any = false;
    for (const shard of shards()) {
      const { released, left } = this.#release(shard, now);
      next = Math.min(next, left);
      if (released.length > 0) onReleased(shard, released);
      any ||= released.length > 0;
    }
    this.#timer = clock.after(Math.max(next, maxHold * GRAIN), () => this.#check());
    if (any) onCapacity();
  }

  /** Releases the entries of a shard that are due, and returns the time that is left for the next one. */
  #release(shard: GroupShard, now: number): { readonly released: readonly MessageId[]; readonly left: number } {
    const { pendingEntries, maxHold, isStale } = this.#ports;
    const released: MessageId[] = [];
    let left = Infinity;
    for (const batch of pendingEntries.batchesOf(shard)) {
      if (batch.groupLost || isStale(batch)) continue; // no other consumer can claim entries of a lost group
      for (const index of batch.inFlight()) {
        const rest = batch.deliveredAt(index) + maxHold - now;
        if (rest > 0) {
          left = Math.min(left, rest);
          continue;
        }
        pendingEntries.release(batch, index, now);
        released.push(batch.idAt(index));
      }
    }
    return { released, left };
  }
}
