// Tests ranges of any size: page by page, ahead of the loop, merged over shards, and their state after the loop ends,
// aborts, or loses its connection.

import { assert, assertEquals, assertLessOrEqual, assertRejects, assertStrictEquals, assertThrows } from "@std/assert";
import { connect, type Manager, type Message, StreamerError } from "../../../mod.ts";
import { freshSeed, Random } from "../../support/resp/drive.ts";
import { addEach, addMany, addVeryMany, countOf, Monitor, texts } from "../../support/consumer/reading.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { MemoryWatch } from "../../support/memory.ts";
import { startProxy } from "../../support/network/proxy.ts";
import { PROXIED } from "../../support/one_server.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();
const MIB = 1024 * 1024;
const reconnect = { initialDelay: 5, maxDelay: 20 };

async function textsOf(messages: AsyncIterable<Message>): Promise<string[]> {
  const found: string[] = [];
  for await (const message of messages) found.push(message.text());
  return found;
}

/** Reads messages one by one until the end. */
async function countAll(messages: AsyncIterable<Message>): Promise<number> {
  let count = 0;
  for await (const _ of messages) count++;
  return count;
}

test("a range is complete and in order, in growing pages, the next one requested during the loop", async () => {
  const key = uniqueKey();
  await addVeryMany(server, key, 5_000);
  await using monitor = await Monitor.open(server);
  await using streamer = await connect(server.url);
  const manager = await streamer.createManager();
  const iterator = manager.rangeAll(key, "-", "+")[Symbol.asyncIterator]();
  const first = await iterator.next();
  await until(() => monitor.count("XRANGE", key) === 2, { what: "the second page is requested" });
  assertEquals(first.done === true ? "" : first.value.text(), "0");
  await monitor.settled(server);
  assertEquals(monitor.count("XRANGE", key), 2);
  const rest: string[] = [];
  for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) rest.push(next.value.text());
  assertEquals(rest, texts(4_999, "", 1));
  await monitor.settled(server);
  assertEquals(monitor.of("XRANGE", key).map(countOf), [1, 100, 200, 400, 800, 1000, 1000, 1000, 1000]);
  assertEquals(await iterator.next(), { value: undefined, done: true });
});

test("a page has at most pageSize messages", async () => {
  const key = uniqueKey();
  await addVeryMany(server, key, 50);
  await using monitor = await Monitor.open(server);
  await using streamer = await connect(server.url);
  const manager = await streamer.createManager();
  assertEquals(await textsOf(manager.rangeAll(key, "-", "+", { pageSize: 20 })), texts(50));
  await monitor.settled(server);
  assertEquals(monitor.of("XRANGE", key).map(countOf), [1, 20, 20, 20]);
});

test("each loop starts from the beginning, and no command is sent before", async () => {
  const key = uniqueKey();
  await using streamer = await connect(server.url);
  const manager = await streamer.createManager();
  const range = manager.rangeAll(key, "-", "+");
  assertEquals(await textsOf(range), []);
  await addMany(server, key, 3);
  assertEquals([await textsOf(range), await textsOf(range)], [texts(3), texts(3)]);
});

test("concurrent calls are answered in their order, each message once", async () => {
  const key = uniqueKey();
  await addMany(server, key, 250);
  await using streamer = await connect(server.url);
  const manager = await streamer.createManager();
  const iterator = manager.rangeAll(key, "-", "+", { pageSize: 7 })[Symbol.asyncIterator]();
  const results = await Promise.all(Array.from({ length: 260 }, () => iterator.next()));
  const seen = results.flatMap((result) => result.done === true ? [] : [result.value.text()]);
  assertEquals([seen, results.findIndex(({ done }) => done === true)], [texts(250), 250]);
});

test("entries added during the loop are included, up to the end of the range", async () => {
  const key = uniqueKey();
  await addEach(server, Array.from({ length: 100 }, (_, i) => ["XADD", key, `1-${i}`, "msg", `${i}`]));
  await using streamer = await connect(server.url);
  const manager = await streamer.createManager();
  let count = 0;
  for await (const message of manager.rangeAll(key, "-", "3-0", { pageSize: 10 })) {
    if (message.id === "1-50") {
      await addEach(server, [["XADD", key, "2-0", "msg", "x"], ["XADD", key, "4-0", "msg", "y"]]);
    }
    count++;
  }
  assertEquals(count, 101);
});

