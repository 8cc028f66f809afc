// How one key is cut: pass after pass, since an approximate cut takes no more than so much at once. It must not know which keys
// are cut.

import { areScriptsForbidden, isGroupMissing, trimAcknowledged } from "../commands/scripts.ts";
import { isStreamMissing, xinfoGroups } from "../commands/xgroup.ts";
import { xpending } from "../commands/xpending.ts";
import { type TrimTarget, xtrim } from "../commands/xtrim.ts";
import { compareIds, nextId } from "../model/id.ts";
import type { ManagerHost } from "./shard_keys.ts";

/** How a key is cut. */
export interface TrimRequest {
  readonly target: TrimTarget | "acknowledged";
  readonly exact: boolean;
  readonly signal: AbortSignal | undefined;
}

/** Servers end an approximate cut after about 10,000 entries. When so many went, there may be more; fewer may have come since. */
const LARGE_PASS = 5_000;

/** Cuts a key; gives how many entries were removed. */
export async function trimKey(host: ManagerHost, redisKey: string, request: TrimRequest): Promise<number> {
  const { target, exact, signal } = request;
  for (let sum = 0;;) {
    const removed = target === "acknowledged"
      ? await trimPass(host, redisKey, request)
      : await host.run(xtrim(redisKey, target, exact), { signal });
    sum += removed;
    if (exact || removed < LARGE_PASS) return sum;
    signal?.throwIfAborted();
  }
}

async function trimPass(host: ManagerHost, redisKey: string, { exact, signal }: TrimRequest): Promise<number> {
  try {
    return await host.run(trimAcknowledged(redisKey, exact), { signal });
  } catch (error) {
    if (!areScriptsForbidden(error)) throw error;
    const target = await targetOf(host, redisKey, signal);
    return target === undefined ? 0 : await host.run(xtrim(redisKey, target, exact), { signal });
  }
}

/**
 * To what can be cut by what the groups still need; `undefined` without groups. Safe while messages are read, claimed and
 * acknowledged: what is pending is asked for after where the groups stand, and what they are given later is behind that. Not
 * safe for a group that is made, or set back, in between.
 */
async function targetOf(
  host: ManagerHost,
  redisKey: string,
  signal: AbortSignal | undefined,
): Promise<TrimTarget | undefined> {
  const groups = await host.run(xinfoGroups(redisKey), { signal }).catch((error) => {
    if (isStreamMissing(error)) return [];
    throw error;
  });
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
