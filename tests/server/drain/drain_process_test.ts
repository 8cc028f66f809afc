// Tests a drain under `process`: no further handler starts, messages of running ones are acked, and the rest counts as
// not delivered.

import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import { connect, type Message, process } from "../../../mod.ts";
import { group, long } from "../../support/consumer/draining.ts";
import { eventsOf, groupOf, pendingIds, pendingRows } from "../../support/consumer/grouping.ts";
import { addMany, idsInRange, take } from "../../support/consumer/reading.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();
const options = { mode: "load-balanced", group, consumerId: "me", batchSize: 5 } as const;

for (const autoCommit of ["rolling", "disabled"] as const) {
  for (const orderBy of ["none", "shard"] as const) {
    test(`running handlers are finished and acked, no other is started, and process resolves (${autoCommit}, ${orderBy})`, async () => {
      const { key, ids } = await groupOf(server, group, 40);
      await using streamer = await connect(server.url);
      const consumer = autoCommit === "rolling"
        ? await streamer.createConsumer(key, { ...options, autoCommit })
        : await streamer.createConsumer(key, { ...options, autoCommit });
      const gate = Promise.withResolvers<void>();
      const started: string[] = [];
      const concurrency = 4;
      const running = process(consumer, async (message) => {
        started.push(message.id);
        await gate.promise;
      }, { concurrency, orderBy });
      const most = orderBy === "none" ? concurrency : 1;
      await until(() => started.length === most && (orderBy === "none" || consumer.stats().inHand > 1));
      const end = consumer.end({ drain: long });
      await server.command("PING");
      gate.resolve();
      assertEquals(await running, { handled: most, failed: 0, repeated: 0 });
      await end;
      assertEquals(started, ids.slice(0, most));
      const rows = await pendingRows(server, key, group);
      assertEquals(rows.filter(({ id }) => started.includes(id)), [], "they are acked");
      assert(
        rows.every(({ deliveries, idle }) => deliveries === 0 && idle > 60_000),
        "others get the rest, as never delivered",
      );
    });
  }
}

test("outputs of running handlers are stored and their messages acked during the drain", async () => {
  const { key } = await groupOf(server, group, 10);
  const output = uniqueKey("out");
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { ...options, autoCommit: "rolling" });
  const producer = await streamer.createProducer(output);
  const gate = Promise.withResolvers<void>();
  let started = 0;
  const running = process(consumer, async (message) => {
    started++;
    await gate.promise;
    return message.text();
  }, { producer, concurrency: 3, orderBy: "none" });
  await until(() => started === 3);
  const end = consumer.end({ drain: long });
  gate.resolve();
  await end;
  assertEquals(await running, { handled: 3, failed: 0, repeated: 0 });
  assertEquals((await idsInRange(server, output)).length, 3);
  assertEquals((await pendingIds(server, key, group, "me")).length, (await pendingRows(server, key, group)).length);
});

test("a handler that fails during the drain gives its message to others at once, whatever the retryDelay", async () => {
  const { key, ids } = await groupOf(server, group, 2);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { ...options, autoCommit: "rolling" });
  const gate = Promise.withResolvers<void>();
  let started = 0;
  const running = process(consumer, async (message) => {
    started++;
    await gate.promise;
    if (message.text() === "0") throw new Error("failed");
  }, { retryDelay: long, orderBy: "none" });
  await until(() => started === 2);
  const end = consumer.end({ drain: long });
  gate.resolve();
  assertEquals(await running, { handled: 1, failed: 1, repeated: 0 });
  await end;
  const other = await streamer.createConsumer(key, {
    ...options,
    consumerId: "other",
    autoCommit: "rolling",
    autoClaimInterval: 20,
  });
  const [again] = await take(other, 1);
  assertEquals([again.id, again.deliveries], [ids[0], 2]);
});

test("a handler whose message maxHold has released is waited for, and acked", async () => {
  const { key } = await groupOf(server, group, 1);
  await using streamer = await connect(server.url);
  const released = eventsOf(streamer, "released");
  const consumer = await streamer.createConsumer(key, { ...options, autoCommit: "rolling", maxHold: 30 });
  const gate = Promise.withResolvers<void>();
  const running = process(consumer, () => gate.promise);
  await until(() => released.length === 1);
  const end = consumer.end({ drain: long });
  await addMany(server, key, 1);
  gate.resolve();
  assertEquals(await running, { handled: 1, failed: 0, repeated: 0 });
  await end;
  assertEquals((await pendingRows(server, key, group)).filter(({ deliveries }) => deliveries > 0), []);
});

test("at the limit of the drain handlers that still run are not acked, and count as failed", async () => {
  const { key, ids } = await groupOf(server, group, 2);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { ...options, autoCommit: "rolling" });
  const gates = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const errors: unknown[] = [];
  let started = 0;
  const running = process(consumer, (message) => {
    started++;
    return gates[Number(message.text())].promise;
  }, { orderBy: "none", onError: (error) => void errors.push(error) });
  await until(() => started === 2);
  const end = consumer.end({ drain: 50 });
  gates[0].resolve();
  await end;
  gates[1].resolve();
  assertEquals(await running, { handled: 1, failed: 1, repeated: 0 });
  assertEquals(errors.map((error) => (error as { code: string }).code), ["CONSUMER_ENDED"]); // as: the library's error
  assertEquals(await pendingIds(server, key, group), ids.slice(1));
});

test("handlers that end the consumer themselves start no others", async () => {
  const { key } = await groupOf(server, group, 30);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { ...options, batchSize: 30, autoCommit: "rolling" });
  const started: string[] = [];
  let end: Promise<void> | undefined;
  const counts = await process(consumer, async (message: Message) => {
    started.push(message.text());
    if (started.length === 3) end = consumer.end({ drain: long });
    await server.command("PING");
  }, { orderBy: "none", concurrency: 2 });
  await end;
  assertEquals(started, ["0", "1", "2"]);
  assertEquals(counts, { handled: 3, failed: 0, repeated: 0 });
  const rows = await pendingRows(server, key, group);
  assertEquals([rows.length, rows.every(({ deliveries }) => deliveries === 0)], [27, true]);
});

test("many drains under load: each message is handled, and those that were handled are acked", async () => {
  const { key } = await groupOf(server, group, 600);
  await using streamer = await connect(server.url);
  const handled = new Map<string, number>();
  for (let life = 0; handled.size < 600; life++) {
    const consumer = await streamer.createConsumer(key, {
      ...options,
      consumerId: `life-${life}`,
      autoCommit: "rolling",
      autoCommitInterval: long,
      autoClaimInterval: 20,
    });
    const before = handled.size;
    const running = process(consumer, async (message) => {
      await server.command("PING");
      handled.set(message.text(), (handled.get(message.text()) ?? 0) + 1);
    }, { orderBy: "none", concurrency: 8 });
    await until(() => handled.size >= Math.min(600, before + 40));
    await consumer.end({ drain: long });
    const { failed } = await running;
    assertEquals(failed, 0);
    assertLessOrEqual(life, 15);
  }
  assertEquals([...handled.values()].filter((times) => times > 1), [], "nothing was repeated");
  assertEquals(await pendingIds(server, key, group), []);
});
