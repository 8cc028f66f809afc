// Tests servers that close a connection instead of sending a page (client-output-buffer-limit, maxmemory-clients):
// reading continues with smaller pages, and does not reach the limit again and again.

import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import { connect, type Message, type RedisStreamer } from "../../../mod.ts";
import { run } from "../../support/cli/running.ts";
import { eventsOf, groupOf, readBy } from "../../support/consumer/grouping.ts";
import { addEach, addMany, Monitor, restUpToMark, take } from "../../support/consumer/reading.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { startProxy } from "../../support/network/proxy.ts";
import { afterAll, test } from "../../support/runner.ts";
import { type Server, startServer } from "../../support/servers/server.ts";

const server = await startServer({ args: ["--client-output-buffer-limit", "normal", "256kb", "0", "0"] });
afterAll(() => server.stop());
const reconnect = { initialDelay: 5, maxDelay: 20 };
const BYTES = 10_000; // of a message: some 25 fit
const COUNT = 120;
const group = "g";
const timeout = 60_000;

async function fill(key: string, { count = COUNT, bytes = BYTES, on = server as Server } = {}): Promise<string[]> {
  const ids: string[] = [];
  for (let at = 0; at < count; at += 100) {
    const some = Array.from(
      { length: Math.min(100, count - at) },
      (_, i) => ["XADD", key, "*", "msg", body(at + i, bytes)],
    );
    ids.push(...await addEach(on, some));
  }
  return ids;
}

function body(i: number, bytes: number): string {
  return `${i} `.padEnd(bytes, "x");
}

function countCuts(streamer: RedisStreamer): () => number {
  const cuts = eventsOf(streamer, "disconnect");
  return () => cuts.length;
}

const idsOf = (messages: readonly Message[]) => messages.map(({ id }) => id);

/** Resolves when so many connections wait for entries. */
async function blocked(count: number): Promise<void> {
  await until(async () => {
    const list = String(await server.command("CLIENT", "LIST"));
    return list.split("\n").filter((line) => /\bflags=[A-Za-z]*b/.test(line)).length === count;
  }, { what: `${count} reads wait`, timeout: 30_000 });
}

const modes = {
  "in real time": { mode: "real-time" },
  "resumable": { mode: "resumable", group, autoCommit: "rolling" },
  "load-balanced": { mode: "load-balanced", group, autoCommit: "rolling", batchSize: 100 },
  "load-balanced, acknowledged by time": { mode: "load-balanced", group, batchSize: 100 },
} as const;

for (const [name, options] of Object.entries(modes)) {
  test(
    `${name}, a page that the server refuses is requested in smaller ones, each message once and in order`,
    async () => {
      const key = uniqueKey();
      const ids = await fill(key);
      await using streamer = await connect(server.url, { reconnect });
      const cuts = countCuts(streamer);
      const consumer = await streamer.createConsumer(key, { ...options, autoStreamReset: "earliest" });
      const messages = await take(consumer, COUNT);
      assertEquals(idsOf(messages), ids);
      assert(messages.every(({ deliveries }) => deliveries === 1));
      assert(cuts() > 0, "the server refuses nothing");
      assertLessOrEqual(cuts(), 20);
      assertEquals(await restUpToMark(server, consumer, key), []);
    },
    { timeout },
  );

  test(`${name}, more is tried later, and seldom if it is refused again`, async () => {
    const key = uniqueKey();
    const count = 3_000;
    const ids = await fill(key, { count, bytes: BYTES / 2 });
    await using streamer = await connect(server.url, { reconnect });
    const cuts = countCuts(streamer);
    const consumer = await streamer.createConsumer(key, { ...options, autoStreamReset: "earliest" });
    await take(consumer, 500);
    const before = cuts();
    assertEquals(idsOf(await take(consumer, count - 500)), ids.slice(500));
    assertLessOrEqual(cuts() - before, 8);
    await server.command("DEL", key);
  }, { timeout });
}

