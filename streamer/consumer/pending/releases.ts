// Entries that were released while they were in flight, until they come back, are settled, or belong to another consumer. Also
// the messages that handlers work on.

import type { MessageId } from "../../model/id.ts";
import type { GroupShard } from "../shards/group_shard.ts";
import { ENTRY_STATE } from "./entry_state.ts";
import type { EntryPlace, PendingBatch } from "./pending_batch.ts";

/** An entry that was released. */
export interface Release extends EntryPlace {
  /** When it was released, in milliseconds of the clock. */
  readonly at: number;
}

/** A message that a handler works on. */
export interface WorkedOn {
  readonly streamKey: string;
  readonly shardId: number;
  readonly id: MessageId;
}

/** Lists the messages that handlers work on. */
export type Worker = () => Iterable<WorkedOn>;

/** The released entries by id: at most as many as were in flight at one time, plus those not looked for since. */
export class Releases {
  readonly #released = new Map<GroupShard, Map<MessageId, Release>>();
  readonly #workers = new Set<Worker>();

  /** An entry was released. */
  add(batch: PendingBatch, index: number, at: number): void {
    let released = this.#released.get(batch.shard);
    if (released === undefined) this.#released.set(batch.shard, released = new Map());
    released.set(batch.idAt(index), { batch, index, at });
  }

  /** The entry with this id, if it is still released. */
  find(shard: GroupShard, id: MessageId): Release | undefined {
    const release = this.#released.get(shard)?.get(id);
    return release?.batch.states[release.index] === ENTRY_STATE.released ? release : undefined;
  }

  /** The released entries of a shard; some may be deleted during the iteration. */
  of(shard: GroupShard): Iterable<readonly [MessageId, Release]> {
    return this.#released.get(shard) ?? [];
  }

  /** Whether an entry of a shard is released. */
  has(shard: GroupShard): boolean {
    return this.#released.has(shard);
  }

  /** An entry is not released any more. */
  forget(shard: GroupShard, id: MessageId): void {
    const released = this.#released.get(shard);
    if (released?.delete(id) && released.size === 0) this.#released.delete(shard);
  }

  /** Adds a worker; the returned function removes it. */
  attend(worker: Worker): () => void {
    this.#workers.add(worker);
    return () => void this.#workers.delete(worker);
  }

  /** Whether handlers work on any message now. */
  get hasWork(): boolean {
    for (const worker of this.#workers) for (const _ of worker()) return true;
    return false;
  }

  /** The entries of a shard that handlers work on now. */
  workedOn({ streamKey, shardId }: GroupShard): ReadonlySet<MessageId> {
    const ids = new Set<MessageId>();
    for (const worker of this.#workers) {
      for (const one of worker()) if (one.shardId === shardId && one.streamKey === streamKey) ids.add(one.id);
    }
    return ids;
  }
}
