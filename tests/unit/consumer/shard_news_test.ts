// Tests which keys a look asks for: all of one slot together, and of many slots a few at a time, each in its turn.

import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import type { Command } from "../../../resp/connection/command.ts";
import type { Destination } from "../../../resp/connection/destination.ts";
import { UnreachableError } from "../../../resp/connection/lane.ts";
import { RedisError } from "../../../resp/errors.ts";
import type { KeyServers } from "../../../streamer/cluster/shards.ts";
import { slotOfKey } from "../../../streamer/cluster/topology/slot.ts";
import { BareStreams } from "../../../streamer/consumer/shards/news/bare_streams.ts";
import {
  MOST_ABSENT,
  MOST_NEXT,
  MOST_PRESENT,
  ShardNews,
  type WatchedStream,
} from "../../../streamer/consumer/shards/news/shard_news.ts";
import { Turns } from "../../../streamer/consumer/shards/news/turns.ts";
import { standing } from "../commands/frames.ts";
import { test } from "../../support/runner.ts";

/** Servers with keys of these types. */
class Keys implements KeyServers {
  readonly types: Map<string, string>;
  readonly slotOf: (redisKey: string) => number;
  /** The commands since it was last taken. */
  asked: string[][] = [];
  /** Errors in place of replies. */
  readonly errors = new Map<string, Error>();

  constructor(streams: Iterable<string>, slotOf: (redisKey: string) => number = slotOfKey) {
    this.types = new Map(Array.from(streams, (key) => [key, "stream"]));
    this.slotOf = slotOf;
  }

  readonly run = <T>({ args, key = "", read }: Command<T>): Promise<T> => {
    const [name, ...keys] = args.map(String);
    this.asked.push([name, ...keys]);
    const error = this.errors.get(key);
    if (error !== undefined) return Promise.reject(error);
    const count = keys.filter((one) => this.types.has(one)).length;
    return Promise.resolve(read(standing(name === "TYPE" ? `+${this.types.get(key) ?? "none"}\r\n` : `:${count}\r\n`)));
  };

  takeAsked(): string[] {
    return this.asked.splice(0).map(([, key]) => key);
  }
}

const numbers = (count: number, from = 0) => Array.from({ length: count }, (_, at) => from + at);

/** A stream with these shards, all of them read. */
function streamOf(streamKey: string, shards: readonly number[], gone: readonly number[] = []): WatchedStream {
  return { streamKey, known: new Set(shards), gone: new Set(gone), read: shards };
}

const keysOf = ({ streamKey, read }: WatchedStream) => read.map((number) => `${streamKey}:${number}`);

test("items have their turns, although the list changes", () => {
  const turns = new Turns();
  assertEquals(turns.take([1, 2, 3], 3), [1, 2, 3]);
  assertEquals([turns.take([1, 2, 3], 2), turns.take([1, 2, 3], 2)], [[1, 2], [3, 1]]);
  const seen = new Set(numbers(7).flatMap((turn) => turns.take(numbers(20 + turn), 5)));
  for (const one of numbers(20)) assert(seen.has(one), `${one}`);
  assertEquals(turns.take([], 2), []);
});

for (const count of [64, 1_024]) {
  test(`while nothing happens, a look at ${count} scattered shards asks for few keys, and each has its turn`, async () => {
    const stream = streamOf("orders", numbers(count));
    const servers = new Keys(keysOf(stream));
    const news = new ShardNews();
    const looks = Math.ceil(count / MOST_PRESENT);
    const times = new Map<string, number>();
    for (let look = 0; look < looks; look++) {
      assertEquals([...await news.of([stream], servers)], []);
      const asked = servers.takeAsked();
      assertEquals(asked.slice(0, 2), [`orders:${count}`, `orders:${count + 1}`]);
      assertLessOrEqual(asked.length, 2 + MOST_ABSENT + MOST_PRESENT);
      for (const key of asked) times.set(key, (times.get(key) ?? 0) + 1);
    }
    for (const key of [...keysOf(stream), ...numbers(16, count).map((number) => `orders:${number}`)]) {
      assert((times.get(key) ?? 0) >= 1, key);
    }
    assertEquals(times.size, count + 16);
  });
}

