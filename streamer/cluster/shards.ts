// Finds the shards of a stream among the keys of all primaries, without blocking any of them.

import { RedisError, StreamerError } from "../../resp/errors.ts";
import type { Command } from "../../resp/connection/command.ts";
import { UnreachableError } from "../../resp/connection/lane.ts";
import { classOf, isUncoded, type ServerErrorClass } from "../../resp/connection/server_errors.ts";
import { countKeys, globOf, scanStreams, typeOfKey } from "../commands/scan.ts";
import { xlen } from "../commands/xlen.ts";
import { MAX_SHARDS, shardOfKey, shardRedisKey } from "../model/key.ts";
import { invalidOption } from "../model/options.ts";

/** Approximate number of keys that a server examines in one command. It takes well below a millisecond. */
const SCAN_COUNT = 1_000;

/** How many numbers after the highest known shard are probed, so that a missing shard does not hide later ones. */
const LOOKAHEAD = 16;

/** Runs a command that never blocks. */
export type RunCommand = <T>(command: Command<T>) => Promise<T>;

/** Access to the servers of known keys. */
export interface KeyServers {
  /** Runs a command on the server of its key. */
  readonly run: RunCommand;
  /** The slot of a key. Keys of one slot are on one server, and one command may have several of them. */
  readonly slotOf: (redisKey: string) => number;
  /** Whether redirects are followed. Otherwise they are final: only one server is used. @default {false} */
  readonly followsRedirects?: boolean;
}

/** Access to all servers that may store shards. */
export interface ShardServers extends KeyServers {
  /**
   * Calls a function for each primary, with a way to run commands there. It is called again for a primary that gets keys of others
   * meanwhile. Without a cluster there is one primary.
   */
  readonly scanAll: (scan: (run: RunCommand) => Promise<void>) => Promise<void>;
}

/** The shards of a stream. */
export interface FoundShards {
  /** Their numbers in ascending order. Empty if the stream is in its plain key, or missing. */
  readonly numbers: readonly number[];
  /** Whether the plain key is a stream, too. `undefined` if there are no shards, or if the check is forbidden. */
  readonly plain: boolean | undefined;
  /** The refusal of SCAN or TYPE. The stream then counts as one without shards. */
  readonly forbidden?: RedisError;
}

/**
 * Scans the keys of every primary for streams named `key:N`.
 *
 * Rejects with `INVALID_OPTION` for more than {@linkcode MAX_SHARDS} shards, and with the servers' refusals, except those of
 * {@linkcode isForbidden}.
 */
export async function findShards(streamKey: string, servers: ShardServers): Promise<FoundShards> {
  return shardsIn(await findAllShards([streamKey], servers), streamKey);
}

/** The shards of each of several streams, or the error of a stream. */
export type FoundByStream = ReadonlyMap<string, FoundShards | StreamerError>;

/** The shards of one stream. Throws the error of the stream. */
export function shardsIn(found: FoundByStream, streamKey: string): FoundShards {
  const one = found.get(streamKey);
  if (one === undefined) throw new RangeError(`${streamKey} is not among the scanned streams`);
  if (one instanceof StreamerError) throw one;
  return one;
}

/** The same as {@linkcode findShards} for several streams, with one scan of the keys of each primary. */
export async function findAllShards(streamKeys: readonly string[], servers: ShardServers): Promise<FoundByStream> {
  const found = new Map(streamKeys.map((streamKey) => [streamKey, new Set<number>()]));
  try {
    await servers.scanAll((run) => scanShards(run, found));
  } catch (error) {
    if (!isForbidden(error, servers)) throw error;
    return new Map(streamKeys.map((streamKey) => [streamKey, { numbers: [], plain: undefined, forbidden: error }]));
  }
  const all = [...found].map(async ([streamKey, numbers]): Promise<[string, FoundShards | StreamerError]> => {
    if (numbers.size > MAX_SHARDS) return [streamKey, tooMany(streamKey)];
    return [streamKey, await checkFound(streamKey, numbers, servers)];
  });
  return new Map(await Promise.all(all));
}

