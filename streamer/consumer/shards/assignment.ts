// The shards of a consumer in a group: those that are read now, and those that were released, of which messages may still be in
// flight.

import type { StreamShard } from "../../model/key.ts";
import { GroupShard } from "./group_shard.ts";
import { isShard, type SubscribedShard } from "./shard.ts";

/** Keeps the shards. Each is one object for as long as the consumer exists, since pending entries refer to it. */
export class ShardAssignment {
  readonly #known: GroupShard[] = []; // bounded by the number of shards that ever existed
  #read: readonly GroupShard[] = [];

  /** The shards that are read now. */
  get read(): readonly GroupShard[] {
    return this.#read;
  }

  /** These shards, and the released ones. */
  get known(): readonly GroupShard[] {
    return this.#known;
  }

  /** The shard of that name, preferably a read one: a plain key and the shard 0 that came in its place have the same name. */
  find({ streamKey, shardId }: StreamShard): GroupShard | undefined {
    return this.#read.find((shard) => isShard(shard, streamKey, shardId)) ??
      this.#known.findLast((shard) => isShard(shard, streamKey, shardId));
  }

  /** The known shard of that name and Redis key, or a new one. It is read from {@linkcode admit} on. */
  of(shard: SubscribedShard): GroupShard {
    const { streamKey, shardId, redisKey } = shard;
    const known = this.#known.find((one) => one.redisKey === redisKey && isShard(one, streamKey, shardId));
    return known ?? new GroupShard(shard);
  }

  /** Reads these shards from now on. */
  admit(shards: readonly GroupShard[]): void {
    for (const shard of shards) {
      shard.assign();
      if (!this.#known.includes(shard)) this.#known.push(shard);
    }
    this.#read = [...this.#read, ...shards];
  }

  /** Releases these shards. */
  dismiss(shards: readonly GroupShard[]): void {
    for (const shard of shards) shard.release();
    this.#read = this.#read.filter(({ isRead }) => isRead);
  }
}
