// Tests the size of pages and the prefetch: batchSize, the growth of COUNT, prefetch, maxBufferedBytes.

import { assert, assertEquals, assertGreater, assertLessOrEqual } from "@std/assert";
import { connect } from "../../../mod.ts";
import {
  addAt,
  addEach,
  addMany,
  addVeryMany,
  countOf,
  Monitor,
  take,
  takeTexts,
  texts,
} from "../../support/consumer/reading.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();
const earliest = { mode: "real-time", autoStreamReset: "earliest" } as const;

test("the COUNT grows from 100 to 1000 while pages are full, and stays there", async () => {
  const key = uniqueKey();
  await addVeryMany(server, key, 6_000);
  await using monitor = await Monitor.open(server);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, earliest);
  assertEquals(await takeTexts(consumer, 6_000), texts(6_000));
  await monitor.settled(server);
  const counts = monitor.of("XREAD", key).map(countOf);
  assertEquals(counts[0], 100);
  assertEquals(counts, counts.toSorted((a, b) => a - b), "it never falls");
  assertEquals(counts.at(-1), 1_000);
  assert(counts.indexOf(1_000) <= 6, counts.join());
});

test("while pages are not full the COUNT stays", async () => {
  const key = uniqueKey();
  await using monitor = await Monitor.open(server);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { mode: "real-time" });
  for (let round = 0; round < 20; round++) {
    await addMany(server, key, 1);
    await consumer.next();
  }
  await monitor.settled(server);
  assertEquals(new Set(monitor.of("XREAD", key).map(countOf)), new Set([100]));
});

for (const batchSize of [1, 7, 100, 2_500]) {
  test(`a batch size of ${batchSize} is the COUNT, always`, async () => {
    const key = uniqueKey();
    const total = Math.min(batchSize * 5, 5_000);
    await addVeryMany(server, key, total);
    await using monitor = await Monitor.open(server);
    await using streamer = await connect(server.url);
    const consumer = await streamer.createConsumer(key, { ...earliest, batchSize });
    assertEquals(await takeTexts(consumer, total), texts(total));
    await monitor.settled(server);
    assertEquals(new Set(monitor.of("XREAD", key).map(countOf)), new Set([batchSize]));
  });
}

test("with a prefetch of 0 a page is read only for a call", async () => {
  const key = uniqueKey();
  await addMany(server, key, 20);
  await using monitor = await Monitor.open(server);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { ...earliest, prefetch: 0, batchSize: 5 });
  const reads = async () => {
    await monitor.settled(server);
    return monitor.count("XREAD", key);
  };
  await monitor.settled(server);
  assertEquals([await reads(), consumer.stats().queued], [0, 0], "no call was made");
  assertEquals(await takeTexts(consumer, 1), ["0"]);
  assertEquals([await reads(), consumer.stats().queued], [1, 4]);
  assertEquals(await takeTexts(consumer, 4), ["1", "2", "3", "4"]);
  assertEquals([await reads(), consumer.stats().queued], [1, 0], "the page is used up, and no call waits");
  assertEquals(await takeTexts(consumer, 1), ["5"]);
  assertEquals([await reads(), consumer.stats().queued], [2, 4]);
});

test("with a prefetch of 0 and a batch size of 1 each call reads one entry, in every way of receiving", async () => {
  const key = uniqueKey();
  await addMany(server, key, 20);
  await using monitor = await Monitor.open(server);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { ...earliest, prefetch: 0, batchSize: 1 });
  const iterator = consumer[Symbol.asyncIterator]();
  const batches = consumer.batches();
  const reader = consumer.readable.getReader();
  const got: (string | undefined)[] = [];
  for (let round = 0; round < 3; round++) {
    got.push((await consumer.next()).text());
    got.push((await iterator.next()).value?.text());
    got.push((await batches.next()).value?.[0].text());
    got.push((await reader.read()).value?.text());
  }
  assertEquals(got, texts(12));
  await monitor.settled(server);
  assertEquals([monitor.count("XREAD", key), consumer.stats().queued], [12, 0]);
});

test("with a prefetch of 0 a message that arrives during a call is returned at once", async () => {
  const key = uniqueKey();
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { mode: "real-time", prefetch: 0 });
  for (let round = 0; round < 3; round++) {
    const asked = consumer.next();
    await addMany(server, key, 1, `round${round}-`);
    assertEquals((await asked).text(), `round${round}-0`);
  }
});

for (const prefetch of [1, 3]) {
  test(`with a prefetch of ${prefetch} so many pages are read ahead of the current one, and no more`, async () => {
    const key = uniqueKey();
    await addMany(server, key, 100);
    await using monitor = await Monitor.open(server);
    await using streamer = await connect(server.url);
    const consumer = await streamer.createConsumer(key, { ...earliest, prefetch, batchSize: 5 });
    await take(consumer, 1);
    await until(() => consumer.stats().queued === prefetch * 5 + 4);
    await monitor.settled(server);
    assertEquals(monitor.count("XREAD", key), prefetch + 1);
    await take(consumer, 4);
    await until(() => consumer.stats().queued === (prefetch + 1) * 5);
    await monitor.settled(server);
    assertEquals(monitor.count("XREAD", key), prefetch + 2, "a returned page frees space for one");
    assertEquals(await takeTexts(consumer, 95), texts(95, "", 5));
  });
}