test("the COUNT is halved from the second cut in a row on, and does not grow for now", async () => {
  const key = uniqueKey();
  const ids = await fill(key, { count: 300 });
  await using monitor = await Monitor.open(server);
  await using streamer = await connect(server.url, { reconnect });
  const consumer = await streamer.createConsumer(key, { mode: "real-time", autoStreamReset: "earliest" });
  assertEquals(idsOf(await take(consumer, 300)), ids);
  await monitor.settled(server);
  const counts = monitor.of("XREAD", key).map((words) => Number(words[2]));
  assertEquals(counts.slice(0, 4), [100, 100, 50, 25]);
  assertLessOrEqual(Math.max(...counts.slice(4)), 25);
});

test("of several streams that are too large together, each is read all the same", async () => {
  const keys = [uniqueKey(), uniqueKey(), uniqueKey()];
  const ids = new Map<string, string[]>();
  for (const key of keys) ids.set(key, await fill(key, { count: 3, bytes: 120_000 }));
  await using streamer = await connect(server.url, { reconnect });
  const consumer = await streamer.createConsumer(keys, { mode: "real-time", autoStreamReset: "earliest" });
  const messages = await take(consumer, 9);
  for (const key of keys) assertEquals(idsOf(messages.filter(({ streamKey }) => streamKey === key)), ids.get(key));
  assertEquals(await restUpToMark(server, consumer, ...keys), []);
});

test("pending entries of an earlier run are read in smaller pages, each counted as delivered once more", async () => {
  const key = uniqueKey();
  await server.command("XGROUP", "CREATE", key, group, "0", "MKSTREAM");
  const ids = await fill(key);
  await server.command("XREADGROUP", "GROUP", group, "me", "COUNT", 20, "STREAMS", key, ">"); // entries that fit
  for (let i = 1; i < COUNT / 20; i++) {
    await server.command("XREADGROUP", "GROUP", group, "me", "COUNT", 20, "STREAMS", key, ">");
  }
  await using streamer = await connect(server.url, { reconnect });
  const options = { mode: "resumable", group, consumerId: "me", autoCommit: "rolling" } as const;
  const consumer = await streamer.createConsumer(key, options);
  const messages = await take(consumer, COUNT);
  assertEquals(idsOf(messages), ids);
  assert(messages.every(({ deliveries }) => deliveries === 2), messages.map(({ deliveries }) => deliveries).join());
}, { timeout });

test(
  "idle entries of others are claimed, also if a page of them is refused, and other commands are not affected",
  async () => {
    const { key } = await groupOf(server, group, 0);
    const ids = await fill(key, { count: 60, bytes: 60_000 });
    for (let i = 0; i < 20; i++) await readBy(server, { key, group, consumer: "gone", count: 3 });
    for (let i = 0; i < ids.length; i += 20) {
      await server.command("XCLAIM", key, group, "gone", 0, ...ids.slice(i, i + 20), "IDLE", 3_600_000, "JUSTID");
    }
    await using streamer = await connect(server.url, { reconnect });
    const options = { mode: "load-balanced", group, consumerId: "me", autoCommit: "rolling" } as const;
    const consumer = await streamer.createConsumer(key, { ...options, autoClaimInterval: 20, autoClaimIdle: 10_000 });
    const messages = await take(consumer, 60);
    assertEquals(idsOf(messages).sort(), [...ids].sort());
    assert(messages.every(({ deliveries }) => deliveries === 2));
    for (const message of messages) consumer.ack(message);
    await consumer.end();
    assertEquals(await server.command("XPENDING", key, group), [0, null, null, null]);
  },
  { timeout },
);

