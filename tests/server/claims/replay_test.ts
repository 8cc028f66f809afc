// Tests the messages of a restarted consumer: its pending entries first, counted and in order, then new ones.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { connect, StreamerError } from "../../../mod.ts";
import { restUpToMark, take, takeTexts, texts } from "../../support/consumer/reading.ts";
import { eventsOf, groupOf, pendingIds, pendingRows, readBy } from "../../support/consumer/grouping.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();
const group = "g";
const resumable = { mode: "resumable", group, consumerId: "me", autoCommit: "disabled" } as const;
const balanced = { ...resumable, mode: "load-balanced", autoClaimInterval: null } as const;

for (const options of [resumable, balanced]) {
  test(`pending entries are delivered first, in pages, counted once more, and then new ones (${options.mode})`, async () => {
    const { key, ids } = await groupOf(server, group, 250);
    await readBy(server, { key, group, consumer: "me", count: 240 });
    await using streamer = await connect(server.url);
    const consumer = await streamer.createConsumer(key, { ...options, batchSize: 50 });
    const messages = await take(consumer, 250);
    assertEquals(messages.map(({ id }) => id), ids);
    assertEquals(messages.map(({ deliveries }) => deliveries), [...Array(240).fill(2), ...Array(10).fill(1)]);
    assertEquals(consumer.stats().replayed, 240);
    const rows = await pendingRows(server, key, group);
    assertEquals(rows.map(({ deliveries }) => deliveries), messages.map(({ deliveries }) => deliveries));
    assertEquals(await restUpToMark(server, consumer, key), []);
  });
}

test("pending entries of other consumers are not replayed", async () => {
  const { key } = await groupOf(server, group, 6);
  await readBy(server, { key, group, consumer: "other", count: 2 });
  await readBy(server, { key, group, consumer: "me", count: 2 });
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, resumable);
  assertEquals(await takeTexts(consumer, 4), ["2", "3", "4", "5"]);
  assertEquals(await restUpToMark(server, consumer, key), []);
});

test("entries deleted while they were pending are skipped, acknowledged and reported, and the rest keeps its counts", async () => {
  const { key, ids } = await groupOf(server, group, 12);
  await readBy(server, { key, group, consumer: "me" });
  const deleted = [ids[1], ids[2], ids[3], ids[6], ids[11]];
  await server.command("XDEL", key, ...deleted);
  await using streamer = await connect(server.url);
  const gaps = eventsOf(streamer, "gap");
  const consumer = await streamer.createConsumer(key, resumable);
  const messages = await take(consumer, 7);
  assertEquals(messages.map((message) => message.text()), ["0", "4", "5", "7", "8", "9", "10"]);
  assertEquals(messages.map(({ deliveries }) => deliveries), Array(7).fill(2));
  assertEquals(gaps.map((gap) => [gap.streamKey, gap.shardId, gap.group]), gaps.map(() => [key, 0, group]));
  assertEquals(gaps.flatMap((gap) => gap.ids), deleted);
  assertEquals(consumer.stats().gaps, 5);
  await until(async () => (await pendingIds(server, key, group)).length === 7, { what: "the deleted ones are acked" });
});

test("pages of deleted entries alone do not end the replay", async () => {
  const { key, ids } = await groupOf(server, group, 30);
  await readBy(server, { key, group, consumer: "me" });
  await server.command("XDEL", key, ...ids.slice(0, 25));
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { ...resumable, batchSize: 5 });
  assertEquals(await takeTexts(consumer, 5), texts(5, "", 25));
  await until(async () => (await pendingIds(server, key, group)).length === 5);
  assertEquals(await restUpToMark(server, consumer, key), []);
});

test("an entry without the payload field is replayed with all of its fields as headers", async () => {
  const key = uniqueKey();
  await server.command("XGROUP", "CREATE", key, group, "0", "MKSTREAM");
  await server.command("XADD", key, "*", "a", "1", "a", "2");
  await readBy(server, { key, group, consumer: "me" });
  await using streamer = await connect(server.url);
  const message = await (await streamer.createConsumer(key, resumable)).next();
  assertEquals([message.bytes().length, message.headers.size, message.headers.get("a")], [0, 2, "1"]);
});

