// Tests replies over a limit: a page is requested again with half the COUNT, and only a single entry that is too large
// is fatal.

import { assert, assertEquals, assertLessOrEqual, assertRejects, assertStrictEquals } from "@std/assert";
import { connect, type RedisStreamer, StreamerError } from "../../../mod.ts";
import {
  addAt,
  addEach,
  addMany,
  connectHastily,
  countOf,
  Monitor,
  take,
  takeTexts,
  texts,
} from "../../support/consumer/reading.ts";
import { uniqueKey } from "../../support/keys.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();
const reconnect = { initialDelay: 5, maxDelay: 20 };
const earliest = { mode: "real-time", autoStreamReset: "earliest" } as const;

function countCuts(streamer: RedisStreamer): () => number {
  let cuts = 0;
  streamer.addEventListener("disconnect", () => cuts++);
  return () => cuts;
}

async function addLarge(key: string, count: number, bytes: number): Promise<string[]> {
  return await addEach(server, Array.from({ length: count }, () => ["XADD", key, "*", "msg", "x".repeat(bytes)]));
}

test("a page over the reply limit is requested again with half the COUNT, and nothing is lost", async () => {
  const key = uniqueKey();
  const ids = await addLarge(key, 100, 4_000);
  await using monitor = await Monitor.open(server);
  await using streamer = await connect(server.url, { limits: { reply: 65_536 }, reconnect });
  const consumer = await streamer.createConsumer(key, earliest);
  assertEquals((await take(consumer, 100)).map((message) => message.id), ids);
  await monitor.settled(server);
  assertEquals(monitor.of("XREAD", key).slice(0, 4).map(countOf), [100, 50, 25, 12]);
});

test("not every page exceeds the reply limit again", async () => {
  const key = uniqueKey();
  const ids = await addLarge(key, 800, 4_000);
  await using streamer = await connect(server.url, { limits: { reply: 65_536 }, reconnect });
  const cuts = countCuts(streamer);
  const consumer = await streamer.createConsumer(key, earliest);
  assertEquals((await take(consumer, 800)).map((message) => message.id), ids);
  assertLessOrEqual(cuts(), 8); // 100, 50, 25 were too large: three, and some space to try again
});

test("with a batch size too, the COUNT is halved", async () => {
  const key = uniqueKey();
  const ids = await addLarge(key, 64, 4_000);
  await using streamer = await connect(server.url, { limits: { reply: 65_536 }, reconnect });
  const cuts = countCuts(streamer);
  const consumer = await streamer.createConsumer(key, { ...earliest, batchSize: 64 });
  assertEquals((await take(consumer, 64)).map((message) => message.id), ids);
  assertLessOrEqual(cuts(), 6);
});

test("a single entry over the reply limit is fatal, after all messages before it", async () => {
  const key = uniqueKey();
  await addMany(server, key, 3);
  await addLarge(key, 1, 100_000);
  await addMany(server, key, 3, "behind");
  await using streamer = await connect(server.url, { limits: { reply: 65_536 }, reconnect });
  const consumer = await streamer.createConsumer(key, earliest);
  assertEquals(await takeTexts(consumer, 3), texts(3));
  const error = await assertRejects(() => consumer.next(), StreamerError);
  assertEquals(error.code, "PROTOCOL");
  assertStrictEquals(await assertRejects(() => consumer.next()), error);
});

test("a single entry over the bulk limit is fatal, and not retried forever", async () => {
  const key = uniqueKey();
  await using streamer = await connect(server.url, { limits: { bulk: 1_000 }, reconnect });
  const cuts = countCuts(streamer);
  const consumer = await streamer.createConsumer(key, { mode: "real-time" });
  await addAt(server, key, "1-1", "x".repeat(2_000));
  const error = await assertRejects(() => consumer.next(), StreamerError);
  assertEquals(error.code, "PROTOCOL");
  assertLessOrEqual(cuts(), 30); // seven counts from 100 to 1, each perhaps with queries that are too large as well
});

test("a page over the limit of elements is requested again with half the COUNT", async () => {
  const key = uniqueKey();
  const ids = await addLarge(key, 100, 10);
  await using streamer = await connect(server.url, { limits: { elements: 120 }, reconnect });
  const consumer = await streamer.createConsumer(key, earliest);
  assertEquals((await take(consumer, 100)).map((message) => message.id), ids);
});

test("several streams whose entries together exceed the limit are still read, each alone if necessary", async () => {
  const keys = [uniqueKey(), uniqueKey(), uniqueKey(), uniqueKey()];
  for (const key of keys) await addLarge(key, 2, 40_000);
  await using streamer = await connect(server.url, { limits: { reply: 100_000 }, reconnect });
  const consumer = await streamer.createConsumer(keys, earliest);
  const got = await take(consumer, 8);
  for (const key of keys) {
    assertEquals(got.filter((message) => message.streamKey === key).map((message) => message.bytes().length), [
      40_000,
      40_000,
    ]);
  }
  const asked = consumer.next();
  await addMany(server, keys[2], 1, "after");
  assertEquals((await asked).text(), "after0");
});

test("of several streams, one with an entry over the limit is fatal, whichever it is", async () => {
  const keys = [uniqueKey(), uniqueKey(), uniqueKey()];
  await addMany(server, keys[0], 1);
  await addMany(server, keys[2], 1);
  await addLarge(keys[1], 1, 200_000);
  await using streamer = await connect(server.url, { limits: { reply: 100_000 }, reconnect });
  const consumer = await streamer.createConsumer(keys, earliest);
  const error = await assertRejects(async () => {
    for (;;) await consumer.next();
  }, StreamerError);
  assertEquals(error.code, "PROTOCOL");
});

test("large first and last entries, which XINFO returns, affect neither creation nor rewinding", async () => {
  const key = uniqueKey();
  await addLarge(key, 2, 40_000);
  await using streamer = await connectHastily(server.url, { limits: { reply: 65_536 }, reconnect, timeout: 200 });
  const cuts = countCuts(streamer);
  const consumer = await streamer.createConsumer(key, { mode: "real-time" });
  await addLarge(key, 1, 40_000);
  assertEquals((await consumer.next()).bytes().length, 40_000);
  await consumer.rewind("end");
  await addMany(server, key, 1, "after");
  assertEquals((await consumer.next()).text(), "after0");
  assertLessOrEqual(cuts(), 12);
});

test("an entry that cannot be read at all fails the creation, and other consumers continue", async () => {
  const [key, other] = [uniqueKey(), uniqueKey()];
  await addLarge(key, 2, 200_000);
  await using streamer = await connect(server.url, { limits: { reply: 65_536 }, reconnect });
  const good = await streamer.createConsumer(other, { mode: "real-time" });
  const made = await streamer.createConsumer(key, { mode: "real-time" }).catch((error) => error);
  const error = made instanceof Error ? made : await made.next().catch((error: unknown) => error);
  assert(error instanceof StreamerError && error.code === "PROTOCOL", String(error));
  await good.rewind("end");
  await addMany(server, other, 1);
  assertEquals((await good.next()).text(), "0");
});