test("a range is read in smaller pages, of one stream, backwards, and of shards together", async () => {
  const [key, sharded] = [uniqueKey(), uniqueKey()];
  const ids = await fill(key, { count: 400, bytes: 4_000 });
  const shardIds = [...await fill(`${sharded}:0`, { count: 100 }), ...await fill(`${sharded}:1`, { count: 100 })];
  await using streamer = await connect(server.url, { reconnect });
  const manager = await streamer.createManager();
  const all = async (messages: AsyncIterable<Message>) => idsOf(await Array.fromAsync(messages));
  assertEquals(await all(manager.rangeAll(key, "-", "+", { pageSize: 200 })), ids);
  assertEquals(await all(manager.rangeAll(key, "-", "+")), ids);
  const backwards = await manager.range(key, "-", "+", { reverse: true, count: 300 });
  assertEquals(idsOf(backwards), ids.slice(100).reverse());
  assertEquals(
    (await all(manager.rangeAll(sharded, "-", "+", { sharded: true, pageSize: 50 }))).sort(),
    shardIds.sort(),
  );
}, { timeout });

test("a dump holds all entries that the server did not send in one page", async () => {
  const key = uniqueKey();
  const ids = [...await fill(key, { count: 200, bytes: 100 }), ...await fill(key, { count: 60, bytes: 100_000 })];
  const { code, stdout, stderr } = await run(["dump", key], { env: { REDIS_URL: server.url } });
  assertEquals(code, 0, stderr);
  assertEquals(stdout.trimEnd().split("\n").map((line) => JSON.parse(line).id), ids);
}, { timeout });

test("large first and last entries, which XINFO returns, do not prevent a start at the end", async () => {
  const key = uniqueKey();
  await fill(key, { count: 2, bytes: 200_000 }); // each alone can be read
  await using streamer = await connect(server.url, { reconnect });
  const consumer = await streamer.createConsumer(key, { mode: "real-time" });
  await addMany(server, key, 1, "after");
  assertEquals((await consumer.next()).text(), "after0");
});

test(
  "a consumer on a connection that is cut now and then continues to wait, and reads as much at once as before",
  async () => {
    const key = uniqueKey();
    await using proxy = await startProxy(server);
    await using monitor = await Monitor.open(server);
    await using streamer = await connect(proxy.url, { reconnect });
    const realTime = await streamer.createConsumer(key, { mode: "real-time" });
    const inGroup = await streamer.createConsumer(key, {
      mode: "resumable",
      group,
      autoCommit: "rolling",
      mkstream: true,
    });
    const asked = [realTime.next(), inGroup.next()];
    for (const one of asked) one.catch(() => {}); // checked below
    for (let i = 0; i < 12; i++) {
      await blocked(2);
      await proxy.cut();
    }
    await blocked(2);
    await addMany(server, key, 1);
    assertEquals((await Promise.all(asked)).map((message) => message.text()), ["0", "0"]);
    await monitor.settled(server);
    for (const command of ["XREAD", "XREADGROUP"]) {
      const counts = monitor.of(command, key).map((words) => Number(words[words.indexOf("COUNT") + 1]));
      assert(counts.length > 3 && counts.every((count) => count === 100), `${command}: ${counts}`);
    }
  },
  { timeout },
);

test("clients that a server evicts for their memory continue with smaller pages", async () => {
  await using own = await startServer();
  if (!own.atLeast("7.0")) return;
  const [key, grouped] = [uniqueKey(), uniqueKey()];
  const ids = await fill(key, { count: 40, bytes: 300_000, on: own });
  const others = await fill(grouped, { count: 40, bytes: 300_000, on: own });
  await own.command("CONFIG", "SET", "maxmemory-clients", "6mb");
  await using streamer = await connect(own.url, { reconnect });
  const consumer = await streamer.createConsumer(key, { mode: "real-time", autoStreamReset: "earliest" });
  assertEquals(idsOf(await take(consumer, 40)), ids);
  const resumable = { mode: "resumable", group, autoCommit: "rolling", autoStreamReset: "earliest" } as const;
  assertEquals(idsOf(await take(await streamer.createConsumer(grouped, resumable), 40)), others);
  const manager = await streamer.createManager();
  assertEquals(idsOf(await Array.fromAsync(manager.rangeAll(key, "-", "+", { pageSize: 40 }))), ids);
}, { timeout });
