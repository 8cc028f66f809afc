// One shard that is read through a group: its Redis key, and how far its group has come. It must not know who reads
// it, nor what of it is held.

import { FIRST_ID, type MessageId } from "../model/id.ts";
import type { SubscribedShard } from "./shard.ts";

/** A shard that is read through a group. */
export interface GroupShard extends SubscribedShard {
  /** How far the group is known to have come: behind it, the group would be made anew. */
  position: MessageId;
  /** The highest id that was delivered here: a lower one may be held already, if the group was moved back. */
  reached: MessageId;
  /** Whether the group was moved by us, so that `position` says nothing about how long the stream is. */
  moved: boolean;
  /** `"ready"`: its group is there. `"missing"`: its stream was not there when the consumer was made. `"lost"`: its group is gone. */
  state: "ready" | "missing" | "lost";
  /** Whether what is pending for this consumer from an earlier life has been delivered. */
  replayed: boolean;
  /** Whether it is read through its group now; what comes of it else is given back. */
  active: boolean;
  /**
   * What was given back when the group was moved, and is pending here until somebody claims it: it does not come again unless
   * the group delivers it anew.
   */
  readonly givenBack: Set<MessageId>;
}

/** Milliseconds that what is given back seems to be idle: longer than anybody lets others hold a message. */
export const LONG_IDLE = 86_400_000;

/** A shard that has not been read yet. */
export function groupShard(shard: SubscribedShard): GroupShard {
  const fresh = { position: FIRST_ID, reached: FIRST_ID, moved: false, state: "ready", replayed: false } as const;
  return { ...shard, ...fresh, active: false, givenBack: new Set() };
}

/** A shard as its events name it. */
export function shardName(
  { streamKey, shardId }: GroupShard,
): { readonly streamKey: string; readonly shardId: number } {
  return { streamKey, shardId };
}
