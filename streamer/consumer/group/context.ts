// The context of a consumer in a group: its settings and names, how to run commands, and the listeners of its events.

import type { Router } from "../../cluster/router.ts";
import type { FindShards } from "../../cluster/shard_walks.ts";
import type { TimestampFormat } from "../../model/id.ts";
import type { ServerAccess } from "../server/server.ts";
import type { GroupEvents } from "../events.ts";
import type { GroupSettings } from "../group_options.ts";
import type { ConsumerIdentity } from "./identity.ts";

/** What a consumer in a group works with. */
export interface GroupContext {
  readonly router: Router;
  /** The URL of the streamer, without secrets. */
  readonly uri: string;
  readonly settings: GroupSettings;
  readonly member: ConsumerIdentity;
  readonly server: ServerAccess;
  /** Looks for the shards of several streams at once. */
  readonly findShards: FindShards;
  readonly timestampFormat: TimestampFormat;
  /** The payload's field. */
  readonly field: Uint8Array;
  /** Default limit of `end()`, in milliseconds. */
  readonly timeout: number;
  readonly events: GroupEvents;
}
