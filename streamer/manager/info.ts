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
  const [full, { lastId }, now] = await Promise.all([
    host.read(xinfoFull(redisKey), options),
    host.read(xrange(range), options), // behind it: what is then last and no newer has been so before
    host.run(timeAt(redisKey), options),
  ]);
  const stream = { ...full, lastId: lastEntry(full, lastId) };
  const exact = countsLag(host.server());
  return {
    length: full.length,
    firstId: full.firstId ?? null,
    lastId: stream.lastId ?? null,
    groups: full.groups.map((group) => groupInfo(group, stream, { now, format: host.timestampFormat, exact })),
  };
}

/** The last entry's id. Where all have gone meanwhile it is not told any more; the one given last is as good. */
function lastEntry({ firstId, lastGeneratedId }: FullInfo, found: MessageId | undefined): MessageId | undefined {
  if (firstId === undefined) return undefined;
  return found !== undefined && compareIds(found, firstId) >= 0 ? found : lastGeneratedId;
}

/** A stream of which also the last entry is known. */
export interface KnownStream extends Pick<FullInfo, "length" | "firstId" | "lastGeneratedId" | "entriesAdded"> {
  /** A hair newer than the rest, maybe. */
  readonly lastId: MessageId | undefined;
}

/**
 * Whether a server's count of what a group is still to be given holds also after entries were removed that it had not been
 * given. Older ones go on with a count that is too high by as many. Tried with Redis 7.0, 8.0, Valkey 8.0 and 9.1.
 */
export function countsLag(server: string | undefined): boolean {
  const match = /^(redis|valkey) (\d+)\./.exec(server ?? "");
  return match !== null && Number(match[2]) >= (match[1] === "redis" ? 8 : 9);
}

/**
 * How many entries a group was not yet given. What follows from where it stands is known. In between only the server can know,
 * which counts what it delivers: it is believed where its count is exact, or where nothing was ever removed.
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
  const isLast = lastId !== undefined && compareIds(lastId, lastGeneratedId) <= 0; // else it is newer than the rest
  if (isLast && compareIds(lastDeliveredId, lastId) >= 0) return 0;
  const counted = exact || entriesAdded === length;
  return counted && lag !== undefined && lag >= 1 && lag <= length - 1 ? lag : null;
}

interface Moment {
  /** Milliseconds since 1970 by the server's clock. */
  readonly now: number;
  readonly format: TimestampFormat;
  /** Whether the server's own lag holds. */
  readonly exact: boolean;
}

function groupInfo(group: FullGroup, stream: KnownStream, moment: Moment): StreamGroupInfo {
  const { name, pending, lastDeliveredId, oldestPendingId, consumers } = group;
  return {
    name,
    lag: lagOf(group, stream, moment),
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
  const filled = infos.filter(({ length }) => length > 0);
  return {
    length: infos.reduce((sum, { length }) => sum + length, 0),
    firstId: furthest(infos.map(({ firstId }) => firstId), -1),
    lastId: furthest(infos.map(({ lastId }) => lastId), 1),
    groups: groups.map((parts) => {
      const merged = mergeGroups(parts);
      const everywhere = filled.every((info) => info.groups.some(({ name }) => name === merged.name));
      return everywhere ? merged : { ...merged, lag: null }; // it may be given all of a shard in which it is not there yet
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
