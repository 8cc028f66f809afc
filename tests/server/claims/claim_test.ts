// Tests failover: unacknowledged messages of crashed consumers are claimed by the others, and no other messages are.

import { assert, assertEquals } from "@std/assert";
import { connect } from "../../../mod.ts";
import { addMany, Monitor, take, takeTexts, texts } from "../../support/consumer/reading.ts";
import { consumerNames, eventsOf, groupOf, leftBy, pendingRows, readBy } from "../../support/consumer/grouping.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();
const group = "g";
const member = { mode: "load-balanced", group, consumerId: "me", autoCommit: "disabled" } as const;
const claiming = { ...member, autoClaimInterval: 20, autoClaimIdle: 10_000 };

test("idle messages of other consumers are claimed for this consumer, delivered here, counted and reported", async () => {
  const { key, ids } = await groupOf(server, group, 3);
  await leftBy(server, { key, group, consumer: "gone", count: 2 });
  await leftBy(server, { key, group, consumer: "also gone" });
  await using streamer = await connect(server.url);
  const claims = eventsOf(streamer, "claimed");
  const consumer = await streamer.createConsumer(key, claiming);
  const messages = await take(consumer, 3);
  assertEquals(messages.map(({ id }) => id).sort(), ids);
  assertEquals(messages.map(({ deliveries }) => deliveries), [2, 2, 2]);
  const told = claims.map(({ from, ids }) => ({ from, ids: [...ids] })).sort((a, b) => a.from < b.from ? -1 : 1);
  assertEquals(told, [{ from: "also gone", ids: [ids[2]] }, { from: "gone", ids: [ids[0], ids[1]] }]);
  for (const claim of claims) assertEquals([claim.streamKey, claim.shardId, claim.group], [key, 0, group]);
  const rows = await pendingRows(server, key, group);
  assertEquals(rows.map(({ consumer, deliveries }) => [consumer, deliveries]), Array(3).fill(["me", 2]));
  assertEquals(consumer.stats().claimed, 3);
});

test("the whole pending list is walked, over pages, deleted entries and every shard", async () => {
  const [a, b] = [await groupOf(server, group, 230), await groupOf(server, group, 30)];
  for (const { key } of [a, b]) await leftBy(server, { key, group, consumer: "gone" });
  await server.command("XDEL", a.key, ...a.ids.slice(20, 60));
  await using streamer = await connect(server.url);
  const gaps = eventsOf(streamer, "gap");
  const consumer = await streamer.createConsumer([a.key, b.key], claiming);
  const messages = await take(consumer, 220);
  const idsOf = (key: string) => messages.filter(({ streamKey }) => streamKey === key).map(({ id }) => id);
  assertEquals(idsOf(a.key), [...a.ids.slice(0, 20), ...a.ids.slice(60)]);
  assertEquals(idsOf(b.key), b.ids);
  assertEquals(gaps.flatMap(({ ids }) => ids).sort(), a.ids.slice(20, 60).sort());
  assert(messages.every(({ deliveries }) => deliveries === 2));
});

test("messages that are not idle for long enough are not claimed", async () => {
  const { key, ids } = await groupOf(server, group, 2);
  await readBy(server, { key, group, consumer: "there" });
  await server.command("XCLAIM", key, group, "there", 0, ids[1], "IDLE", 3_600_000);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, claiming);
  assertEquals((await consumer.next()).id, ids[1]);
  assertEquals((await pendingRows(server, key, group, "there")).map(({ id }) => id), [ids[0]]);
});

test("with autoClaimInterval null no message is claimed", async () => {
  const { key, ids } = await groupOf(server, group, 2);
  await leftBy(server, { key, group, consumer: "gone", count: 1 });
  await using streamer = await connect(server.url);
  await using monitor = await Monitor.open(server);
  const idle = await streamer.createConsumer(key, { ...claiming, autoClaimInterval: null });
  const [message] = await take(idle, 1);
  assertEquals(message.id, ids[1]);
  const waiting = idle.next();
  const other = await groupOf(server, group, 3);
  await leftBy(server, { key: other.key, group, consumer: "gone" });
  await take(await streamer.createConsumer(other.key, claiming), 3); // a claiming consumer has scanned meanwhile
  await monitor.settled(server);
  assertEquals([monitor.count("XCLAIM", key), monitor.count("XAUTOCLAIM", key)], [0, 0]);
  assertEquals((await pendingRows(server, key, group, "gone")).length, 1);
  await addMany(server, key, 1, "new");
  assertEquals((await waiting).text(), "new0");
});