test("a stream that is deleted during the loop ends the loop", async () => {
  const key = uniqueKey();
  await addMany(server, key, 100);
  await using streamer = await connect(server.url);
  const manager = await streamer.createManager();
  const seen: string[] = [];
  for await (const message of manager.rangeAll(key, "-", "+", { pageSize: 10 })) {
    if (seen.push(message.text()) === 1) await server.command("DEL", key);
  }
  assertLessOrEqual(seen.length, 20);
});

test("any number of messages needs the same memory", async () => {
  const key = uniqueKey();
  const script = "for i = 1, ARGV[1] do redis.call('XADD', KEYS[1], '*', 'msg', ARGV[2]) end";
  for (let i = 0; i < 10; i++) await server.command("EVAL", script, 1, key, 10_000, "x".repeat(1_000));
  await using streamer = await connect(server.url);
  const manager = await streamer.createManager();
  for (let i = 0; i < 2; i++) assertEquals(await countAll(manager.rangeAll(key, "-", "+")), 100_000); // buffers exist
  const memory = new MemoryWatch();
  let count = 0;
  for (let i = 0; i < 4; i++) {
    for await (const message of manager.rangeAll(key, "-", "+")) {
      if (message.bytes().length !== 1_000) throw new Error("A payload is not whole");
      if (++count % 50_000 === 0) memory.sample();
    }
  }
  assertEquals(count, 400_000);
  assert(memory.growth < 96 * MIB, `${Math.round(memory.growth / MIB)} MiB more for 400 MB`);
  await server.command("DEL", key);
}, { timeout: 120_000 });

test("pages follow the size of entries, so that few exceed the limit of replies, and nothing is lost", async () => {
  const key = uniqueKey();
  const sizes = Array.from({ length: 400 }, (_, i) => i < 200 ? 10 : 4_000);
  await addEach(server, sizes.map((size, i) => ["XADD", key, "*", "msg", `${i}`.padEnd(size, "x")]));
  await using streamer = await connect(server.url, { limits: { reply: 65_536 }, reconnect });
  let cuts = 0;
  streamer.addEventListener("disconnect", () => cuts++);
  const manager = await streamer.createManager();
  let next = 0;
  for await (const message of manager.rangeAll(key, "-", "+")) {
    assertEquals(message.bytes().length, Math.max(sizes[next], `${next}`.length));
    assertEquals(parseInt(message.text(), 10), next++);
  }
  assertEquals(next, 400);
  assertLessOrEqual(cuts, 12); // 400 to 12 are five, and some space for the same again
  assertEquals((await manager.range(key, "-", "+", { reverse: true })).length, 400);
});

test("large entries are requested a few at a time, so that other commands do not wait for long", async () => {
  const key = uniqueKey();
  await addEach(server, Array.from({ length: 200 }, () => ["XADD", key, "*", "msg", "x".repeat(200_000)]));
  await using monitor = await Monitor.open(server);
  await using streamer = await connect(server.url);
  const manager = await streamer.createManager();
  assertEquals(await countAll(manager.rangeAll(key, "-", "+")), 200);
  await monitor.settled(server);
  const [first, ...counts] = monitor.of("XRANGE", key).map(countOf);
  assertEquals([first, new Set(counts)], [1, new Set([10])]);
  await server.command("DEL", key);
});

test("very large entries are requested one at a time from the start, and none ahead", async () => {
  const key = uniqueKey();
  await addEach(server, Array.from({ length: 12 }, () => ["XADD", key, "*", "msg", "x".repeat(3 * MIB)]));
  await using monitor = await Monitor.open(server);
  await using streamer = await connect(server.url);
  const manager = await streamer.createManager();
  let count = 0;
  for await (const _ of manager.rangeAll(key, "-", "+", { pageSize: 1_000 })) {
    await monitor.settled(server);
    assertEquals(monitor.count("XRANGE", key), ++count);
  }
  assertEquals(count, 12);
  assertEquals(new Set(monitor.of("XRANGE", key).map(countOf)), new Set([1]));
  await server.command("DEL", key);
});

