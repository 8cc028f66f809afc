// Tests how the shards of a stream are found among the keys of its servers: which keys count, which only look alike,
// and forbidden commands.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { RedisError, StreamerError } from "../../../resp/errors.ts";
import type { Command } from "../../../resp/connection/command.ts";
import type { Destination } from "../../../resp/connection/destination.ts";
import { UnreachableError } from "../../../resp/connection/lane.ts";
import {
  findShards,
  isPlainStream,
  missingShards,
  probeShards,
  type RunCommand,
} from "../../../streamer/cluster/shards.ts";
import { globOf } from "../../../streamer/commands/scan.ts";
import { array, bulk, standing } from "../commands/frames.ts";
import { test } from "../../support/runner.ts";

interface FakeServer {
  readonly run: RunCommand;
  readonly slotOf: () => number;
  readonly asked: string[][];
}

/**
 * A server with these streams, which returns two keys at a time, repeats the last one, and has an empty page in
 * between.
 */
function serverWith(streams: readonly string[], forbidden: readonly string[] = []): FakeServer {
  const asked: string[][] = [];
  const reply = ([name, first, ...rest]: string[]): string => {
    if (name === "EXISTS") return `:${[first, ...rest].filter((key) => streams.includes(key)).length}\r\n`;
    if (name === "TYPE") return streams.includes(first) ? "+stream\r\n" : "+none\r\n";
    const prefix = rest[rest.indexOf("MATCH") + 1].slice(0, -1).replace(/\\(.)/g, "$1");
    const from = Number(first) >> 1;
    const keys = streams.slice(Math.max(0, from * 2 - 1), from * 2 + 2).filter((key) => key.startsWith(prefix));
    const empty = Number(first) % 2 === 1; // an empty page with a cursor before the next full one
    const next = empty ? Number(first) + 1 : from * 2 + 2 >= streams.length ? 0 : Number(first) + 1;
    return array(bulk(String(next)), array(...(empty ? [] : keys).map(bulk)));
  };
  const run = <T>(command: Command<T>): Promise<T> => {
    const words = command.args.map(String);
    asked.push(words);
    if (forbidden.includes(words[0]) || forbidden.includes(words.slice(0, 2).join(" "))) {
      return Promise.reject(new RedisError("NOPERM no", { command: words[0] }));
    }
    return Promise.resolve(command.read(standing(reply(words))));
  };
  return { run, slotOf: () => 0, asked };
}

type Scan = (run: RunCommand) => Promise<void>;

const alone = (server: FakeServer) => ({ run: server.run, slotOf: () => 0, scanAll: (scan: Scan) => scan(server.run) });

test("streams named key:N are shards, in the order of their numbers; similar keys are not", async () => {
  const lookAlikes = [
    "a:01",
    "a:",
    "a:-1",
    "a:1.5",
    "a:x",
    "a:1:2",
    "a:9007199254740993",
    "a:99999999999999999999",
    "ab:3",
  ];
  const server = serverWith(["a:10", ...lookAlikes, "a:9", "a:0", "b:4", "a:9007199254740991"]);
  assertEquals(await findShards("a", alone(server)), { numbers: [0, 9, 10, 9007199254740991], plain: false });
  assertEquals(server.asked[0], ["SCAN", "0", "MATCH", "a:*", "COUNT", "1000", "TYPE", "stream"]);
  assert(server.asked.filter(([name]) => name === "SCAN").length > 5, "it followed the cursor");
});

test("every primary is queried, and a shard that two of them return counts once", async () => {
  const [one, other] = [serverWith(["a:1", "a:0"]), serverWith(["a:1", "a:2", "a"])];
  const scanAll = async (scan: Scan) => void await Promise.all([one.run, other.run].map(scan));
  const found = await findShards("a", { run: other.run, slotOf: () => 0, scanAll });
  assertEquals(found, { numbers: [0, 1, 2], plain: true });
});

test("without shards the result says nothing about the plain key", async () => {
  const server = serverWith(["a", "a:b"]);
  assertEquals(await findShards("a", alone(server)), { numbers: [], plain: undefined });
});

test("if SCAN or TYPE is forbidden no shards are found", async () => {
  for (const command of ["SCAN", "TYPE"]) {
    for (const streams of [["a:1", "a"], ["a"]]) {
      const found = await findShards("a", alone(serverWith(streams, [command])));
      assertEquals([found.numbers, found.plain, found.forbidden?.code], [[], undefined, "NOPERM"]);
    }
  }
});

test("a user with rights for the shards and not for the plain key finds them, and nothing about the plain key", async () => {
  assertEquals(await findShards("a", alone(serverWith(["a:1", "a"], ["TYPE a"]))), { numbers: [1], plain: undefined });
  const other = await findShards("a", alone(serverWith(["a:1", "a"], ["TYPE a:1"])));
  assertEquals([other.numbers, other.forbidden?.code], [[], "NOPERM"]);
});

