// The details of the events that consumers emit, and the listeners of a consumer in a group.

import type { MessageId } from "../model/id.ts";

/** The detail of events about entries of one shard. */
export interface EntriesDetail {
  readonly streamKey: string;
  readonly shardId: number;
  readonly group: string;
  readonly ids: readonly MessageId[];
}

/** The detail of a `claimed` event. */
export interface ClaimedDetail extends EntriesDetail {
  /** The consumer that had the messages, escaped if its name is not UTF-8; `""` if they belonged to no consumer. */
  readonly from: string;
}

/** The detail of a `group-recreated` event. */
export interface RecreatedDetail {
  readonly streamKey: string;
  readonly shardId: number;
  readonly group: string;
  /** The id after which the group reads. */
  readonly position: MessageId;
}

/** The detail of a `stream-reset` event. `position` is the id after which the shard is read. */
export type StreamResetDetail = Omit<RecreatedDetail, "group">;

/** The detail of a `dead-letter` event. */
export interface DeadLetterDetail {
  readonly streamKey: string;
  readonly shardId: number;
  readonly id: MessageId;
  /** The stream of the dead letter; `null` without one. */
  readonly target: string | null;
  /** How often the message had been delivered. */
  readonly deliveries: number;
  readonly reason: string;
}

/** The detail of a `shards` event. */
export interface ShardsDetail {
  readonly streamKey: string;
  /** The numbers of shards that were found. */
  readonly found: readonly number[];
  /** The numbers of shards that have disappeared. */
  readonly gone: readonly number[];
  /** Whether the plain key contains entries that are not read. */
  readonly ignoredPlain: boolean;
  /** Why no shards can be looked for, if that failed. */
  readonly cause?: unknown;
}

/** The detail of a `fence-unavailable` event. */
export interface FenceUnavailableDetail {
  readonly node: string;
  /** Why the lost connection could not be killed. */
  readonly cause: unknown;
}

/** The detail of a `tracking-unavailable` event. */
export interface TrackingUnavailableDetail {
  readonly node: string;
  /** Why the server does not push which keys have changed. */
  readonly cause: unknown;
}

/** The listeners of a consumer in a group. */
export interface GroupEvents {
  readonly claimed: (detail: ClaimedDetail) => void;
  readonly lost: (detail: EntriesDetail) => void;
  readonly released: (detail: EntriesDetail) => void;
  readonly gap: (detail: EntriesDetail) => void;
  readonly groupRecreated: (detail: RecreatedDetail) => void;
  readonly streamReset: (detail: StreamResetDetail) => void;
  readonly deadLetter: (detail: DeadLetterDetail) => void;
  readonly shards: (detail: ShardsDetail) => void;
  readonly fenceUnavailable: (detail: FenceUnavailableDetail) => void;
  readonly trackingUnavailable: (detail: TrackingUnavailableDetail) => void;
}
