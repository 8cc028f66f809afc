// Under which names a consumer joins a group, where its user gives none. It must not know what the names are for.

import { StreamerError } from "../../resp/errors.ts";
import type { GroupMember } from "../commands/xreadgroup.ts";
import type { GroupSettings } from "./group_options.ts";
import { hostId, processId } from "./host.ts";

/** The names given, or those made of this machine's id; load-balanced consumers get one that nobody else has. */
export async function memberOf({ mode, group, consumerId }: GroupSettings): Promise<GroupMember> {
  const shared = mode === "load-balanced";
  if (group !== undefined && (consumerId !== undefined || !shared)) return { group, consumer: consumerId ?? group };
  const host = await hostId();
  const name = group ?? (host === undefined ? undefined : `${host}:${shared ? "s" : "r"}`);
  if (name === undefined) {
    throw new StreamerError(
      "INVALID_OPTION",
      "Cannot use option group as it must be given where neither HOST_ID nor the machine's id can be had: current value is undefined",
    );
  }
  const unique = `${host ?? "unknown"}:${await processId()}:${crypto.randomUUID().slice(0, 13)}`;
  return { group: name, consumer: consumerId ?? (shared ? unique : name) };
}