for (const mkstream of [false, true]) {
  test(`a stream that is missing when the consumer is created: mkstream ${mkstream}`, async () => {
    const key = uniqueKey();
    await using streamer = await connect(server.url);
    const options = { mode: "load-balanced", group, mkstream, autoStreamReset: "earliest" } as const;
    const consumer = await streamer.createConsumer(key, options);
    if (!mkstream) {
      const error = await assertRejects(() => consumer.next(), StreamerError);
      assertEquals(await assertRejects(() => consumer.next()), error);
      assertEquals(await server.command("EXISTS", key), 0);
      return;
    }
    const producer = await streamer.createProducer(key);
    const receipts = await Promise.all(texts(5).map((text) => producer.send(text)));
    assertEquals(await takeTexts(consumer, 5), texts(5));
    for (let i = 1; i < 5; i++) assert(receipts[i].sequence > receipts[i - 1].sequence);
  });
}

for (const mode of ["resumable", "load-balanced"] as const) {
  for (const autoCommit of ["immediate", "delayed"] as const) {
    test(`a restarted consumer resumes where the previous run ended (${mode}, ${autoCommit})`, async () => {
      const key = uniqueKey();
      await using streamer = await connect(server.url);
      const producer = await streamer.createProducer(key);
      for (const text of texts(5)) await producer.send(text);
      const commit = autoCommit === "delayed"
        ? { autoCommit, autoCommitDelay: 0, autoCommitInterval: 0 } as const
        : { autoCommit } as const;
      const shared = { mode, consumerId: "c", ...commit } as const;
      const latest = await streamer.createConsumer(key, { ...shared, group: "latest" });
      await assertRejects(() => latest.next({ signal: AbortSignal.timeout(1) }));
      const earliest = await streamer.createConsumer(key, { ...shared, group: "all", autoStreamReset: "earliest" });
      assertEquals(await takeTexts(earliest, 5), texts(5));
      await earliest.end();
      for (const text of texts(5, "", 5)) await producer.send(text);
      assertEquals(await takeTexts(latest, 5), texts(5, "", 5));
      const again = await streamer.createConsumer(key, { ...shared, group: "all" });
      assertEquals(await takeTexts(again, 5), texts(5, "", 5));
    });
  }
  for (const autoCommit of ["rolling", "disabled"] as const) {
    test(`a restarted consumer gets messages again that were not acknowledged and committed (${mode}, ${autoCommit})`, async () => {
      const key = uniqueKey();
      const names = { mode, consumerId: "c", group: "c", autoStreamReset: "earliest", batchSize: 5 } as const;
      await using later = await connect(server.url);
      const producer = await later.createProducer(key);
      for (const text of texts(5)) await producer.send(text);
      {
        await using first = await connect(server.url);
        if (autoCommit === "rolling") {
          const consumer = await first.createConsumer(key, { ...names, autoCommit, autoCommitInterval: 0 });
          for (const message of (await take(consumer, 5)).slice(0, 4)) consumer.ack(message);
        } else {
          const consumer = await first.createConsumer(key, { ...names, autoCommit });
          for (const message of (await take(consumer, 5)).slice(0, 4)) consumer.ack(message);
          await consumer.commit();
        }
        await until(async () => (await pendingIds(server, key, "c")).length === 1, { what: "four are acked" });
      }
      for (const text of texts(5, "", 5)) await producer.send(text);
      const consumer = await later.createConsumer(key, { ...names, autoCommit: "disabled" });
      const messages = await take(consumer, 6);
      assertEquals(messages.map((message) => message.text()), texts(6, "", 4));
      assertEquals(messages.map(({ deliveries }) => deliveries), [2, 1, 1, 1, 1, 1]);
    });
  }
}