test("a paused consumer reads ahead within the same bounds, and returns the messages when it resumes", async () => {
  const key = uniqueKey();
  await addMany(server, key, 50);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { ...earliest, batchSize: 5 });
  consumer.pause();
  consumer.pause();
  const asked = consumer.next();
  const iterated = consumer[Symbol.asyncIterator]().next();
  await until(() => consumer.stats().queued === 10);
  assertEquals(consumer.stats().delivered, 0);
  consumer.resume();
  assertEquals([(await asked).text(), (await iterated).value?.text()], ["0", "1"]);
  consumer.resume();
  assertEquals(await takeTexts(consumer, 48), texts(48, "", 2));
});

test("a paused consumer answers neither batches nor readable, can be moved, and can be ended", async () => {
  const key = uniqueKey();
  await addMany(server, key, 6);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, earliest);
  consumer.pause();
  const batch = consumer.batches({ max: 2 }).next();
  const read = consumer.readable.getReader().read();
  await consumer.rewind("end");
  await consumer.rewind("beginning");
  await until(() => consumer.stats().queued === 6);
  assertEquals(consumer.stats().delivered, 0);
  consumer.resume();
  assertEquals((await batch).value?.map((message: { text(): string }) => message.text()), ["0", "1"]);
  assertEquals((await read).value?.text(), "2");
  consumer.pause();
  const last = consumer[Symbol.asyncIterator]().next();
  await consumer.end();
  assertEquals((await last).done, true);
});

test("stats count queued and returned messages, and nothing of groups", async () => {
  const key = uniqueKey();
  await addMany(server, key, 10);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, earliest);
  await until(() => consumer.stats().queued === 10);
  assertGreater(consumer.stats().queuedBytes, 100);
  await take(consumer, 4);
  const { queuedBytes, ...rest } = consumer.stats();
  assertGreater(queuedBytes, 0);
  assertEquals(rest, {
    ...{ queued: 6, delivered: 4, inHand: 0, unsentAcks: 0, acked: 0, claimed: 0, replayed: 0, gaps: 0 },
  });
  await take(consumer, 6);
  assertEquals([consumer.stats().queued, consumer.stats().queuedBytes, consumer.stats().delivered], [0, 0, 10]);
});

test("prefetched pages stay within maxBufferedBytes once the size of entries is known", async () => {
  const key = uniqueKey();
  const size = 20_000;
  const total = 400;
  await addEach(server, Array.from({ length: total }, () => ["XADD", key, "*", "msg", "x".repeat(size)]));
  await using streamer = await connect(server.url);
  const maxBufferedBytes = 200_000;
  const consumer = await streamer.createConsumer(key, { ...earliest, maxBufferedBytes });
  for (let i = 0; i < total; i++) {
    await consumer.next();
    // The first page was requested before the size of any entry was known.
    if (i > 100) assertLessOrEqual(consumer.stats().queuedBytes, maxBufferedBytes + 2 * size);
  }
});

test("maxBufferedBytes holds for all streams together", async () => {
  const keys = Array.from({ length: 10 }, () => uniqueKey());
  for (const key of keys) {
    await addEach(server, Array.from({ length: 300 }, () => ["XADD", key, "*", "msg", "x".repeat(2_000)]));
  }
  await using streamer = await connect(server.url);
  const maxBufferedBytes = 200_000;
  const consumer = await streamer.createConsumer(keys, { ...earliest, maxBufferedBytes });
  const left = new Map(keys.map((key) => [key, 300]));
  for (let i = 0; i < 3_000; i++) {
    const { streamKey } = await consumer.next();
    left.set(streamKey, (left.get(streamKey) ?? 0) - 1);
    // The first page of each stream is asked for while the size of entries is unknown. In a cluster, one may come late.
    const isKnown = [...left.values()].every((count) => count < 200);
    if (isKnown) assertLessOrEqual(consumer.stats().queuedBytes, maxBufferedBytes + 10 * 2_100);
  }
});

test("maxBufferedBytes stops the prefetch, however many pages it allows", async () => {
  const key = uniqueKey();
  await addEach(server, Array.from({ length: 40 }, () => ["XADD", key, "*", "msg", "x".repeat(50_000)]));
  await using streamer = await connect(server.url);
  const options = { ...earliest, batchSize: 1, prefetch: 100, maxBufferedBytes: 200_000 };
  const consumer = await streamer.createConsumer(key, options);
  for (let i = 0; i < 40; i++) {
    // Four entries of a little more than 50,000 bytes exceed the bound, so they are the last ones read.
    await until(() => consumer.stats().queued >= Math.min(4, 40 - i));
    assertLessOrEqual(consumer.stats().queuedBytes, 250_500);
    await consumer.next();
  }
});

test("entries larger than maxBufferedBytes are read one at a time", async () => {
  const key = uniqueKey();
  for (let i = 1; i <= 3; i++) await addAt(server, key, `${i}-1`, `${i}`.repeat(50_000));
  await using monitor = await Monitor.open(server);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { mode: "real-time", maxBufferedBytes: 1, prefetch: 3 });
  await consumer.rewind("beginning");
  const got = (await take(consumer, 3)).map((message) => message.text().slice(0, 1));
  assertEquals(got, ["1", "2", "3"]);
  await consumer.rewind("beginning");
  await take(consumer, 3);
  await monitor.settled(server);
  assertEquals(countOf(monitor.of("XREAD", key).at(-1) ?? []), 1);
});
