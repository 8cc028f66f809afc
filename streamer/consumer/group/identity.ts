// The names with which a consumer joins a group, if the program gives none.

import type { GroupMember } from "../../commands/xreadgroup.ts";
import { invalidOption } from "../../model/options.ts";
import type { GroupSettings } from "../group_options.ts";
import { hostId, hostName, processId } from "./machine_id.ts";

/** The names under which a consumer joins its group. */
export interface ConsumerIdentity extends GroupMember {
  /** Whether the consumer's name was generated for this consumer alone. */
  readonly generated: boolean;
}

/** The given names, or names made of this machine's id; load-balanced consumers get a unique one. */
export async function identityOf(settings: GroupSettings): Promise<ConsumerIdentity> {
  const { group, consumer, generated } = await namesOf(settings);
  return { group: group.toWellFormed(), consumer: consumer.toWellFormed(), generated }; // as the server stores them
}

async function namesOf({ mode, group, consumerId }: GroupSettings): Promise<ConsumerIdentity> {
  const generated = mode === "load-balanced" && consumerId === undefined;
  if (group !== undefined && !generated) return { group, consumer: consumerId ?? group, generated };
  if (group !== undefined) return { group, consumer: await uniqueName(), generated };
  const host = await hostId();
  if (host === undefined) {
    throw invalidOption("group", group, "given if neither HOST_ID nor the machine's id is available");
  }
  const name = `${host}:${mode === "load-balanced" ? "s" : "r"}`;
  return { group: name, consumer: consumerId ?? (generated ? await uniqueName() : name), generated };
}

/** This machine's name, the number of this process, and a unique part. */
async function uniqueName(): Promise<string> {
  return `${await hostName() ?? "unknown"}:${await processId()}:${crypto.randomUUID().slice(0, 13)}`;
}
