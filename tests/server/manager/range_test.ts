// Tests ranges as arrays: their bounds in both formats of time, their order, their size, and their content.

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { connect, type Manager, type RangeBound, type RangeStart, StreamerError } from "../../../mod.ts";
import { addAt, addEach, addMany, addVeryMany, texts } from "../../support/consumer/reading.ts";
import { uniqueKey } from "../../support/keys.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();
const MAX = 2n ** 64n - 1n;

async function idsOf(
  manager: Manager,
  key: string,
  [start, end]: readonly [RangeStart, RangeBound],
  options: { readonly count?: number; readonly reverse?: boolean } = {},
): Promise<string[]> {
  return (await manager.range(key, start, end, options)).map(({ id }) => id);
}

async function streamOf(ids: readonly string[]): Promise<string> {
  const key = uniqueKey();
  await addEach(server, ids.map((id) => ["XADD", key, id, "msg", id]));
  return key;
}

test("in milliseconds both bounds are included, with all entries of a millisecond, and `after` starts after them", async () => {
  const ids = ["999-7", "1000-0", "1000-1", `1000-${MAX}`, "1001-0", "1002-0", "1002-5", "1003-0"];
  const key = await streamOf(ids);
  await using streamer = await connect(server.url);
  const manager = await streamer.createManager();
  const cases: readonly [RangeStart, RangeBound, number, number][] = [
    ["-", "+", 0, 8],
    [new Date(1000), new Date(1002), 1, 7],
    [1000n, 1002n, 1, 7],
    [new Date(1000), new Date(1000), 1, 4],
    [{ after: new Date(1000) }, new Date(1002), 4, 7],
    [{ after: 1000n }, "+", 4, 8],
    [{ after: new Date(1003) }, "+", 8, 8],
    ["1000-1", "1002-4", 2, 6],
    ["1000-2", `1000-${MAX}`, 3, 4],
    ["-", "1000-0", 0, 2],
    [new Date(0), 999n, 0, 1],
    ["1003-1", "+", 8, 8],
  ];
  for (const [start, end, from, to] of cases) {
    const wanted = ids.slice(from, to);
    assertEquals(await idsOf(manager, key, [start, end]), wanted, String([start, end]));
    assertEquals(await idsOf(manager, key, [start, end], { reverse: true }), wanted.toReversed(), String([start, end]));
  }
});

test("in nanoseconds a Date stands for all of its millisecond, a bigint for its nanosecond", async () => {
  const ids = ["1999999-0", "2000000-0", "2000000-3", "2999999-9", "3000000-0", "3000001-0"];
  const key = await streamOf(ids);
  await using streamer = await connect(server.url, { timestampFormat: "nanoseconds" });
  const manager = await streamer.createManager();
  const cases: readonly [RangeStart, RangeBound, number, number][] = [
    [new Date(2), new Date(2), 1, 4],
    [new Date(2), new Date(3), 1, 6],
    [2_000_000n, 2_000_000n, 1, 3],
    [{ after: 2_000_000n }, 3_000_000n, 3, 5],
    [{ after: new Date(2) }, "+", 4, 6],
    ["-", new Date(1), 0, 1],
  ];
  for (const [start, end, from, to] of cases) {
    assertEquals(await idsOf(manager, key, [start, end]), ids.slice(from, to), String([start, end]));
  }
  const [first] = await manager.range(key, "-", "+", { count: 1 });
  assertEquals([first.timestamp, first.timestampNs], [new Date(1), 1_999_999n]);
});

test("the very first and the very last id can be read, in both directions", async () => {
  const ids = ["0-1", `${MAX}-0`, `${MAX}-${MAX}`];
  const key = await streamOf(ids);
  await using streamer = await connect(server.url);
  const manager = await streamer.createManager();
  assertEquals(await idsOf(manager, key, ["-", "+"]), ids);
  assertEquals(await idsOf(manager, key, ["-", "+"], { reverse: true }), ids.toReversed());
  assertEquals(await idsOf(manager, key, ["+", "+"]), ids.slice(2));
  assertEquals(await idsOf(manager, key, [{ after: MAX }, "+"]), []);
  assertEquals(await idsOf(manager, key, ["-", "-"]), []);
  assertEquals(await idsOf(manager, key, [MAX, MAX]), ids.slice(1));
});

