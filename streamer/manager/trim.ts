// How one key is cut: pass after pass, since an approximate cut takes no more than so much at once. It must not know which keys
// are cut.

import { areScriptsForbidden, isGroupMissing, trimAcknowledged } from "../commands/scripts.ts";
import { type GroupInfo, isStreamMissing, xinfoGroups } from "../commands/xgroup.ts";
import { xpending } from "../commands/xpending.ts";
import { trimInPasses } from "../commands/trim_passes.ts";
import { xlen } from "../commands/xlen.ts";
import { type TrimTarget, xtrim } from "../commands/xtrim.ts";
import { compareIds, nextId } from "../model/id.ts";
import type { SignalOptions } from "./options.ts";
import type { ManagerHost } from "./shard_keys.ts";

/** How a key is cut. */
export interface TrimRequest {
  readonly target: TrimTarget | "acknowledged";
  readonly exact: boolean;
  /** Groups without which nothing is acknowledged. */
  readonly groups: readonly string[];
  readonly signal: AbortSignal | undefined;
}

/** Cuts a key; gives how many entries were removed. */
export async function trimKey(host: ManagerHost, redisKey: string, request: TrimRequest): Promise<number> {
  const { target, exact, signal } = request;
  const pass = async () =>
    target === "acknowledged"
      ? await acknowledgedPass(host, redisKey, request)
      : await host.run(xtrim(redisKey, target, exact), { signal });
  if (exact) return await pass();
  const keep = target !== "acknowledged" && "maxLength" in target ? target.maxLength : 0;
  return await trimInPasses({ pass, length: () => host.run(xlen(redisKey), { signal }), keep });
}

/**
 * The groups of a stream, which may not be in each of its shards yet: one that has come later is given to such a group from its
 * first entry on.
 */
export async function groupNames(
  host: ManagerHost,
  redisKeys: readonly string[],
  { signal }: SignalOptions,
): Promise<string[]> {
  const groups = await Promise.all(redisKeys.map((redisKey) => groupsOf(host, redisKey, signal)));
  return [...new Set(groups.flat().map(({ name }) => name))];
}

async function groupsOf(host: ManagerHost, redisKey: string, signal: AbortSignal | undefined): Promise<GroupInfo[]> {
  return await host.run(xinfoGroups(redisKey), { signal }).catch((error) => {
    if (isStreamMissing(error)) return [];
    throw error;
  });
}

async function acknowledgedPass(host: ManagerHost, redisKey: string, request: TrimRequest): Promise<number> {
  const { exact, groups, signal } = request;
  try {
    return await host.run(trimAcknowledged(redisKey, { exact, groups }), { signal });
  } catch (error) {
    if (!areScriptsForbidden(error)) throw error;
    const target = await targetOf(host, redisKey, request);
    return target === undefined ? 0 : await host.run(xtrim(redisKey, target, exact), { signal });
  }
}

/**
 * To what can be cut by what the groups still need; `undefined` without groups, or not all that must be there. Safe while messages are read, claimed and
 * acknowledged: what is pending is asked for after where the groups stand, and what they are given later is behind that. Not
 * safe for a group that is made, or set back, in between.
 */
async function targetOf(
  host: ManagerHost,
  redisKey: string,
  { groups: wanted, signal }: TrimRequest,
): Promise<TrimTarget | undefined> {
  const groups = await groupsOf(host, redisKey, signal);
  if (!wanted.every((name) => groups.some((group) => group.name === name))) return undefined;
  const needed = await Promise.all(groups.map(async ({ name, lastDeliveredId }) => {
    const asked = host.run(xpending({ redisKey, group: name, start: "-", count: 1 }), { signal });
    const [oldest] = await asked.catch((error) => {
      if (isGroupMissing(error)) return []; // it is gone since
      throw error;
    });
    const next = nextId(lastDeliveredId);
    return oldest !== undefined && (next === undefined || compareIds(oldest.id, next) < 0) ? oldest.id : next;
  }));
  const [minId] = needed.filter((id) => id !== undefined).sort(compareIds);
  if (minId !== undefined) return { minId };
  return groups.length === 0 ? undefined : { maxLength: 0 }; // all of them are behind the last id there can be
}