test("the next number is news at the next look, a gap or a later number within its turns", async () => {
  const known = numbers(64).filter((number) => number !== 7);
  const stream = streamOf("orders", known);
  for (const [number, looks] of [[64, 1], [65, 1], [66, 3], [79, 3], [7, 3]] as const) {
    const servers = new Keys([...keysOf(stream), `orders:${number}`]);
    const news = new ShardNews();
    let look = 1;
    while ((await news.of([stream], servers)).size === 0) look++;
    assertLessOrEqual(look, looks, `${number}`);
  }
});

test("a shard that has gone, or come back, is news within its turns, and a key of another type is none", async () => {
  const stream = streamOf("orders", numbers(64));
  const servers = new Keys(keysOf(stream));
  servers.types.delete("orders:33");
  servers.types.set("orders:64", "string");
  const news = new ShardNews();
  let look = 1;
  while ((await news.of([stream], servers)).size === 0) look++;
  assertLessOrEqual(look, 16);
  const gone = streamOf("orders", numbers(64), [33]);
  for (let looks = 0; looks < 40; looks++) assertEquals((await news.of([gone], servers)).size, 0);
  servers.types.set("orders:33", "stream");
  for (look = 1; (await news.of([gone], servers)).size === 0;) look++;
  assertLessOrEqual(look, 3);
});

test("many scattered streams share what a look may ask for, and only those with news are named", async () => {
  const streams = numbers(64).map((at) => streamOf(`s${at}`, []));
  const servers = new Keys(["s40:0"]);
  const news = new ShardNews();
  const found: string[] = [];
  for (let look = 0; look < 3; look++) {
    found.push(...await news.of(streams, servers));
    assertLessOrEqual(servers.takeAsked().length, MOST_NEXT + MOST_ABSENT);
  }
  assertEquals(found, ["s40"]);
});

test("keys of one slot are asked for together, at every look", async () => {
  const tagged = streamOf("{orders}", numbers(64));
  const servers = new Keys(keysOf(tagged));
  const news = new ShardNews();
  assertEquals([...await news.of([tagged], servers)], ["{orders}"], "one stream is looked at right away");
  assertEquals(servers.asked.length, 0);
  const [one, other] = [streamOf("a", numbers(2)), streamOf("b", numbers(3))];
  const alone = new Keys([...keysOf(one), ...keysOf(other)], () => 0);
  assertEquals([...await news.of([one, other], alone)], []);
  assertEquals(alone.asked.map(([name, ...keys]) => `${name} ${keys.length}`), ["EXISTS 5", "EXISTS 32"]);
  alone.types.set("b:18", "stream");
  assertEquals([...await news.of([one, other], alone)], ["a", "b"], "a count does not say of which");
});

test("a node that is away or not ready is no news, and a refusal may be", async () => {
  const stream = streamOf("orders", numbers(3));
  const away = new UnreachableError({ name: "h:1", failure: undefined } as Destination);
  for (
    const [error, isNews] of [
      [away, false],
      [new RedisError("CLUSTERDOWN x", { command: "TYPE" }), false],
      [new RedisError("NOPERM x", { command: "TYPE" }), true],
    ] as const
  ) {
    const servers = new Keys(keysOf(stream));
    servers.errors.set("orders:3", error);
    assertEquals((await new ShardNews().of([stream], servers)).size > 0, isNews, error.message);
  }
});

test("of scattered plain keys a few are asked whether they have entries, or are missing, at a time", async () => {
  const streamKeys = numbers(20).map((at) => `plain${at}`);
  const servers = new Keys(["plain7", "plain19"]);
  const bare = new BareStreams(streamKeys);
  for (let turn = 0; turn < 5; turn++) {
    await bare.askForEntries(streamKeys, servers);
    assertEquals(servers.takeAsked().length, 4);
  }
  assertEquals(streamKeys.filter((key) => !bare.has(key)), ["plain7", "plain19"]);
  servers.types.delete("plain7");
  const rest = [...numbers(20).map((at) => `other${at}`), "plain7", "plain19"];
  for (const key of rest.slice(0, 20)) servers.types.set(key, "stream");
  for (let turn = 0; turn < 6; turn++) {
    await bare.lookForMissing(rest, servers);
    assertLessOrEqual(servers.takeAsked().length, 4);
  }
  assertEquals(rest.filter((key) => bare.has(key)), ["plain7"]);
});
