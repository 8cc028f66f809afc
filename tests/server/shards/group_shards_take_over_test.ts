// Tests plain keys that group consumers leave for shards: when the group has acknowledged them, and no earlier.

import { assertEquals } from "@std/assert";
import { connect } from "../../../mod.ts";
import { pendingIds, pendingRows, readBy } from "../../support/consumer/grouping.ts";
import { addAt, addMany, Monitor, take, takeTexts, texts } from "../../support/consumer/reading.ts";
import { byShard, lookedFor, numbersOf, shardsTold, toldTimes } from "../../support/consumer/sharding.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();
const group = "g";
const often = { group, shardDiscoveryInterval: 20 } as const;
const resumable = { ...often, mode: "resumable", autoCommit: "rolling", autoCommitInterval: 5 } as const;
const balanced = { ...resumable, mode: "load-balanced" } as const;

test("a plain key is left when all of it is acknowledged, and no earlier", async () => {
  const key = uniqueKey();
  await addMany(server, key, 1, "old");
  await using monitor = await Monitor.open(server);
  await using streamer = await connect(server.url);
  const told = shardsTold(streamer);
  const consumer = await streamer.createConsumer(key, resumable);
  await addMany(server, key, 3, "plain");
  await addMany(server, `${key}:0`, 2, "shard");
  const plain = await take(consumer, 3);
  assertEquals(plain.map((message) => message.text()), texts(3, "plain"));
  for (const message of plain.slice(0, 2)) consumer.ack(message);
  await until(async () => (await pendingIds(server, key, group)).length === 1);
  await lookedFor(monitor, `${key}:5`);
  assertEquals(told, []);
  consumer.nack(plain[2]);
  const again = await consumer.next();
  assertEquals([again.text(), again.deliveries], ["plain2", 2]);
  consumer.ack(again);
  const shard = await take(consumer, 2);
  assertEquals(byShard(shard), { "0": texts(2, "shard") });
  assertEquals(told, [{ streamKey: key, found: [0], gone: [], ignoredPlain: true }]);
  assertEquals(await pendingIds(server, key, group), []);
  assertEquals((await pendingIds(server, `${key}:0`, group)).length, 2);
});

test("a late acknowledgement for a plain key never counts for the shard 0", async () => {
  const key = uniqueKey();
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { ...resumable, mkstream: true });
  await addAt(server, key, "5-0", "plain");
  const plain = await consumer.next();
  consumer.ack(plain);
  await addAt(server, `${key}:0`, "5-0", "shard");
  const shard = await consumer.next();
  assertEquals([shard.id, shard.shardId, shard.text()], [plain.id, plain.shardId, "shard"]);
  consumer.ack(plain); // once more
  await addMany(server, `${key}:0`, 1, "next");
  consumer.ack(await consumer.next());
  await until(async () => (await pendingIds(server, `${key}:0`, group)).length < 2);
  assertEquals(await pendingIds(server, `${key}:0`, group), ["5-0"]);
  consumer.ack(shard);
  await until(async () => (await pendingIds(server, `${key}:0`, group)).length === 0);
});

for (const autoCommit of ["delayed", "immediate"] as const) {
  test(`with ${autoCommit} a plain key is left by itself`, async () => {
    const key = uniqueKey();
    await addMany(server, key, 1, "old");
    await using streamer = await connect(server.url);
    const delayed = { autoCommit: "delayed", autoCommitDelay: 20, autoCommitInterval: 5 } as const;
    const commit = autoCommit === "delayed" ? delayed : { autoCommit } as const;
    const consumer = await streamer.createConsumer(key, { ...often, mode: "resumable", ...commit });
    await addMany(server, key, 30, "plain");
    await addMany(server, `${key}:0`, 30, "zero");
    await addMany(server, `${key}:1`, 30, "one");
    assertEquals(await takeTexts(consumer, 30), texts(30, "plain"));
    assertEquals(byShard(await take(consumer, 60)), { "0": texts(30, "zero"), "1": texts(30, "one") });
  });
}

test("pending entries of a crashed consumer in a plain key are claimed and done before it is left", async () => {
  const key = uniqueKey();
  await server.command("XGROUP", "CREATE", key, group, "0", "MKSTREAM");
  await addMany(server, key, 3, "plain");
  await readBy(server, { key, group, consumer: "dead" });
  await using streamer = await connect(server.url);
  const told = shardsTold(streamer);
  const consumer = await streamer.createConsumer(key, { ...balanced, autoClaimInterval: 30, autoClaimIdle: 100 });
  await addMany(server, `${key}:0`, 2, "shard");
  for (const expected of texts(3, "plain")) {
    const message = await consumer.next();
    assertEquals([message.text(), told], [expected, []]);
    consumer.ack(message);
  }
  assertEquals(await takeTexts(consumer, 2), texts(2, "shard"));
  assertEquals(told.length, 1);
});

