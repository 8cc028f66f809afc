// What the discovery of shards needs of a consumer: which shards it reads, and how that is changed.

import type { MessageId } from "../../model/id.ts";
import type { ReadShard, SubscribedShard } from "./shard.ts";

/** Shards that were found, and are to be read from now on. */
export interface Addition {
  /** The shards that are still to be read: some may have been unassigned while this change waited for its turn. */
  wanted(): readonly SubscribedShard[];
  /** The wanted shards are read from now on. Called in the same step, and only if any are wanted. */
  done(): void;
}

/** A plain key that is read until it is drained. */
export interface Drain {
  readonly plain: SubscribedShard;
  /** The id up to which the plain key must have been read. */
  readonly until: MessageId;
}

/** The shards that a consumer reads, with or without a group. */
export interface ShardReading {
  readonly shards: readonly ReadShard[];
  /** Aborted when reading has ended. */
  readonly signal: AbortSignal;
  /** Reads more shards, from their beginning. */
  addLater(addition: Addition): Promise<void>;
  /** Whether the plain key was read up to this id, and this consumer has no messages of it left. Cheap: it asks no server. */
  isDrained(drain: Drain): boolean;
  /** Reads shards in place of a plain key, in one step. Does nothing if the plain key is not drained when the change has its turn. */
  leaveDrained(drain: Drain, addition: Addition): Promise<void>;
}