test("a start after the end and a missing stream give an empty array", async () => {
  const key = await streamOf(["1-0", "2-0"]);
  await using streamer = await connect(server.url);
  const manager = await streamer.createManager();
  assertEquals(await manager.range(key, "2-0", "1-0"), []);
  assertEquals(await manager.range(key, "+", "-"), []);
  assertEquals(await manager.range(key, new Date(5), new Date(4)), []);
  assertEquals(await manager.range(uniqueKey(), "-", "+"), []);
});

test("`count` limits the messages, over any number of pages, from either end", async () => {
  const key = uniqueKey();
  await addVeryMany(server, key, 3_000);
  await using streamer = await connect(server.url);
  const manager = await streamer.createManager();
  const all = (await manager.range(key, "-", "+")).map((message) => message.text());
  assertEquals(all, texts(3_000));
  for (const count of [1, 2, 99, 100, 101, 1_000, 2_999, 3_000, 3_001]) {
    const some = await manager.range(key, "-", "+", { count });
    assertEquals(some.map((message) => message.text()), texts(Math.min(count, 3_000)), `${count}`);
    const last = await manager.range(key, "-", "+", { count, reverse: true });
    assertEquals(last.map((message) => message.text()), all.toReversed().slice(0, count), `${count} from the end`);
  }
});

test("messages equal those of a real-time consumer", async () => {
  const key = uniqueKey();
  const [id] = await addEach(server, [["XADD", key, "*", "a", "1", "msg", "hello", "b", "2"]]);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { mode: "real-time", autoStreamReset: "earliest" });
  const [ranged] = await (await streamer.createManager()).range(key, "-", "+");
  for (const message of [ranged, await consumer.next(), ranged.copy()]) {
    assertEquals(
      [message.id, message.text(), message.streamKey, message.shardId, message.deliveries],
      [id, "hello", key, 0, 1],
    );
    assertEquals([message.headers.get("a"), message.headers.get("b"), message.headers.size], ["1", "2", 2]);
    assertEquals([message.timestamp.getTime(), message.sequence > 0n], [Number(id.split("-")[0]), true]);
  }
});

test("the payload is in the given field; an entry without it has all of its fields as headers", async () => {
  const key = uniqueKey();
  await addEach(server, [
    ["XADD", key, "1-0", "body", "mine", "msg", "other"],
    ["XADD", key, "2-0", "foreign", "x", "foreign", "y", "", ""],
    ["XADD", key, "3-70000", "body", ""],
  ]);
  await using streamer = await connect(server.url, { messageField: "body" });
  const [mine, foreign, large] = await (await streamer.createManager()).range(key, "-", "+");
  assertEquals([mine.text(), mine.headers.get("msg")], ["mine", "other"]);
  assertEquals([foreign.text(), foreign.headers.getAll("foreign").length, foreign.headers.size], ["", 2, 3]);
  assertEquals([large.id, large.text()], ["3-70000", ""]);
  assertEquals(assertThrows(() => large.sequence, StreamerError).code, "UNSUPPORTED");
});

