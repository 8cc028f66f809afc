// Tests how trims of a stream's shards are combined, and the result if one is refused or none may be discovered.

import { assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { RedisError } from "../../../resp/errors.ts";
import type { Command } from "../../../resp/connection/command.ts";
import { findAllShards } from "../../../streamer/cluster/shards.ts";
import { type TrimServers, trimStream } from "../../../streamer/producer/trimming.ts";
import { array, bulk, standing } from "../commands/frames.ts";
import { test } from "../../support/runner.ts";

/** Servers with these streams, which remove the given number of entries of each, and refuse with the given error. */
function serversWith(streams: Readonly<Record<string, number | Error>>, scan?: Error) {
  const asked: string[] = [];
  const reply = ([name, key]: readonly string[]): string => {
    if (name === "SCAN") return array(bulk("0"), array(...Object.keys(streams).map(bulk)));
    if (name === "TYPE") return `+${key in streams ? "stream" : "none"}\r\n`;
    if (name === "XLEN") return ":0\r\n"; // a pass removes all
    return `:${streams[key] ?? 0}\r\n`;
  };
  const run = <T>(command: Command<T>): Promise<T> => {
    const words = command.args.map(String);
    asked.push(words.join(" "));
    const refusal = words[0] === "SCAN" ? scan : streams[words[1]];
    if (refusal instanceof Error) return Promise.reject(refusal);
    return Promise.resolve(command.read(standing(reply(words))));
  };
  const servers: TrimServers = {
    run,
    findShards: (streamKeys) => findAllShards(streamKeys, { run, slotOf: () => 0, scanAll: (scan) => scan(run) }),
    signal: undefined,
  };
  return { servers, trims: () => asked.filter((words) => words.startsWith("XTRIM")), asked };
}

const cut = { target: { maxLength: 5 }, exact: false, sharded: true };

test("every shard that is found is trimmed, and the sum is returned", async () => {
  const { servers, trims } = serversWith({ "a:0": 3, "a:1": 0, "a:12": 40 });
  assertEquals(await trimStream("a", servers, cut), 43);
  assertEquals(trims(), ["a:0", "a:1", "a:12"].map((key) => `XTRIM ${key} MAXLEN ~ 5`));
});

test("if shards exist, the plain key is not trimmed; if none exists, it is", async () => {
  const both = serversWith({ "a": 100, "a:3": 2 });
  assertEquals(await trimStream("a", both.servers, cut), 2);
  assertEquals(both.trims(), ["XTRIM a:3 MAXLEN ~ 5"]);
  const plain = serversWith({ "a": 100 });
  assertEquals(await trimStream("a", plain.servers, { ...cut, target: { minId: "7-0" }, exact: true }), 100);
  assertEquals(plain.trims(), ["XTRIM a MINID = 7-0"]);
  const nothing = serversWith({});
  assertEquals(await trimStream("a", nothing.servers, cut), 0);
});

test("an approximate trim repeats passes in each shard until nothing is removed; an exact one is one pass", async () => {
  const left: Record<string, number> = { "a:0": 23_000, "a:1": 10_000, "a:2": 400 };
  const counted = new Map<string, number>();
  const { servers } = serversWith(left);
  const passing: TrimServers = {
    ...servers,
    run: async (command) => {
      const key = String(command.args[1]);
      if (command.args[0] === "XLEN") return command.read(standing(`:${left[key]}\r\n`));
      if (command.args[0] !== "XTRIM") return await servers.run(command);
      counted.set(key, (counted.get(key) ?? 0) + 1);
      const removed = Math.min(left[key], 10_000);
      left[key] -= removed;
      return command.read(standing(`:${removed}\r\n`));
    },
  };
  assertEquals(await trimStream("a", passing, cut), 33_400);
  assertEquals([...counted], [["a:0", 3], ["a:1", 1], ["a:2", 1]]); // no pass if the remaining entries are to stay
  counted.clear();
  assertEquals(await trimStream("a", passing, { ...cut, exact: true }), 0);
  assertEquals([...counted.values()], [1, 1, 1]);
});

test("an unsharded stream is trimmed in its plain key, without discovery", async () => {
  const { servers, asked } = serversWith({ "a": 4, "a:0": 100 });
  assertEquals(await trimStream("a", servers, { ...cut, sharded: false }), 4);
  assertEquals(asked, ["XTRIM a MAXLEN ~ 5", "XLEN a"]);
});

test("if one shard is refused the others are trimmed before the error is thrown", async () => {
  const refusal = new RedisError("WRONGTYPE no", { command: "XTRIM" });
  const { servers, trims } = serversWith({ "a:0": 1, "a:1": refusal, "a:2": 1 });
  let left = 0;
  const slow: TrimServers = {
    ...servers,
    run: async (command) => {
      if (command.args[0] !== "XTRIM" || command.args[1] === "a:1") return await servers.run(command);
      left++;
      await new Promise((resolve) => setTimeout(resolve, 5));
      left--;
      return await servers.run(command);
    },
  };
  assertStrictEquals(await assertRejects(() => trimStream("a", slow, cut), RedisError), refusal);
  assertEquals([left, trims().length], [0, 3]);
});

test("if discovery is forbidden, nothing is trimmed, and the error is thrown", async () => {
  const forbidden = new RedisError("NOPERM no", { command: "SCAN" });
  const { servers, trims } = serversWith({ "a": 1, "a:0": 1 }, forbidden);
  assertStrictEquals(await assertRejects(() => trimStream("a", servers, cut), RedisError), forbidden);
  assertEquals(trims(), []);
});