async function checkFound(
  streamKey: string,
  found: ReadonlySet<number>,
  servers: ShardServers,
): Promise<FoundShards> {
  const numbers = [...found].sort((one, other) => one - other);
  try {
    // Checks that later shards can be probed: a user may have access to some commands or keys only.
    await isStream(shardRedisKey(streamKey, numbers[0] ?? 0), servers.run);
    return { numbers, plain: numbers.length === 0 ? undefined : await isPlainStream(streamKey, servers) };
  } catch (error) {
    if (isForbidden(error, servers)) return { numbers: [], plain: undefined, forbidden: error };
    throw error;
  }
}

/** Adds the shard numbers of each stream, until there are too many. */
async function scanShards(run: RunCommand, found: ReadonlyMap<string, Set<number>>): Promise<void> {
  const options = { match: matchOf([...found.keys()]), count: SCAN_COUNT };
  let cursor = "0";
  do {
    const page = await run(scanStreams(cursor, options));
    for (const key of page.keys) {
      const streamKey = key.slice(0, Math.max(0, key.lastIndexOf(":")));
      const numbers = found.get(streamKey);
      if (numbers === undefined || numbers.size > MAX_SHARDS) continue;
      const number = shardOfKey(key, streamKey);
      if (number !== undefined) numbers.add(number);
    }
    if ([...found.values()].every(({ size }) => size > MAX_SHARDS)) return;
    cursor = page.cursor;
  } while (cursor !== "0");
}

/** A glob that matches the shards of all these streams, and few other keys. */
function matchOf(streamKeys: readonly string[]): string {
  if (streamKeys.length === 1) return `${globOf(streamKeys[0])}:*`;
  const [first, last] = [streamKeys.toSorted()[0], streamKeys.toSorted()[streamKeys.length - 1]];
  let same = 0;
  while (same < first.length && first[same] === last[same]) same++;
  return `${globOf(first.slice(0, same))}*:[0-9]*`;
}

/**
 * The numbers of new shards, found by probing single keys: the gaps between known shards, and the numbers after the highest one, until
 * {@linkcode LOOKAHEAD} in a row are missing. Rejects with `INVALID_OPTION` for more than {@linkcode MAX_SHARDS} shards, and with the
 * servers' refusals, including `NOPERM`.
 */
export async function probeShards(
  streamKey: string,
  known: readonly number[],
  servers: KeyServers,
): Promise<number[]> {
  const found: number[] = [];
  const all = new Set(known);
  let highest = Math.max(-1, ...known);
  let from = firstAsked(highest);
  for (let last = lookTo(highest); from <= last; last = lookTo(highest)) {
    const first = from;
    const numbers = Array.from({ length: last + 1 - first }, (_, index) => first + index);
    const unknown = numbers.filter((number) => !all.has(number));
    from = last + 1;
    const isNone = await countTogether(streamKey, unknown, servers) === 0;
    const there = isNone ? [] : await streamsAmong(streamKey, unknown, servers);
    for (const number of there) {
      found.push(number);
      all.add(number);
      highest = Math.max(highest, number);
    }
    checkShardCount(streamKey, all.size);
  }
  return found;
}

/** The numbers that are probed first. If none of them exists, there are no new shards. */
export function probedNumbers(known: ReadonlySet<number>): number[] {
  const highest = Math.max(-1, ...known);
  const first = firstAsked(highest);
  const numbers = Array.from({ length: lookTo(highest) + 1 - first }, (_, index) => first + index);
  return numbers.filter((number) => !known.has(number));
}

/** The first number that is probed. A number may be a date, and gaps are then not worth probing. */
function firstAsked(highest: number): number {
  return Math.max(0, highest - MAX_SHARDS);
}

/** The last number that is probed. */
function lookTo(highest: number): number {
  return Math.min(highest + LOOKAHEAD, Number.MAX_SAFE_INTEGER);
}

/** The shards whose keys have disappeared. Rejects with the servers' refusals. */
export async function missingShards(
  streamKey: string,
  numbers: readonly number[],
  servers: KeyServers,
): Promise<number[]> {
  if (await countTogether(streamKey, numbers, servers) === numbers.length) return [];
  const types = await typesOf(streamKey, numbers, servers);
  return numbers.filter((_, index) => types[index] === "none");
}

