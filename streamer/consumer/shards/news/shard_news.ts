// Which streams may have got or lost shards. All keys of one slot are asked for together. Keys of many slots take a command each, so a
// few of them are asked for at a time.

import { UnreachableError } from "../../../../resp/connection/lane.ts";
import { classOf, isPassing } from "../../../../resp/connection/server_errors.ts";
import { RedisError } from "../../../../resp/errors.ts";
import { areTogether, countThere, type KeyServers, probedNumbers, type RunCommand } from "../../../cluster/shards.ts";
import { typeOfKey } from "../../../commands/scan.ts";
import { xlen } from "../../../commands/xlen.ts";
import { shardRedisKey } from "../../../model/key.ts";
import { Turns } from "./turns.ts";

/** A stream that is looked at. */
export interface WatchedStream {
  readonly streamKey: string;
  /** Numbers that are no longer looked for. */
  readonly known: ReadonlySet<number>;
  /** Known numbers that were found missing. */
  readonly gone: ReadonlySet<number>;
  /** Known numbers that are read. */
  readonly read: readonly number[];
}

/** Most keys of one command: well below a millisecond of the server's time. */
export const MOST_KEYS = 1_000;

/** Numbers after the highest known one of a stream, which a new shard nearly always has. */
const NEXT = 2;
/** Most of those that are asked for in one look, of all streams. */
export const MOST_NEXT = 24;
/** Most other numbers that are asked for in one look. */
export const MOST_ABSENT = 6;
/** Most known shards that are asked for in one look. */
export const MOST_PRESENT = 4;

/** A key of a stream, and what its type says if anything has changed. */
interface Question {
  readonly streamKey: string;
  readonly redisKey: string;
  readonly isNews: (type: string) => boolean;
}

/** The keys to ask for. */
interface Questions {
  readonly next: Question[];
  readonly absent: Question[];
  readonly present: Question[];
}

/** Looks for news. It remembers which keys are next. */
export class ShardNews {
  readonly #next = new Turns();
  readonly #absent = new Turns();
  readonly #present = new Turns();

  /** The keys of those of these streams that may have got or lost shards. If nothing can be said of a stream, it is among them. */
  async of(streams: readonly WatchedStream[], servers: KeyServers): Promise<ReadonlySet<string>> {
    const together = streams.filter((stream) => areTogether(keysOf(stream), servers.slotOf));
    const scattered = streams.filter((stream) => !together.includes(stream));
    const [haveNews, some] = await Promise.all([mayHaveNews(together, servers), this.#askForSome(scattered, servers)]);
    return new Set([...haveNews ? together.map(({ streamKey }) => streamKey) : [], ...some]);
  }

  async #askForSome(streams: readonly WatchedStream[], { run }: KeyServers): Promise<readonly string[]> {
    const { next, absent, present } = questionsOf(streams);
    const asked = [
      ...this.#next.take(next, MOST_NEXT),
      ...this.#absent.take(absent, MOST_ABSENT),
      ...this.#present.take(present, MOST_PRESENT),
    ];
    const news = await Promise.all(asked.map((question) => hasNews(question, run)));
    return asked.filter((_, at) => news[at]).map(({ streamKey }) => streamKey);
  }
}

const isStream = (type: string) => type === "stream";
const isThere = (type: string) => type !== "none";
const isMissing = (type: string) => type === "none";

/** All keys that may tell of news. */
function questionsOf(streams: readonly WatchedStream[]): Questions {
  const questions: Questions = { next: [], absent: [], present: [] };
  const nearest = streams.length * NEXT > MOST_NEXT ? 1 : NEXT;
  for (const { streamKey, known, gone, read } of streams) {
    const question = (number: number, isNews: Question["isNews"]): Question => {
      return { streamKey, redisKey: shardRedisKey(streamKey, number), isNews };
    };
    const highest = Math.max(-1, ...known);
    for (const number of probedNumbers(known)) {
      const isNext = number > highest && number <= highest + nearest;
      (isNext ? questions.next : questions.absent).push(question(number, isStream));
    }
    for (const number of read) {
      if (gone.has(number)) questions.absent.push(question(number, isThere));
      else questions.present.push(question(number, isMissing));
    }
  }
  return questions;
}

/** Asks for one key. A node that is away, or not ready, says nothing: the key has another turn. */
async function hasNews({ redisKey, isNews }: Question, run: RunCommand): Promise<boolean> {
  try {
    return isNews(await run(typeOfKey(redisKey)));
  } catch (error) {
    if (error instanceof UnreachableError) return false;
    if (error instanceof RedisError) return !isPassing(classOf(error));
    throw error;
  }
}

/** All keys of a stream that may be asked for. */
function keysOf({ streamKey, known, read }: WatchedStream): string[] {
  return [...read, ...probedNumbers(known)].map((number) => shardRedisKey(streamKey, number));
}

/**
 * Whether any shard may have been added, removed or recreated. It costs two commands for each slot of the streams' keys, or a few
 * more for very many shards; a single server is one slot. If the commands are forbidden, a change is possible.
 */
async function mayHaveNews(streams: readonly WatchedStream[], servers: KeyServers): Promise<boolean> {
  if (streams.length <= 1) return streams.length === 1; // a single stream would be queried twice
  const there = streams.flatMap(({ streamKey, read, gone }) => {
    return read.filter((number) => !gone.has(number)).map((number) => shardRedisKey(streamKey, number));
  });
  const absent = streams.flatMap(({ streamKey, known, read, gone }) => {
    const lost = read.filter((number) => gone.has(number));
    return [...lost, ...probedNumbers(known)].map((number) => shardRedisKey(streamKey, number));
  });
  const [present, unexpected] = await Promise.all([
    countThere(there, servers, MOST_KEYS),
    countThere(absent, servers, MOST_KEYS),
  ]);
  return present !== there.length || unexpected !== 0;
}

/** Those of these keys that are streams with entries, or of which that cannot be known. */
export async function withEntries(redisKeys: readonly string[], run: RunCommand): Promise<string[]> {
  const lengths = await Promise.all(redisKeys.map(async (redisKey) => {
    try {
      return await run(xlen(redisKey));
    } catch (error) {
      if (error instanceof UnreachableError) return 0;
      if (error instanceof RedisError) return undefined;
      throw error;
    }
  }));
  return redisKeys.filter((_, i) => lengths[i] !== 0);
}
