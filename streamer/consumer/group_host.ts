// What a consumer in a group asks of the house it lives in, and the events it tells there. It must not know the consumer.

import type { RedisNode } from "../../resp/connection/node.ts";
import type { GroupMember } from "../commands/xreadgroup.ts";
import type { MessageId, TimestampFormat } from "../model/id.ts";
import type { AnchorPorts } from "./anchor.ts";
import type { ClaimedDetail } from "./claimer.ts";
import type { ShardsDetail } from "./discover.ts";
import type { DeadLetterDetail } from "./graveyard.ts";
import type { GroupSettings } from "./group_options.ts";
import type { RecreatedDetail } from "./groups.ts";

/** Entries of one shard that something has happened to. */
export interface EntriesDetail {
  readonly streamKey: string;
  readonly shardId: number;
  readonly group: string;
  readonly ids: readonly MessageId[];
}

/** The events of a consumer in a group. */
export interface GroupEvents {
  readonly claimed: (detail: ClaimedDetail) => void;
  readonly lost: (detail: EntriesDetail) => void;
  readonly released: (detail: EntriesDetail) => void;
  readonly gap: (detail: EntriesDetail) => void;
  readonly groupRecreated: (detail: RecreatedDetail) => void;
  readonly streamReset: (detail: Omit<RecreatedDetail, "group">) => void;
  readonly deadLetter: (detail: DeadLetterDetail) => void;
  readonly shards: (detail: ShardsDetail) => void;
  readonly fenceUnavailable: (detail: { readonly node: string; readonly cause: unknown }) => void;
}

/** What a consumer in a group asks of the house it lives in. */
export interface GroupHost {
  readonly node: RedisNode;
  readonly settings: GroupSettings;
  readonly member: GroupMember;
  readonly anchor: AnchorPorts;
  readonly timestampFormat: TimestampFormat;
  /** The payload's field. */
  readonly field: Uint8Array;
  /** Longest that an end may take, in milliseconds, if nothing else is said. */
  readonly timeout: number;
  readonly events: GroupEvents;
}