test("a server without SCAN by type, or without the keys, has no shards", async () => {
  const refusing = (text: string) => <T>({ args }: Command<T>) =>
    Promise.reject<T>(new RedisError(text, { command: String(args[0]) }));
  for (const text of ["ERR syntax error", "ERR unknown command 'SCAN'", "MOVED 1 10.0.0.1:6379"]) {
    const run: RunCommand = refusing(text);
    assertEquals(
      (await findShards("a", { run, slotOf: () => 0, scanAll: (scan) => scan(run) })).forbidden?.message,
      text,
    );
  }
  const run: RunCommand = refusing("LOADING later");
  const error = await assertRejects(
    () => findShards("a", { run, slotOf: () => 0, scanAll: (scan) => scan(run) }),
    RedisError,
  );
  assertEquals(error.code, "LOADING");
});

test("later looks query single keys if EXISTS is forbidden, and reject if TYPE is as well", async () => {
  assertEquals(await probeShards("a", [1], serverWith(["a:1", "a:3"], ["EXISTS"])), [3]);
  assertEquals(await missingShards("a", [1, 2], serverWith(["a:1"], ["EXISTS"])), [2]);
  for (const look of [probeShards, missingShards]) {
    const error = await assertRejects(() => look("a", [1], serverWith(["a:1"], ["EXISTS", "TYPE"])), RedisError);
    assertEquals(error.code, "NOPERM");
  }
});

test("a later look costs one command while nothing changes", async () => {
  const server = serverWith(["a:0", "a:1"]);
  assertEquals([await probeShards("a", [0, 1], server), await missingShards("a", [0, 1], server)], [[], []]);
  assertEquals(server.asked.map(([name, ...keys]) => [name, keys.length]), [["EXISTS", 16], ["EXISTS", 2]]);
});

test("keys of several slots are asked for one by one", async () => {
  const server = serverWith(["a:0", "a:1", "a:2", "a:5"]);
  const servers = { ...server, slotOf: (redisKey: string) => Number(redisKey.slice(2)) % 3 };
  assertEquals(await probeShards("a", [0, 1, 2], servers), [5]);
  assertEquals(await missingShards("a", [0, 1, 2, 4], servers), [4]);
  assertEquals(server.asked.map(([name, ...keys]) => `${name} ${keys.length}`), Array(16 + 3 + 4).fill("TYPE 1"));
});

test("a server that is away does not hide the shards of others", async () => {
  const server = serverWith(["a:0", "a:3", "a:4"]);
  const run: RunCommand = (command) => {
    if (command.key !== "a:3") return server.run(command);
    return Promise.reject(new UnreachableError({ name: "h:1", failure: undefined } as Destination));
  };
  const servers = { run, slotOf: (redisKey: string) => redisKey.length + Number(redisKey.slice(2)) };
  assertEquals(await probeShards("a", [0], servers), [4]);
  assertEquals(await missingShards("a", [0, 3, 5], servers), [5]);
});

test("known shards without a key are missing", async () => {
  const server = serverWith(["a:0", "a:7"]);
  assertEquals(await missingShards("a", [0, 5, 7, 9], server), [5, 9]);
  assertEquals(server.asked.length, 5);
  assertEquals(await isPlainStream("a", server), false);
  assertEquals(await isPlainStream("a", serverWith(["a"])), true);
  assertEquals(await isPlainStream("a", serverWith(["a"], ["TYPE"])), undefined);
});

test("more than 1,024 shards are refused, 1,024 are not", async () => {
  const most = Array.from({ length: 1_024 }, (_, shard) => `a:${shard}`);
  assertEquals((await findShards("a", alone(serverWith(most)))).numbers.length, 1_024);
  const error = await assertRejects(() => findShards("a", alone(serverWith([...most, "a:5000"]))), StreamerError);
  assertEquals(error.code, "INVALID_OPTION");
  const known = most.map((_, shard) => shard);
  const more = await assertRejects(() => probeShards("a", known, serverWith([...most, "a:1024"])), StreamerError);
  assertEquals(more.code, "INVALID_OPTION");
});

test("later shards are found after the highest, in its gaps, and as long as there are more", async () => {
  const streams = ["a:0", "a:2", "a:5", "a:18", "a:34", "a:51", "a:1000", "a"];
  assertEquals(await probeShards("a", [2], serverWith(streams)), [0, 5, 18, 34]); // 51 is 17 after 34
  assertEquals(await probeShards("a", [], serverWith(["a:16", "a:15"])), [15, 16]);
  assertEquals(await probeShards("a", [], serverWith(["a"])), []);
  assertEquals(await probeShards("a", [0, 2, 5], serverWith(["a:0", "a:2", "a:5"])), []);
});

test("a distant number does not cause queries for all numbers below it", async () => {
  const server = serverWith(["a:20260101", "a:20260103"]);
  assertEquals(await probeShards("a", [20260101], server), [20260103]);
  assert(server.asked.length < 1_100, String(server.asked.length));
  assertEquals(await probeShards("a", [Number.MAX_SAFE_INTEGER], serverWith([])), []);
});

test("a glob matches its text alone", () => {
  assertEquals(globOf("a*b?[c]\\^d"), "a\\*b\\?\\[c\\]\\\\\\^d");
  assertEquals(globOf("{a}:b/c-d_e.f"), "{a}:b/c-d_e.f");
});
