// Finds the shards of a stream among the keys of all primaries, without blocking any of them. It must not know who reads or
// writes them.

import { RedisError } from "../../resp/errors.ts";
import type { Command } from "../../resp/connection/command.ts";
import { countKeys, globOf, scanStreams, typeOfKey } from "../commands/scan.ts";
import { MAX_SHARDS, shardOfKey, shardRedisKey } from "../model/key.ts";
import { invalidOption } from "../model/options.ts";

/** Keys that a server looks at in one go, about: well below a millisecond of its time. */
const SCAN_COUNT = 1_000;

/** Numbers behind the highest known that a later look asks for, so that one shard which comes late hides no others. */
const LOOKAHEAD = 16;

/** Runs a command that never blocks. */
export type RunCommand = <T>(command: Command<T>) => Promise<T>;

/** How the servers that hold a stream's shards are asked. */
export interface ShardServers {
  /** Where a command goes by its key. */
  readonly run: RunCommand;
  /** Every primary; without a cluster the one server there is. */
  readonly primaries: readonly RunCommand[];
}

/** The shards of a stream. */
export interface FoundShards {
  /** Their numbers, ascending; none where the stream lives in its plain key, or nowhere. */
  readonly numbers: readonly number[];
  /** Whether the plain key is a stream as well; `undefined` where that was not asked, since there are no shards or it is forbidden. */
  readonly plain: boolean | undefined;
  /** What forbids looking for them, SCAN or TYPE: then there seem to be none. */
  readonly forbidden?: RedisError;
}

/**
 * Looks at the keys of every primary for streams named `key:N`.
 *
 * Rejects with `INVALID_OPTION` where there are more than {@linkcode MAX_SHARDS}, and with what the servers refuse, except
 * for what {@linkcode isForbidden} is true of.
 */
export async function findShards(streamKey: string, servers: ShardServers): Promise<FoundShards> {
  const found = new Set<number>();
  try {
    await Promise.all(servers.primaries.map((run) => scanShards(streamKey, run, found)));
    const numbers = [...found].sort((one, other) => one - other);
    // Whether it will be possible to ask for later ones: a user may be allowed some commands only, or some keys only.
    await isStream(shardRedisKey(streamKey, numbers[0] ?? 0), servers.run);
    return { numbers, plain: numbers.length === 0 ? undefined : await isPlainStream(streamKey, servers) };
  } catch (error) {
    if (isForbidden(error)) return { numbers: [], plain: undefined, forbidden: error };
    throw error;
  }
}

async function scanShards(streamKey: string, run: RunCommand, numbers: Set<number>): Promise<void> {
  const options = { match: `${globOf(streamKey)}:*`, count: SCAN_COUNT };
  let cursor = "0";
  do {
    const page = await run(scanStreams(cursor, options));
    for (const key of page.keys) {
      const number = shardOfKey(key, streamKey);
      if (number !== undefined) numbers.add(number);
    }
    checkShardCount(streamKey, numbers.size);
    cursor = page.cursor;
  } while (cursor !== "0");
}

/**
 * The numbers of shards that have come since, by asking for single keys: the gaps among the known ones, and those behind
 * the highest until there are {@linkcode LOOKAHEAD} in a row that are none. Rejects with `INVALID_OPTION` where there are
 * more than {@linkcode MAX_SHARDS} then, and with what the servers refuse, `NOPERM` too.
 */
export async function probeShards(
  streamKey: string,
  known: readonly number[],
  servers: Pick<ShardServers, "run">,
): Promise<number[]> {
  const found: number[] = [];
  const all = new Set(known);
  let highest = Math.max(-1, ...known);
  let from = Math.max(0, highest - MAX_SHARDS); // a number may be a date: there are no gaps worth asking for then
  for (let last = lookTo(highest); from <= last; last = lookTo(highest)) {
    const first = from;
    const numbers = Array.from({ length: last + 1 - first }, (_, index) => first + index);
    const unknown = numbers.filter((number) => !all.has(number));
    from = last + 1;
    const count = await countShards(streamKey, unknown, servers);
    const there = count === 0 ? [] : await streamsAmong(streamKey, unknown, servers);
    for (const number of there) {
      found.push(number);
      all.add(number);
      highest = Math.max(highest, number);
    }
    checkShardCount(streamKey, all.size);
  }
  return found;
}

/** The last number that is asked for. */
function lookTo(highest: number): number {
  return Math.min(highest + LOOKAHEAD, Number.MAX_SAFE_INTEGER);
}

/** Those of a stream's shards whose key is not there any more. Rejects with what the servers refuse. */
export async function missingShards(
  streamKey: string,
  numbers: readonly number[],
  servers: Pick<ShardServers, "run">,
): Promise<number[]> {
  if (await countShards(streamKey, numbers, servers) === numbers.length) return [];
  const types = await Promise.all(numbers.map((number) => servers.run(typeOfKey(shardRedisKey(streamKey, number)))));
  return numbers.filter((_, index) => types[index] === "none");
}

/** Whether a stream's plain key is a stream; `undefined` where asking that is forbidden. */
export async function isPlainStream(
  streamKey: string,
  servers: Pick<ShardServers, "run">,
): Promise<boolean | undefined> {
  try {
    return await isStream(streamKey, servers.run);
  } catch (error) {
    if (isForbidden(error)) return undefined;
    throw error;
  }
}

/**
 * Whether a server keeps shards from being found: it forbids the command or the key to this user, does not know the command
 * (SCAN by type came with Redis 6.0), or is not the one that has the key and is all that may be asked.
 */
export function isForbidden(error: unknown): error is RedisError {
  return error instanceof RedisError && ["NOPERM", "ERR", "MOVED"].includes(error.code);
}

/**
 * How many keys of these names there are, by one question for all, since most often none has come and none has gone; `undefined`
 * where that cannot be asked so.
 */
async function countShards(
  streamKey: string,
  numbers: readonly number[],
  { run }: Pick<ShardServers, "run">,
): Promise<number | undefined> {
  if (numbers.length === 0) return 0;
  try {
    return await run(countKeys(numbers.map((number) => shardRedisKey(streamKey, number))));
  } catch (error) {
    if (error instanceof RedisError) return undefined; // EXISTS is forbidden, or they are in several slots
    throw error;
  }
}

/** Those of these shards that are streams, by one question for each, written together. */
async function streamsAmong(
  streamKey: string,
  numbers: readonly number[],
  { run }: Pick<ShardServers, "run">,
): Promise<number[]> {
  const there = await Promise.all(numbers.map((number) => isStream(shardRedisKey(streamKey, number), run)));
  return numbers.filter((_, index) => there[index]);
}

async function isStream(key: string, run: RunCommand): Promise<boolean> {
  return await run(typeOfKey(key)) === "stream";
}

function checkShardCount(streamKey: string, count: number): void {
  if (count <= MAX_SHARDS) return;
  throw invalidOption("shards", "discover", `numbers where a stream, as ${streamKey}, has more than ${MAX_SHARDS}`);
}
