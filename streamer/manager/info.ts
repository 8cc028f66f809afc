// Information about streams, groups and consumers: of one key, or merged over all shards.

import { NodeLeftError } from "../cluster/router.ts";
import { type FullConsumer, type FullGroup, type FullInfo, xinfoFull } from "../commands/xinfo_full.ts";
import { serverTime } from "../commands/time.ts";
import { xrange } from "../commands/xrange.ts";
import { compareIds, FIRST_ID, LAST_ID, type MessageId, nanosecondsOf, type TimestampFormat } from "../model/id.ts";
import { shownName } from "../model/name.ts";
import type { StreamConsumerInfo, StreamGroupInfo, StreamInfo } from "./options.ts";
import type { ManagerContext, Primary } from "./shard_keys.ts";

/** How often a key is looked at on the node that has it, while it moves from node to node. */
const MOST_LOOKS = 5;

/**
 * Information about one key. Its parts are requested together: groups and length are of one moment, the last id may be slightly newer. The
 * clock and the version are those of the node that has the key: if that is another node by the end, all parts are requested again.
 */
export async function keyInfo(
  context: ManagerContext,
  redisKey: string,
  signal: AbortSignal | undefined,
): Promise<StreamInfo> {
  for (let look = 1;; look++) {
    const primary = context.primaryOf(redisKey);
    try {
      const info = await infoFrom(primary, context, { redisKey, signal });
      if (look === MOST_LOOKS || context.primaryOf(redisKey).name === primary.name) return info;
    } catch (error) {
      if (!(error instanceof NodeLeftError)) throw error; // then another node has the key
    }
  }
}

async function infoFrom(
  primary: Primary,
  context: ManagerContext,
  { redisKey, signal }: { readonly redisKey: string; readonly signal: AbortSignal | undefined },
): Promise<StreamInfo> {
  const options = { signal };
  const range = { redisKey, start: FIRST_ID, end: LAST_ID, count: 1, reverse: true };
  const [full, { lastId }, now] = await Promise.all([
    context.read(xinfoFull(redisKey), options),
    context.read(xrange(range), options), // after XINFO: a last entry that is not newer was the last one before, too
    primary.run(serverTime(), options),
  ]);
  const stream = { ...full, lastId: lastEntry(full, lastId) };
  const exact = countsLag(context.serverOf(redisKey));
  return {
    length: full.length,
    firstId: full.firstId ?? null,
    lastId: stream.lastId ?? null,
    groups: full.groups.map((group) => groupInfo(group, stream, { now, format: context.timestampFormat, exact })),
  };
}

/** The last entry's id. If all entries were removed meanwhile, the stream's last generated id takes its place. */
function lastEntry({ firstId, lastGeneratedId }: FullInfo, found: MessageId | undefined): MessageId | undefined {
  if (firstId === undefined) return undefined;
  return found !== undefined && compareIds(found, firstId) >= 0 ? found : lastGeneratedId;
}

/** A stream of which also the last entry is known. */
export interface KnownStream extends Pick<FullInfo, "length" | "firstId" | "lastGeneratedId" | "entriesAdded"> {
  /** Possibly slightly newer than the rest. */
  readonly lastId: MessageId | undefined;
}

/**
 * Whether a server's lag of a group stays right after undelivered entries were removed. Older servers keep counting the removed
 * entries. Tried with Redis 7.0, 8.0, Valkey 8.0 and 9.1.
 */
export function countsLag(server: string | undefined): boolean {
  const match = /^(redis|valkey) (\d+)\./.exec(server ?? "");
  return match !== null && Number(match[2]) >= (match[1] === "redis" ? 8 : 9);
}

/**
 * How many entries a group has not received yet. At both ends of the stream the answer follows from the group's position. In
 * between only the server can know. Its count is used if it is exact, or if nothing was ever removed.
 */
export function lagOf(
  group: Pick<FullGroup, "lag" | "lastDeliveredId">,
  stream: KnownStream,
  { exact }: { readonly exact: boolean },
): number | null {
  const { lag, lastDeliveredId } = group;
  const { length, firstId, lastId, lastGeneratedId, entriesAdded } = stream;
  if (firstId === undefined || compareIds(lastDeliveredId, lastGeneratedId) >= 0) return 0;
  if (compareIds(lastDeliveredId, firstId) < 0) return length;
  const isLast = lastId !== undefined && compareIds(lastId, lastGeneratedId) <= 0; // otherwise it is newer than the rest
  if (isLast && compareIds(lastDeliveredId, lastId) >= 0) return 0;
  const counted = exact || entriesAdded === length;
  return counted && lag !== undefined && lag >= 1 && lag <= length - 1 ? lag : null;
}

