// Releases pending entries of this consumer on the server, so that other consumers can claim them at once.

import { SCRIPT_IDS } from "../../commands/scripts.ts";
import type { MessageId } from "../../model/id.ts";
import { type GroupShard, RELEASED_IDLE } from "../shards/group_shard.ts";
import type { UndeliveredEntry } from "../pending/pending_entries.ts";
import type { Ownership } from "./ownership.ts";

/** What a releaser needs. */
export interface ReleaserPorts {
  readonly ownership: Ownership;
  readonly signal: AbortSignal;
  /** Resolves when no lease of the shard is being renewed: a lease would be renewed after the release of its entry. */
  readonly renewed: (shard: GroupShard) => Promise<void>;
}

/** Releases entries. They stay pending for this consumer until another consumer claims them. */
export class Releaser {
  readonly #ports: ReleaserPorts;
  readonly #underway = new Map<Promise<void>, GroupShard>();
  #answered = 0;

  constructor(ports: ReleaserPorts) {
    this.#ports = ports;
  }

  /** How many commands the server has answered. */
  get answered(): number {
    return this.#answered;
  }

  /**
   * Releases entries in the background. If that fails, other consumers claim them once they have been idle for long enough, as
   * their lease is not renewed any more.
   */
  release(shard: GroupShard, ids: readonly MessageId[]): void {
    this.#track(shard, new Map([[undefined, ids]]));
  }

  /** The same for entries that the program has not got: the count of deliveries is set as well. */
  releaseUndelivered(shard: GroupShard, entries: readonly UndeliveredEntry[]): void {
    this.#track(shard, byDeliveries(entries));
  }

  /** Resolves when the server has answered all releases of these shards: only then may the entries be requested again. */
  async settle(shards: readonly GroupShard[]): Promise<void> {
    const wanted = new Set(shards);
    for (;;) {
      const releasing = [...this.#underway].filter(([, shard]) => wanted.has(shard)).map(([one]) => one);
      if (releasing.length === 0) return;
      await Promise.all(releasing);
    }
  }

  #track(shard: GroupShard, groups: ReadonlyMap<number | undefined, readonly MessageId[]>): void {
    if ([...groups.values()].every((ids) => ids.length === 0) || this.#ports.signal.aborted) return;
    const releasing = this.#release(shard, groups).catch(() => {}).finally(() => this.#underway.delete(releasing));
    this.#underway.set(releasing, shard);
  }

  async #release(
    shard: GroupShard,
    groups: ReadonlyMap<number | undefined, readonly MessageId[]>,
  ): Promise<void> {
    const { ownership, renewed } = this.#ports;
    await renewed(shard);
    for (const [deliveries, ids] of groups) {
      for (let at = 0; at < ids.length; at += SCRIPT_IDS) {
        const some = { redisKey: shard.redisKey, ids: ids.slice(at, at + SCRIPT_IDS), idle: RELEASED_IDLE };
        if (deliveries === undefined) await ownership.setIdle(some);
        else await ownership.release({ ...some, deliveries });
        this.#answered++;
      }
    }
  }
}

function byDeliveries(entries: readonly UndeliveredEntry[]): Map<number, MessageId[]> {
  const groups = new Map<number, MessageId[]>();
  for (const { id, deliveries } of entries) {
    const ids = groups.get(deliveries);
    if (ids === undefined) groups.set(deliveries, [id]);
    else ids.push(id);
  }
  return groups;
}