test("entries that a move of the group has released do not keep a plain key from being left, another consumer's do", async () => {
  const key = uniqueKey();
  await server.command("XGROUP", "CREATE", key, group, "0", "MKSTREAM");
  await addMany(server, key, 5, "another's");
  await readBy(server, { key, group, consumer: "another" });
  await addMany(server, key, 20, "old");
  await using monitor = await Monitor.open(server);
  await using streamer = await connect(server.url);
  const told = shardsTold(streamer);
  const consumer = await streamer.createConsumer(key, { ...balanced, batchSize: 5 });
  consumer.ack(await consumer.next());
  await until(() => consumer.stats().queued > 0 && consumer.stats().acked === 1);
  await consumer.rewind("end", { group: true });
  await addMany(server, key, 1, "new");
  const asked = consumer.next();
  consumer.ack(await asked);
  assertEquals((await asked).text(), "new0");
  await until(() => consumer.stats().acked === 2);
  await addMany(server, `${key}:0`, 3, "shard");
  await lookedFor(monitor, `${key}:0`);
  assertEquals(told, []);
  const rows = await pendingRows(server, key, group);
  const theirs = rows.filter((row) => row.consumer === "another").map(({ id }) => id);
  await server.command("XACK", key, group, ...theirs);
  assertEquals(await takeTexts(consumer, 3), texts(3, "shard"));
  assertEquals((await pendingIds(server, key, group)).length, rows.length - theirs.length);
});

test("without claims, pending entries of others do not keep a plain key from being left", async () => {
  const key = uniqueKey();
  await server.command("XGROUP", "CREATE", key, group, "0", "MKSTREAM");
  await addMany(server, key, 3, "plain");
  await readBy(server, { key, group, consumer: "another" });
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, resumable);
  await addMany(server, `${key}:0`, 2, "shard");
  assertEquals(await takeTexts(consumer, 2), texts(2, "shard"));
  assertEquals((await pendingRows(server, key, group)).map((row) => row.consumer), ["another", "another", "another"]);
});

test("pending entries of an earlier run in a plain key are delivered before it is left", async () => {
  const key = uniqueKey();
  await addMany(server, key, 1, "old");
  await using streamer = await connect(server.url);
  const before = await streamer.createConsumer(key, resumable);
  await addMany(server, key, 3, "plain");
  await take(before, 3);
  await before.end();
  const consumer = await streamer.createConsumer(key, resumable);
  await addMany(server, `${key}:2`, 1, "shard");
  for (const message of await take(consumer, 3)) consumer.ack(message);
  assertEquals(await takeTexts(consumer, 1), ["shard0"]);
  assertEquals(await pendingIds(server, key, group), []);
});

test("a missing stream is read in its shards as soon as they exist", async () => {
  const key = uniqueKey();
  await using streamer = await connect(server.url);
  const told = shardsTold(streamer);
  const consumer = await streamer.createConsumer(key, resumable);
  await addMany(server, `${key}:1`, 2, "one");
  await toldTimes(told, 1);
  assertEquals(await takeTexts(consumer, 2), texts(2, "one"));
  assertEquals([told[0].ignoredPlain, numbersOf(consumer, key)], [false, [1]]);
});

for (const mode of ["resumable", "load-balanced"] as const) {
  test(`a plain key that is deleted does not keep a ${mode} consumer from its shards`, async () => {
    const key = uniqueKey();
    await addMany(server, key, 1, "old");
    await using streamer = await connect(server.url);
    const consumer = await streamer.createConsumer(key, { ...resumable, mode });
    await addMany(server, key, 1, "plain");
    consumer.ack(await consumer.next());
    await until(() => consumer.stats().acked === 1);
    const asked = take(consumer, 4);
    await server.command("DEL", key);
    await addMany(server, `${key}:0`, 2, "zero");
    await addMany(server, `${key}:1`, 2, "one");
    assertEquals(byShard(await asked), { "0": texts(2, "zero"), "1": texts(2, "one") });
    assertEquals(numbersOf(consumer, key), [0, 1]);
  });
}

test("an end while a plain key is being left does not hang, and keeps unacknowledged messages pending", async () => {
  const key = uniqueKey();
  await addMany(server, key, 1, "old");
  await using monitor = await Monitor.open(server);
  await using streamer = await connect(server.url);
  const told = shardsTold(streamer);
  const consumer = await streamer.createConsumer(key, resumable);
  await addMany(server, key, 2, "plain");
  await addMany(server, `${key}:0`, 2, "shard");
  await take(consumer, 2);
  await lookedFor(monitor, `${key}:5`);
  await consumer.end();
  await monitor.settled(server);
  assertEquals([told, (await pendingIds(server, key, group)).length], [[], 2]);
});
