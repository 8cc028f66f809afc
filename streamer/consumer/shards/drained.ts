// Whether a group is done with a plain key, so that its shards can be read in place of it.

import { RedisError } from "../../../resp/errors.ts";
import { retryWhileUnavailable } from "../../../resp/connection/retry/retry.ts";
import { isStreamMissing, xinfoGroups } from "../../commands/xgroup.ts";
import { type PendingEntry, xpending } from "../../commands/xpending.ts";
import type { GroupMember } from "../../commands/xreadgroup.ts";
import { compareIds, FIRST_ID, type MessageId, nextId } from "../../model/id.ts";
import type { ServerAccess } from "../server/server.ts";
import type { GroupShard } from "./group_shard.ts";

/** Entries listed at once. */
const LISTED = 1_000;

/** How commands about the entries of a consumer are run. */
export interface MemberAccess {
  readonly server: ServerAccess;
  readonly member: GroupMember;
  readonly signal: AbortSignal;
}

/** The ids of the entries that are pending for this consumer; none if the server does not allow the question. */
export async function pendingIds(
  { redisKey }: GroupShard,
  { server, member, signal }: MemberAccess,
): Promise<MessageId[]> {
  const ids: MessageId[] = [];
  try {
    for (let start: MessageId | undefined = FIRST_ID; start !== undefined;) {
      const command = xpending({ redisKey, ...member, start, count: LISTED });
      const rows: PendingEntry[] = await retryWhileUnavailable(server, signal, () => server.run(command, { signal }));
      for (const { id } of rows) ids.push(id);
      start = rows.length < LISTED ? undefined : nextId(rows[rows.length - 1].id);
    }
  } catch (error) {
    if (!(error instanceof RedisError)) throw error;
  }
  return ids;
}

/**
 * Whether a group is done with a plain key: all entries up to an id were delivered. If this consumer claims idle entries, they must
 * also be acknowledged, except those it released when the group was moved. These stay pending here until another consumer that
 * still reads the plain key claims them.
 */
export async function isGroupDone(
  shard: GroupShard,
  until: MessageId,
  { claims, ...access }: MemberAccess & { readonly claims: () => boolean },
): Promise<boolean> {
  const { server, member, signal } = access;
  const command = xinfoGroups(shard.redisKey);
  try {
    const groups = await retryWhileUnavailable(server, signal, () => server.run(command, { signal }));
    const group = groups.find(({ name }) => name === member.group);
    if (group === undefined || compareIds(group.lastDeliveredId, until) < 0) return false;
    if (group.pending === 0 || !claims()) return true;
    if (group.pending > shard.releasedCount) return false; // the usual case, in which nothing needs to be listed
    const listed = await pendingIds(shard, access);
    return listed.length >= group.pending && listed.every((id) => shard.hasReleased(id));
  } catch (error) {
    if (isStreamMissing(error)) return true;
    throw error;
  }
}