interface Moment {
  /** Milliseconds since 1970 by the server's clock. */
  readonly now: number;
  readonly format: TimestampFormat;
  /** Whether the server's own lag is exact. */
  readonly exact: boolean;
}

function groupInfo(group: FullGroup, stream: KnownStream, moment: Moment): StreamGroupInfo {
  const { name, pending, lastDeliveredId, oldestPendingId, consumers } = group;
  return {
    name: shownName(name),
    lag: lagOf(group, stream, moment),
    pending,
    lastDeliveredId,
    oldestPendingAge: oldestPendingId === undefined ? null : ageOf(oldestPendingId, moment),
    consumers: consumers.map((consumer) => consumerInfo(consumer, moment.now)),
  };
}

/** Milliseconds since the time in an id; 0 for a time in the future. */
function ageOf(id: MessageId, { now, format }: Moment): number {
  const age = BigInt(now) - nanosecondsOf(id, format) / 1_000_000n;
  return age < 0n ? 0 : Number(age);
}

function consumerInfo({ name, pending, seenTime, activeTime }: FullConsumer, now: number): StreamConsumerInfo {
  return {
    name: shownName(name),
    pending,
    idle: Math.max(0, now - seenTime),
    inactive: activeTime === undefined ? null : Math.max(0, now - activeTime),
  };
}

/** The information about several shards, merged. */
export function mergeInfos(infos: readonly StreamInfo[]): StreamInfo {
  const groups = byName(infos.flatMap((info) => info.groups));
  const filled = infos.filter(({ length }) => length > 0);
  return {
    length: infos.reduce((sum, { length }) => sum + length, 0),
    firstId: furthest(infos.map(({ firstId }) => firstId), -1),
    lastId: furthest(infos.map(({ lastId }) => lastId), 1),
    groups: groups.map((parts) => {
      const merged = mergeGroups(parts);
      const everywhere = filled.every((info) => info.groups.some(({ name }) => name === merged.name));
      return everywhere ? merged : { ...merged, lag: null }; // a shard without the group may be delivered to it as a whole
    }),
  };
}

function mergeGroups(parts: readonly StreamGroupInfo[]): StreamGroupInfo {
  const [first] = parts;
  return {
    name: first.name,
    lag: parts.reduce<number | null>((sum, { lag }) => sum === null || lag === null ? null : sum + lag, 0),
    pending: parts.reduce((sum, { pending }) => sum + pending, 0),
    lastDeliveredId: furthest(parts.map(({ lastDeliveredId }) => lastDeliveredId), -1) ?? first.lastDeliveredId,
    oldestPendingAge: known(parts.map(({ oldestPendingAge }) => oldestPendingAge), Math.max),
    consumers: byName(parts.flatMap(({ consumers }) => consumers)).map(mergeConsumers),
  };
}

function mergeConsumers(parts: readonly StreamConsumerInfo[]): StreamConsumerInfo {
  return {
    name: parts[0].name,
    pending: parts.reduce((sum, { pending }) => sum + pending, 0),
    idle: Math.min(...parts.map(({ idle }) => idle)),
    inactive: known(parts.map(({ inactive }) => inactive), Math.min),
  };
}

/** Groups items by name, in the order of the names. */
function byName<T extends { readonly name: string }>(all: readonly T[]): T[][] {
  const found = new Map<string, T[]>();
  for (const one of all) {
    const same = found.get(one.name);
    if (same === undefined) found.set(one.name, [one]);
    else same.push(one);
  }
  return [...found].sort(([one], [other]) => one < other ? -1 : 1).map(([, same]) => same);
}

/** The highest (1) or lowest (-1) id. */
function furthest(ids: readonly (MessageId | null)[], sign: 1 | -1): MessageId | null {
  return ids.reduce((best, id) => {
    if (id === null || best === null) return best ?? id;
    return compareIds(id, best) * sign > 0 ? id : best;
  }, null);
}

function known(values: readonly (number | null)[], choose: (...values: number[]) => number): number | null {
  const all = values.filter((value) => value !== null);
  return all.length === 0 ? null : choose(...all);
}