test("a key is taken literally; a shard is given by its number; all shards are merged in the order of their ids", async () => {
  const key = uniqueKey();
  await addEach(server, [
    ["XADD", key, "1-0", "msg", "plain"],
    ["XADD", `${key}:0`, "1-0", "msg", "a"],
    ["XADD", `${key}:0`, "4-0", "msg", "d"],
    ["XADD", `${key}:3`, "1-0", "msg", "b"],
    ["XADD", `${key}:3`, "5-0", "msg", "e"],
    ["XADD", `${key}:12`, "3-0", "msg", "c"],
    ["XADD", `${key}:12`, "10-0", "msg", "f"],
    ["XADD", `${key}:x`, "2-0", "msg", "no shard"],
  ]);
  await using streamer = await connect(server.url);
  const manager = await streamer.createManager();
  const seen = (messages: Awaited<ReturnType<Manager["range"]>>) =>
    messages.map((message) => [message.streamKey, message.shardId, message.text()]);
  assertEquals(seen(await manager.range(key, "-", "+")), [[key, 0, "plain"]]);
  assertEquals(seen(await manager.range(`${key}:3`, "-", "+")), [[`${key}:3`, 0, "b"], [`${key}:3`, 0, "e"]]);
  assertEquals(seen(await manager.range(key, "-", "+", { shardId: 3 })), [[key, 3, "b"], [key, 3, "e"]]);
  const merged = [[key, 0, "a"], [key, 3, "b"], [key, 12, "c"], [key, 0, "d"], [key, 3, "e"], [key, 12, "f"]];
  assertEquals(seen(await manager.range(key, "-", "+", { sharded: true })), merged);
  assertEquals(seen(await manager.range(key, "-", "+", { sharded: true, reverse: true })), merged.toReversed());
  assertEquals(seen(await manager.range(key, "3-0", "5-0", { sharded: true, count: 2 })), merged.slice(2, 4));
});

test("without shards, sharded: true reads the plain key", async () => {
  const key = uniqueKey();
  await addMany(server, key, 3);
  await using streamer = await connect(server.url);
  const manager = await streamer.createManager();
  assertEquals((await manager.range(key, "-", "+", { sharded: true })).map((message) => message.text()), texts(3));
});

test("an invalid bound or count, or both a shard and all shards, are refused", async () => {
  const key = await streamOf(["1-0"]);
  await using streamer = await connect(server.url);
  const manager = await streamer.createManager();
  const wrong: readonly (readonly unknown[])[] = [
    [key, new Date(NaN), "+"],
    [key, "-", new Date(NaN)],
    [key, { after: new Date(NaN) }, "+"],
    [key, { after: "1-0" }, "+"],
    [key, { before: new Date(1) }, "+"],
    [key, {}, "+"],
    [key, "-", { after: new Date(1) }],
    [key, 5, "+"],
    [key, -1n, "+"],
    [key, "-", MAX + 1n],
    [key, "5", "+"],
    [key, "(5-0", "+"],
    [key, "$", "+"],
    [key, "-", "1-0-0"],
    [key, null, "+"],
    [key, undefined, "+"],
    [key, "-", undefined],
    [key, "-", "+", { count: 0 }],
    [key, "-", "+", { count: -1 }],
    [key, "-", "+", { count: 1.5 }],
    [key, "-", "+", { count: "1" }],
    [key, "-", "+", { reverse: "yes" }],
    [key, "-", "+", { shardId: -1 }],
    [key, "-", "+", { shardId: 0.5 }],
    [key, "-", "+", { shardId: 0, sharded: true }],
    [key, "-", "+", { sharded: 1 }],
    [key, "-", "+", { pageSize: 1 }],
    [key, "-", "+", { signal: "no" }],
    [key, "-", "+", null],
  ];
  for (const args of wrong) {
    // as: a value that a program without types may pass
    const error = await assertRejects(() => manager.range(...args as Parameters<Manager["range"]>), StreamerError);
    assertEquals(error.code, "INVALID_OPTION", String(args));
  }
  const named = await assertRejects(() => manager.range("no key!", "-", "+"), StreamerError);
  assertEquals(named.code, "INVALID_STREAM_KEY");
});

test("a key from scan can be read, and one that is no longer a stream rejects", async () => {
  const key = uniqueKey();
  await server.command("SET", key, "text");
  await using streamer = await connect(server.url);
  const manager = await streamer.createManager();
  const error = await assertRejects(() => manager.range(key, "-", "+"), StreamerError);
  assertEquals(error.code, "WRONGTYPE");
  await server.command("DEL", key);
  await addAt(server, key, "1-0");
  assertEquals((await manager.range(key, "-", "+")).length, 1);
});
