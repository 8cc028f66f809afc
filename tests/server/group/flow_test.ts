// Tests how many messages a group consumer takes: no more than maxUnacked, none while it is paused, none that an idle
// consumer of its group could have.

import { assert, assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { type AckConsumer, connect } from "../../../mod.ts";
import { addMany, clientsNamed, restUpToMark, take, takeTexts, texts } from "../../support/consumer/reading.ts";
import { groupOf, pendingIds, pendingRows } from "../../support/consumer/grouping.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { COUNTED } from "../../support/one_server.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();
const group = "g";
const rolling = { mode: "resumable", group, consumerId: "me", autoCommit: "rolling", autoCommitInterval: 1 } as const;

/** Whether a promise is settled after other ready tasks have run. */
async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  promise.then(() => settled = true, () => settled = true);
  for (let i = 0; i < 5; i++) await server.command("PING");
  return settled;
}

test("at most maxUnacked messages are in flight; the next one is delivered after an ack, and not before", async () => {
  const { key } = await groupOf(server, group, 20);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { ...rolling, maxUnacked: 3 });
  const held = await take(consumer, 3);
  for (let i = 3; i < 20; i++) {
    const waiting = consumer.next();
    assertEquals([await isSettled(waiting), consumer.stats().inHand], [false, 3]);
    consumer.ack(held[i - 3]);
    held.push(await waiting);
  }
  assertEquals(held.map((message) => message.text()), texts(20));
});

for (const verb of ["nack", "term"] as const) {
  test(`a ${verb} frees capacity like an ack, once the message is settled`, async () => {
    const { key } = await groupOf(server, group, 3);
    await using streamer = await connect(server.url);
    const consumer = await streamer.createConsumer(key, { ...rolling, maxUnacked: 1 });
    const [first] = await take(consumer, 1);
    const waiting = consumer.next();
    assertEquals(await isSettled(waiting), false);
    consumer[verb](first);
    const next = await waiting;
    assert(verb === "nack" ? ["0", "1"].includes(next.text()) : next.text() === "1", next.text());
    assertEquals(consumer.stats().inHand, 1);
  });
}

test("batches respect maxUnacked too", async () => {
  const { key } = await groupOf(server, group, 100);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { ...rolling, maxUnacked: 7 });
  const seen: string[] = [];
  for await (const batch of consumer.batches()) {
    assert(batch.length > 0 && consumer.stats().inHand <= 7, `${batch.length} messages`);
    for (const message of batch) {
      seen.push(message.text());
      consumer.ack(message);
    }
    if (seen.length === 100) break;
  }
  assertEquals(seen, texts(100));
});

test("with time-based acknowledgement, maxUnacked frees capacity by itself", async () => {
  const { key } = await groupOf(server, group, 30);
  await using streamer = await connect(server.url);
  const options = { mode: "resumable", group, maxUnacked: 4, autoCommitDelay: 1, autoCommitInterval: 1 } as const;
  assertEquals(await takeTexts(await streamer.createConsumer(key, options), 30), texts(30));
});

test("while paused it delivers nothing, and afterwards everything, in the order of the calls", async () => {
  const { key } = await groupOf(server, group, 3);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, rolling);
  consumer.pause();
  consumer.pause();
  const waiting = [consumer.next(), consumer.next()];
  assertEquals(await isSettled(waiting[0]), false);
  assertEquals(consumer.stats().delivered, 0);
  consumer.resume();
  assertEquals((await Promise.all(waiting)).map((message) => message.text()), ["0", "1"]);
  assertEquals(await takeTexts(consumer, 1), ["2"]);
});

