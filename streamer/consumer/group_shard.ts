// One shard that is read through a group: its Redis key, and how far its group has come. It must not know who reads
// it, nor what of it is held.

import type { MessageId } from "../model/id.ts";
import type { SubscribedShard } from "./shard.ts";

/** A shard that is read through a group. */
export interface GroupShard extends SubscribedShard {
  /** The highest id that is known to have been delivered to the group: behind it, the group would be made anew. */
  position: MessageId;
  /** `"ready"`: its group is there. `"missing"`: its stream was not there when the consumer was made. `"lost"`: its group is gone. */
  state: "ready" | "missing" | "lost";
  /** Whether what is pending for this consumer from an earlier life has been delivered. */
  replayed: boolean;
}

/** A shard as its events name it. */
export function shardName(
  { streamKey, shardId }: GroupShard,
): { readonly streamKey: string; readonly shardId: number } {
  return { streamKey, shardId };
}