test("of many shards with large entries one entry each is kept, and none ahead", async () => {
  const key = uniqueKey();
  const shards = Array.from({ length: 32 }, (_, shard) => `${key}:${shard}`);
  for (const shard of shards) {
    await addEach(server, ["1-0", "2-0", "3-0"].map((id) => ["XADD", shard, id, "msg", "x".repeat(MIB)]));
  }
  await using monitor = await Monitor.open(server);
  await using streamer = await connect(server.url);
  const manager = await streamer.createManager();
  const iterator = manager.rangeAll(key, "-", "+", { sharded: true })[Symbol.asyncIterator]();
  await iterator.next();
  await monitor.settled(server);
  assertEquals(shards.flatMap((shard) => monitor.of("XRANGE", shard).map(countOf)), shards.map(() => 1));
  let count = 1;
  while (!(await iterator.next()).done) count++;
  assertEquals(count, 96);
  await server.command("DEL", ...shards);
});

test("a single entry over the limit ends the loop, after all messages before it", async () => {
  const key = uniqueKey();
  await addEach(server, [["XADD", key, "*", "msg", "a"], ["XADD", key, "*", "msg", "x".repeat(100_000)]]);
  await using streamer = await connect(server.url, { limits: { reply: 65_536 }, reconnect });
  const manager = await streamer.createManager();
  const seen: string[] = [];
  const error = await assertRejects(async () => {
    for await (const message of manager.rangeAll(key, "-", "+")) seen.push(message.text());
  }, StreamerError);
  assertEquals([error.code, seen], ["PROTOCOL", ["a"]]);
  assertEquals(await manager.length(key), 2);
});

test("shards are merged in the order of their ids, whatever they hold and however they are paged", async () => {
  const seed = freshSeed();
  const random = new Random(seed);
  await using streamer = await connect(server.url);
  const manager = await streamer.createManager();
  for (let round = 0; round < 12; round++) {
    const key = uniqueKey();
    const numbers = Array.from({ length: 1 + random.below(9) }, (_, i) => i * (1 + random.below(3)));
    const shards = [...new Set(numbers)];
    const model: { readonly time: number; readonly seq: number; readonly shard: number }[] = [];
    const commands: string[][] = [];
    for (const shard of shards) {
      let [time, seq] = [1 + random.below(20), 0];
      for (let left = random.below(120); left >= 0; left--) {
        model.push({ time, seq, shard });
        commands.push(["XADD", `${key}:${shard}`, `${time}-${seq}`, "msg", `${shard}`]);
        if (random.once(2)) seq++;
        else [time, seq] = [time + 1 + random.below(12), 0];
      }
    }
    await addEach(server, commands);
    model.sort((a, b) => a.time - b.time || a.seq - b.seq || a.shard - b.shard);
    const [from, to] = [random.below(40), 40 + random.below(500)];
    const expected = model.filter(({ time }) => time >= from && time <= to)
      .map(({ time, seq, shard }) => [`${time}-${seq}`, shard]);
    const pageSize = 1 + random.below(30);
    const all = { sharded: true, pageSize } as const;
    const seen: unknown[] = [];
    for await (const message of manager.rangeAll(key, BigInt(from), new Date(to), all)) {
      seen.push([message.id, message.shardId]);
    }
    assertEquals(seen, expected, `seed ${seed}, round ${round}`);
    const count = 1 + random.below(50);
    const last = await manager.range(key, BigInt(from), new Date(to), { sharded: true, reverse: true, count });
    assertEquals(
      last.map(({ id, shardId }) => [id, shardId]),
      expected.toReversed().slice(0, count),
      `seed ${seed}, round ${round}, reversed`,
    );
  }
});

