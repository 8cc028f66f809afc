// The shards of a consumer in a group: which are read through it now, and which were, of which something may still be in the
// user's hands. It must not know how they are read.

import type { StreamShard } from "../model/key.ts";
import { type GroupShard, groupShard } from "./group_shard.ts";
import { isShard, type SubscribedShard } from "./shard.ts";

/** Keeps the shards, each of them one object for as long as the consumer lives: what is held of it hangs on that. */
export class Roster {
  readonly #known: GroupShard[] = []; // no more than there ever were numbers of shards
  #read: readonly GroupShard[] = [];

  /** Those that are read now. */
  get read(): readonly GroupShard[] {
    return this.#read;
  }

  /** Those and the ones that were. */
  get known(): readonly GroupShard[] {
    return this.#known;
  }

  /** The one of that name that is read, or was: a plain key and the shard 0 that came in its place bear the same. */
  find({ streamKey, shardId }: StreamShard): GroupShard | undefined {
    return this.#read.find((shard) => isShard(shard, streamKey, shardId)) ??
      this.#known.findLast((shard) => isShard(shard, streamKey, shardId));
  }

  /** The one that is known by its name and Redis key, or one that is fresh; read from {@linkcode admit} on. */
  of(shard: SubscribedShard): GroupShard {
    const { streamKey, shardId, redisKey } = shard;
    const known = this.#known.find((one) => one.redisKey === redisKey && isShard(one, streamKey, shardId));
    return known ?? groupShard(shard);
  }

  /** They are read from now on. */
  admit(shards: readonly GroupShard[]): void {
    for (const shard of shards) {
      shard.active = true;
      if (!this.#known.includes(shard)) this.#known.push(shard);
    }
    this.#read = [...this.#read, ...shards];
  }

  /** They are read no more. */
  dismiss(shards: readonly GroupShard[]): void {
    for (const shard of shards) shard.active = false;
    this.#read = this.#read.filter(({ active }) => active);
  }
}
