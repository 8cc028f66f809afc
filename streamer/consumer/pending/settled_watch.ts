// Notes which entries are settled while they are being delivered here once more: when they arrive, an older delivery may
// already be acknowledged.

import type { MessageId } from "../../model/id.ts";
import type { GroupShard } from "../shards/group_shard.ts";

/** Entries that are being delivered once more. */
interface Watch {
  readonly shard: GroupShard;
  readonly ids: ReadonlySet<MessageId>;
  readonly settled: Set<MessageId>;
}

/** The redeliveries in progress. */
export class SettledWatches {
  readonly #watches = new Set<Watch>();

  /** Whether there is no redelivery: then no entry has to be noted. */
  get isEmpty(): boolean {
    return this.#watches.size === 0;
  }

  /** Runs a redelivery of these entries; it gets a set of those that are settled meanwhile. */
  async during<T>(
    shard: GroupShard,
    ids: readonly MessageId[],
    work: (settled: ReadonlySet<MessageId>) => Promise<T>,
  ): Promise<T> {
    const watch = { shard, ids: new Set(ids), settled: new Set<MessageId>() };
    this.#watches.add(watch);
    try {
      return await work(watch.settled);
    } finally {
      this.#watches.delete(watch);
    }
  }

  /** Notes that an entry is settled. */
  note(shard: GroupShard, id: MessageId): void {
    for (const watch of this.#watches) if (watch.shard === shard && watch.ids.has(id)) watch.settled.add(id);
  }
}