test("leaving the loop ends its commands: nothing waits, and later loops work", async () => {
  const key = uniqueKey();
  await addMany(server, key, 500);
  await using proxy = await startProxy(server);
  await using streamer = await connect(proxy.url, { reconnect });
  const manager = await streamer.createManager();
  for await (const message of manager.rangeAll(key, "-", "+", { pageSize: 10 })) {
    if (message.text() === "1") proxy.toClient.hold(); // the next page does not arrive
    if (message.text() === "3") break;
  }
  const iterator = manager.rangeAll(key, "-", "+")[Symbol.asyncIterator]();
  const waiting = iterator.next();
  assertEquals(await iterator.return?.(), { value: undefined, done: true });
  assertEquals(await waiting, { value: undefined, done: true });
  assertEquals(await iterator.next(), { value: undefined, done: true });
  proxy.toClient.release();
  assertEquals((await textsOf(manager.rangeAll(key, "-", "+"))).length, 500);
}, { oneServer: PROXIED });

test("an abort ends the loop with the signal's reason, within a page and while one is in flight", async () => {
  const key = uniqueKey();
  await addMany(server, key, 500);
  await using proxy = await startProxy(server);
  await using streamer = await connect(proxy.url, { reconnect });
  const manager = await streamer.createManager();
  const reason = new Error("enough");
  const inPage = new AbortController();
  let count = 0;
  const caught = await assertRejects(async () => {
    for await (const _ of manager.rangeAll(key, "-", "+", { signal: inPage.signal })) {
      if (++count === 5) inPage.abort(reason);
    }
  });
  assertStrictEquals(caught, reason);
  assertEquals(count, 5);
  const onItsWay = new AbortController();
  proxy.toClient.hold();
  const { signal } = onItsWay;
  const waiting = manager.rangeAll(key, "-", "+", { signal, sharded: true })[Symbol.asyncIterator]().next();
  const given = manager.range(key, "-", "+", { signal });
  const told = manager.info(key, { signal });
  onItsWay.abort(reason);
  for (const one of [waiting, given, told]) assertStrictEquals(await assertRejects(() => one), reason);
  for (const late of [manager.range(key, "-", "+", { signal }), manager.length(key, { signal })]) {
    assertStrictEquals(await assertRejects(() => late), reason);
  }
  proxy.toClient.release();
  assertEquals(await manager.length(key), 500);
}, { oneServer: PROXIED });

test("after a lost connection, at any byte, the loop resumes without a missing or repeated message", async () => {
  const key = uniqueKey();
  await addMany(server, key, 400);
  await using proxy = await startProxy(server);
  await using streamer = await connect(proxy.url, { reconnect });
  const manager = await streamer.createManager();
  for (const bytes of [1, 700, 5_000, 9_999]) {
    const before = proxy.connections;
    const seen: string[] = [];
    for await (const message of manager.rangeAll(key, "-", "+", { pageSize: 50 })) {
      if (seen.push(message.text()) === 20) proxy.toClient.cutAfter(bytes);
    }
    assertEquals(seen, texts(400), `cut after ${bytes}`);
    assert(proxy.connections > before, `it was cut after ${bytes}`);
  }
}, { oneServer: PROXIED });

test("options are checked at the call", async () => {
  await using streamer = await connect(server.url);
  const manager = await streamer.createManager();
  const wrong: readonly unknown[] = [{ pageSize: 0 }, { pageSize: 1.5 }, { count: 1 }, { shardId: 0, sharded: true }];
  for (const options of wrong) {
    // as: a value that a program without types may pass
    const call = () => manager.rangeAll("k", "-", "+", options as Parameters<Manager["rangeAll"]>[3]);
    assertEquals(assertThrows(call, StreamerError).code, "INVALID_OPTION", JSON.stringify(options));
  }
  assertEquals(assertThrows(() => manager.rangeAll("k", "x", "+"), StreamerError).code, "INVALID_OPTION");
  assertEquals(assertThrows(() => manager.rangeAll("", "-", "+"), StreamerError).code, "INVALID_STREAM_KEY");
});

test("disconnecting ends the loop", async () => {
  const key = uniqueKey();
  await addMany(server, key, 100);
  const streamer = await connect(server.url);
  const manager = await streamer.createManager();
  const error = await assertRejects(async () => {
    for await (const _ of manager.rangeAll(key, "-", "+", { pageSize: 5 })) await streamer.disconnect();
  }, StreamerError);
  assertEquals(error.code, "DISCONNECTED");
});