test("a consumer never claims from itself, however long it works on a message", async () => {
  const { key } = await groupOf(server, group, 1);
  await using streamer = await connect(server.url);
  const claims = eventsOf(streamer, "claimed");
  const consumer = await streamer.createConsumer(key, { ...claiming, keepAlive: false, autoClaimIdle: 50 });
  await consumer.next();
  const waiting = consumer.next();
  await until(async () => ((await pendingRows(server, key, group))[0]?.idle ?? 0) > 200, {
    what: "ten looks have passed",
  });
  assertEquals(claims, []);
  assertEquals((await pendingRows(server, key, group)).map(({ deliveries }) => deliveries), [1]);
  await addMany(server, key, 1, "new");
  assertEquals((await waiting).text(), "new0");
});

test("a consumer takes over from one that ended, and a new one with that name gets new messages", async () => {
  const key = uniqueKey();
  await using streamer = await connect(server.url);
  const options = { ...claiming, batchSize: 1, prefetch: 0, autoClaimIdle: 300, mkstream: true };
  const alpha = await streamer.createConsumer(key, { ...options, consumerId: "alpha", autoClaimInterval: null });
  await addMany(server, key, 5);
  assertEquals(await takeTexts(alpha, 5), texts(5));
  const beta = await streamer.createConsumer(key, { ...options, consumerId: "beta" });
  await addMany(server, key, 5, "b");
  const own = await take(beta, 5);
  assertEquals(own.map((message) => message.text()), texts(5, "b"));
  for (const message of own) beta.ack(message);
  await beta.commit();
  await alpha.end();
  const claimed = await take(beta, 5);
  assertEquals(claimed.map((message) => message.text()), texts(5));
  for (const message of claimed) beta.ack(message);
  await beta.commit();
  assertEquals(await pendingRows(server, key, group), []);
  const again = await streamer.createConsumer(key, { ...options, consumerId: "alpha", autoClaimInterval: null });
  await beta.end(); // its last read may still block, since the messages it was created for were claimed
  await addMany(server, key, 2, "c");
  assertEquals(await takeTexts(again, 2), texts(2, "c"));
});

test("crashed consumers without pending entries are removed, those with pending entries never", async () => {
  const { key } = await groupOf(server, group, 1);
  await leftBy(server, { key, group, consumer: "holds", count: 1 });
  for (const name of ["empty", "also empty"]) await server.command("XGROUP", "CREATECONSUMER", key, group, name);
  await using streamer = await connect(server.url);
  const options = { ...claiming, autoClaimInterval: null, consumerExpiry: 30 };
  await streamer.createConsumer(key, options);
  await until(async () => {
    const names = await consumerNames(server, key, group);
    return !names.includes("empty") && !names.includes("also empty");
  });
  assert((await consumerNames(server, key, group)).includes("holds"));
  assertEquals((await pendingRows(server, key, group)).map(({ consumer }) => consumer), ["holds"]);
});

test("without scripts no consumer is removed, and claiming works", async () => {
  const { key } = await groupOf(server, group, 1);
  await leftBy(server, { key, group, consumer: "gone" });
  await server.command("XGROUP", "CREATECONSUMER", key, group, "empty");
  const user = uniqueKey("user");
  await server.command("ACL", "SETUSER", user, "on", ">pw", "~*", "&*", "+@all", "-eval");
  await using streamer = await connect(server.url.replace("redis://", `redis://${user}:pw@`));
  await using monitor = await Monitor.open(server);
  const consumer = await streamer.createConsumer(key, { ...claiming, consumerExpiry: 1 });
  assertEquals((await consumer.next()).text(), "0");
  await until(() => monitor.count("XPENDING", key) > 8, { what: "several looks have passed" });
  assertEquals(monitor.count("XGROUP", "DELCONSUMER"), 0);
  assert((await consumerNames(server, key, group)).includes("empty"));
});
