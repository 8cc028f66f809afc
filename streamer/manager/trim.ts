// Trims one key in several passes, since the server limits the work of one approximate trim.

import { areScriptsForbidden, isGroupMissing, trimAcknowledged } from "../commands/scripts.ts";
import { type GroupInfo, isStreamMissing, xinfoGroups } from "../commands/xgroup.ts";
import { xpending } from "../commands/xpending.ts";
import { trimInPasses } from "../commands/trim_passes.ts";
import { xlen } from "../commands/xlen.ts";
import { type TrimTarget, xtrim } from "../commands/xtrim.ts";
import { compareIds, nextId } from "../model/id.ts";
import { nameKey, type WireName } from "../model/name.ts";
import type { SignalOptions } from "./options.ts";
import type { ManagerContext } from "./shard_keys.ts";

/** How a key is trimmed. */
export interface TrimRequest {
  readonly target: TrimTarget | "acknowledged";
  readonly exact: boolean;
  /** Groups that must exist. Otherwise no entry counts as acknowledged. */
  readonly groups: readonly WireName[];
  readonly signal: AbortSignal | undefined;
}

/** Trims a key; returns how many entries were removed. */
export async function trimKey(context: ManagerContext, redisKey: string, request: TrimRequest): Promise<number> {
  const { target, exact, signal } = request;
  const pass = async () =>
    target === "acknowledged"
      ? await acknowledgedPass(context, redisKey, request)
      : await context.run(xtrim(redisKey, target, exact), { signal });
  if (exact) return await pass();
  const keep = target !== "acknowledged" && "maxLength" in target ? target.maxLength : 0;
  return await trimInPasses({ pass, length: () => context.run(xlen(redisKey), { signal }), keep });
}

/**
 * The groups of all shards of a stream. Not every shard may have every group yet: a consumer creates it in a later shard at the
 * first entry.
 */
export async function groupNames(
  context: ManagerContext,
  redisKeys: readonly string[],
  { signal }: SignalOptions,
): Promise<WireName[]> {
  const groups = await Promise.all(redisKeys.map((redisKey) => groupsOf(context, redisKey, signal)));
  return [...new Map(groups.flat().map(({ name }) => [nameKey(name), name])).values()];
}

async function groupsOf(
  context: ManagerContext,
  redisKey: string,
  signal: AbortSignal | undefined,
): Promise<GroupInfo[]> {
  return await context.run(xinfoGroups(redisKey), { signal }).catch((error) => {
    if (isStreamMissing(error)) return [];
    throw error;
  });
}

async function acknowledgedPass(context: ManagerContext, redisKey: string, request: TrimRequest): Promise<number> {
  const { exact, groups, signal } = request;
  try {
    return await context.run(trimAcknowledged(redisKey, { exact, groups }), { signal });
  } catch (error) {
    if (!areScriptsForbidden(error)) throw error;
    const target = await targetOf(context, redisKey, request);
    return target === undefined ? 0 : await context.run(xtrim(redisKey, target, exact), { signal });
  }
}

/**
 * The trim target that keeps all entries which a group still needs. `undefined` without groups, or if a required group is missing.
 *
 * This is safe while messages are read, claimed and acknowledged: pending entries are requested after the positions of the groups, and
 * later deliveries come after these positions. It is not safe if a group is created or moved back in between.
 */
async function targetOf(
  context: ManagerContext,
  redisKey: string,
  { groups: wanted, signal }: TrimRequest,
): Promise<TrimTarget | undefined> {
  const groups = await groupsOf(context, redisKey, signal);
  const there = new Set(groups.map(({ name }) => nameKey(name)));
  if (!wanted.every((name) => there.has(nameKey(name)))) return undefined;
  const needed = await Promise.all(groups.map(async ({ name, lastDeliveredId }) => {
    const asked = context.run(xpending({ redisKey, group: name, start: "-", count: 1 }), { signal });
    const [oldest] = await asked.catch((error) => {
      if (isGroupMissing(error)) return []; // it was deleted meanwhile
      throw error;
    });
    const next = nextId(lastDeliveredId);
    return oldest !== undefined && (next === undefined || compareIds(oldest.id, next) < 0) ? oldest.id : next;
  }));
  const [minId] = needed.filter((id) => id !== undefined).sort(compareIds);
  if (minId !== undefined) return { minId };
  return groups.length === 0 ? undefined : { maxLength: 0 }; // all groups are at the last possible id
}
