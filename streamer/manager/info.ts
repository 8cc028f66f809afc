// What a stream, its groups and their consumers are like, of one key or of all shards together. It must not know which keys
// are asked.

import { type FullConsumer, type FullGroup, type FullInfo, xinfoFull } from "../commands/xinfo_full.ts";
import { timeAt } from "../commands/time.ts";
import { xrange } from "../commands/xrange.ts";
import { compareIds, FIRST_ID, LAST_ID, type MessageId, nanosecondsOf, type TimestampFormat } from "../model/id.ts";
import type { StreamConsumerInfo, StreamGroupInfo, StreamInfo } from "./options.ts";
import type { ManagerHost } from "./shard_keys.ts";

/** What one key holds. Its parts are asked for in one go: groups and length are of one moment, the last id may be newer by a hair. */
export async function keyInfo(
  host: ManagerHost,
  redisKey: string,
  signal: AbortSignal | undefined,
): Promise<StreamInfo> {
  const options = { signal };
  const range = { redisKey, start: FIRST_ID, end: LAST_ID, count: 1, reverse: true };
  const [{ lastId }, full, now] = await Promise.all([
    host.read(xrange(range), options),
    host.read(xinfoFull(redisKey), options),
    host.run(timeAt(redisKey), options),
  ]);
  const stream = { ...full, lastId: lastEntry(full, lastId) };
  return {
    length: full.length,
    firstId: full.firstId ?? null,
    lastId: stream.lastId ?? null,
    groups: full.groups.map((group) => groupInfo(group, stream, { now, format: host.timestampFormat })),
  };
}

/** The last entry's id. What was read before the rest was may be gone by then; then what came meanwhile is the last. */
function lastEntry({ firstId, lastGeneratedId }: FullInfo, found: MessageId | undefined): MessageId | undefined {
  if (firstId === undefined) return undefined;
  return found !== undefined && compareIds(found, firstId) >= 0 ? found : lastGeneratedId;
}

/** A stream of which also the last entry is known. */
export interface KnownStream extends Pick<FullInfo, "length" | "firstId" | "lastGeneratedId"> {
  readonly lastId: MessageId | undefined;
}

/**
 * How many entries a group was not yet given. What follows from where it stands is known. In between only the
 * server can know, which counts what it delivers: after entries were deleted or trimmed unread it may be wrong (Redis 7.0
 * gives too many), so that what cannot be is taken for not known.
 */
export function lagOf(group: Pick<FullGroup, "lag" | "lastDeliveredId">, stream: KnownStream): number | null {
  const { lag, lastDeliveredId } = group;
  const { length, firstId, lastId, lastGeneratedId } = stream;
  if (firstId === undefined || compareIds(lastDeliveredId, lastGeneratedId) >= 0) return 0;
  if (compareIds(lastDeliveredId, firstId) < 0) return length;
  if (lastId !== undefined && compareIds(lastDeliveredId, lastId) >= 0) return 0;
  return lag !== undefined && lag >= 1 && lag <= length - 1 ? lag : null;
}

interface Moment {
  /** Milliseconds since 1970 by the server's clock. */
  readonly now: number;
  readonly format: TimestampFormat;
}

function groupInfo(group: FullGroup, stream: KnownStream, moment: Moment): StreamGroupInfo {
  const { name, pending, lastDeliveredId, oldestPendingId, consumers } = group;
  return {
    name,
    lag: lagOf(group, stream),
    pending,
    lastDeliveredId,
    oldestPendingAge: oldestPendingId === undefined ? null : ageOf(oldestPendingId, moment),
    consumers: consumers.map((consumer) => consumerInfo(consumer, moment.now)),
  };
}

/** Milliseconds since the time in an id; of a time that is yet to come, 0. */
function ageOf(id: MessageId, { now, format }: Moment): number {
  const age = BigInt(now) - nanosecondsOf(id, format) / 1_000_000n;
  return age < 0n ? 0 : Number(age);
}

function consumerInfo({ name, pending, seenTime, activeTime }: FullConsumer, now: number): StreamConsumerInfo {
  return {
    name,
    pending,
    idle: Math.max(0, now - seenTime),
    inactive: activeTime === undefined ? null : Math.max(0, now - activeTime),
  };
}

/** What several shards hold together. */
export function mergeInfos(infos: readonly StreamInfo[]): StreamInfo {
  const groups = byName(infos.flatMap((info) => info.groups));
  return {
    length: infos.reduce((sum, { length }) => sum + length, 0),
    firstId: furthest(infos.map(({ firstId }) => firstId), -1),
    lastId: furthest(infos.map(({ lastId }) => lastId), 1),
    groups: groups.map(mergeGroups),
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

/** Those with the same name together, in the order of their names. */
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