test("without prefetch nothing is read before a call, and then one page", async () => {
  const { key, ids } = await groupOf(server, group, 10);
  const clientName = uniqueKey("client");
  await using streamer = await connect(server.url, { clientName });
  const consumer = await streamer.createConsumer(key, { ...rolling, prefetch: 0, batchSize: 4 });
  await until(async () => (await clientsNamed(server, clientName)).length === 2, { what: "it is connected" });
  assertEquals(await pendingIds(server, key, group), []);
  assertEquals(await takeTexts(consumer, 4), texts(4));
  assertEquals(await pendingIds(server, key, group), ids.slice(0, 4));
  assertEquals(await takeTexts(consumer, 1), ["4"]);
  assertEquals(await pendingIds(server, key, group), ids.slice(0, 8));
}, { oneServer: COUNTED });

test("an aborted call takes no message", async () => {
  const { key } = await groupOf(server, group, 0);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, rolling);
  const controller = new AbortController();
  const reason = new Error("no longer");
  const aborted = consumer.next({ signal: controller.signal });
  const waiting = consumer.next();
  controller.abort(reason);
  assertStrictEquals(await assertRejects(() => aborted), reason);
  await addMany(server, key, 2);
  assertEquals([(await waiting).text(), ...await takeTexts(consumer, 1)], ["0", "1"]);
  assertEquals(consumer.stats().delivered, 2);
});

test("messages of several streams are all delivered, each stream's in order, and a busy one does not starve a quiet one", async () => {
  const [busy, quiet] = [await groupOf(server, group, 2_000), await groupOf(server, group, 0)];
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer([busy.key, quiet.key], { ...rolling, batchSize: 50 });
  await take(consumer, 50);
  await addMany(server, quiet.key, 1, "quiet");
  let passed = 0;
  for (; (await consumer.next()).streamKey === busy.key; passed++);
  assert(passed < 1_000, `${passed} passed`);
  assertEquals(await restUpToMark(server, consumer, busy.key, quiet.key), texts(1_950 - passed, "", 50 + passed));
});

const shared = { mode: "load-balanced", group, autoCommit: "rolling", autoCommitInterval: 1 } as const;

test("with one message a page, consumers of the same speed get about the same number", async () => {
  const { key } = await groupOf(server, group, 200);
  await using streamer = await connect(server.url);
  const options = { ...shared, batchSize: 1, prefetch: 0 } as const;
  const consumers = await Promise.all(Array.from({ length: 4 }, () => streamer.createConsumer(key, options)));
  let left = 200;
  const work = async (consumer: AckConsumer) => {
    for await (const message of consumer) {
      consumer.ack(message);
      if (--left === 0) await Promise.all(consumers.map((one) => one.end()));
    }
    return consumer.stats().delivered;
  };
  const counts = await Promise.all(consumers.map(work));
  assertEquals(counts.reduce((sum, count) => sum + count), 200);
  assert(Math.min(...counts) >= 20, counts.join());
});

test("a slow consumer does not prefetch messages that an idle one could have", async () => {
  const { key } = await groupOf(server, group, 11);
  await using streamer = await connect(server.url);
  const slow = await streamer.createConsumer(key, { ...shared, consumerId: "slow", batchSize: 5 });
  await slow.next(); // and processes it for the whole test
  const quick = await streamer.createConsumer(key, { ...shared, consumerId: "quick", batchSize: 5 });
  assertEquals(await takeTexts(quick, 6), texts(6, "", 5));
  assertEquals((await pendingRows(server, key, group, "slow")).length, 5);
});

test("two consumers with default names read all messages, and both get some", async () => {
  const key = uniqueKey();
  await using streamer = await connect(server.url);
  const options = { ...shared, mkstream: true, batchSize: 1, prefetch: 0 } as const;
  const [one, two] = [await streamer.createConsumer(key, options), await streamer.createConsumer(key, options)];
  assertEquals(one.groupId, two.groupId);
  assert(one.consumerId !== two.consumerId);
  await addMany(server, key, 10);
  const got: string[] = [];
  for (let i = 0; i < 5; i++) {
    for (const message of await Promise.all([one.next(), two.next()])) got.push(message.text());
  }
  assertEquals(got.sort(), texts(10));
  assertEquals([one.stats().delivered, two.stats().delivered], [5, 5]);
});