/** Whether the plain key is a stream. `undefined` if the check is forbidden. */
export async function isPlainStream(
  streamKey: string,
  servers: KeyServers,
): Promise<boolean | undefined> {
  try {
    return await isStream(streamKey, servers.run);
  } catch (error) {
    if (isForbidden(error, servers)) return undefined;
    throw error;
  }
}

/** Whether the plain key has entries, as far as the permissions allow the check. */
export async function holdsPlainEntries(streamKey: string, servers: KeyServers): Promise<boolean> {
  if (await isPlainStream(streamKey, servers) !== true) return false;
  try {
    return await servers.run(xlen(streamKey)) > 0;
  } catch (error) {
    if (isForbidden(error, servers)) return true; // better to report an empty stream than to ignore entries silently
    if (classOf(error) === "wrong-type") return false; // the key was replaced in between
    throw error;
  }
}

/**
 * Whether a refusal makes discovery impossible: the user has no permission for the command or the key, the command is unknown (SCAN with
 * TYPE needs Redis 6.0), or the only available server does not have the key.
 */
export function isForbidden(
  error: unknown,
  { followsRedirects = false }: Pick<KeyServers, "followsRedirects">,
): error is RedisError {
  const kind = classOf(error);
  return UNASKABLE.has(kind) || isUncoded(error) || (kind === "redirect" && !followsRedirects);
}

const UNASKABLE: ReadonlySet<ServerErrorClass | undefined> = new Set<ServerErrorClass>([
  "forbidden",
  "unauthenticated",
  "wrong-password",
]);

/** Whether these keys are in one slot, so that one command can have all of them. */
export function areTogether(keys: readonly string[], slotOf: KeyServers["slotOf"]): boolean {
  return new Set(keys.map(slotOf)).size <= 1;
}

/** The number of these shards' keys that exist. `undefined` if that takes more than one command, or is forbidden. */
async function countTogether(
  streamKey: string,
  numbers: readonly number[],
  servers: KeyServers,
): Promise<number | undefined> {
  const keys = numbers.map((number) => shardRedisKey(streamKey, number));
  return areTogether(keys, servers.slotOf) ? await countThere(keys, servers) : undefined;
}

/**
 * The number of these keys that exist. `undefined` if EXISTS is forbidden, or a server is away.
 *
 * It takes one command for each slot, of at most `most` keys, all written together. Usually no shard was added or removed, so one
 * command is enough on a single server.
 */
export async function countThere(
  keys: readonly string[],
  { run, slotOf }: KeyServers,
  most = Infinity,
): Promise<number | undefined> {
  const counts: Promise<number>[] = [];
  for (const ofSlot of Map.groupBy(keys, slotOf).values()) {
    for (let at = 0; at < ofSlot.length; at += most) counts.push(run(countKeys(ofSlot.slice(at, at + most))));
  }
  try {
    return (await Promise.all(counts)).reduce((sum, count) => sum + count, 0);
  } catch (error) {
    if (error instanceof RedisError || error instanceof UnreachableError) return undefined;
    throw error;
  }
}

/** Those of these shards that are streams, as far as their servers can be reached. It takes one command for each, all written together. */
async function streamsAmong(streamKey: string, numbers: readonly number[], servers: KeyServers): Promise<number[]> {
  const types = await typesOf(streamKey, numbers, servers);
  return numbers.filter((_, index) => types[index] === "stream");
}

/** The types of these shards' keys. `undefined` if the server of a key cannot be reached in time. */
async function typesOf(
  streamKey: string,
  numbers: readonly number[],
  { run }: KeyServers,
): Promise<(string | undefined)[]> {
  return await Promise.all(numbers.map(async (number) => {
    try {
      return await run(typeOfKey(shardRedisKey(streamKey, number)));
    } catch (error) {
      if (error instanceof UnreachableError) return undefined;
      throw error;
    }
  }));
}

async function isStream(key: string, run: RunCommand): Promise<boolean> {
  return await run(typeOfKey(key)) === "stream";
}

function checkShardCount(streamKey: string, count: number): void {
  if (count > MAX_SHARDS) throw tooMany(streamKey);
}

function tooMany(streamKey: string): StreamerError {
  return invalidOption(
    "shards",
    "discover",
    `a number or a list, since ${streamKey} has more than ${MAX_SHARDS} shards`,
  );
}
