// Tests which messages an ending group consumer releases: those that no caller has seen are available to others at
// once, and count as not delivered.

import { assert, assertEquals, assertLess } from "@std/assert";
import { connect } from "../../../mod.ts";
import { consumerNames, eventsOf, groupOf, leftBy, pendingIds, pendingRows } from "../../support/consumer/grouping.ts";
import { addEach, addVeryMany, blockedClient, take, takeTexts, texts } from "../../support/consumer/reading.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { startProxy } from "../../support/network/proxy.ts";
import { PROXIED } from "../../support/one_server.ts";
import { test } from "../../support/runner.ts";
import { type Server, sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();
const group = "g";
const rolling = { mode: "load-balanced", group, consumerId: "me", autoCommit: "rolling" } as const;
/** Claims often, and only entries that have been idle for the default time. */
const other = { ...rolling, consumerId: "other", autoClaimInterval: 20 } as const;

/** A URL of a user with all rights except the given ones. */
async function urlOf(server: Server, ...forbidden: readonly string[]): Promise<string> {
  const user = uniqueKey("user");
  await server.command("ACL", "SETUSER", user, "on", ">pw", "~*", "&*", "+@all", ...forbidden);
  return server.url.replace("redis://", `redis://${user}:pw@`);
}

for (const forbidden of [[], ["-eval"]] as const) {
  const how = forbidden.length === 0 ? "by script" : "where scripts are forbidden";
  test(`at the end others get prefetched and nacked messages, those in flight stay (${how})`, async () => {
    const { key, ids } = await groupOf(server, group, 10);
    await using streamer = await connect(await urlOf(server, ...forbidden));
    const consumer = await streamer.createConsumer(key, rolling);
    const [acked, nacked] = await take(consumer, 3);
    consumer.ack(acked);
    consumer.nack(nacked, { delay: 3_600_000 });
    await consumer.end();
    const rows = await pendingRows(server, key, group);
    assertEquals(rows.map(({ id, deliveries }) => [id, deliveries]), [
      [ids[1], 1], // nacked
      [ids[2], 1], // in flight
      ...ids.slice(3).map((id) => [id, 0]),
    ]);
    assertEquals(rows.filter(({ idle }) => idle < 60_000).map(({ id }) => id), [ids[2]]);
    await using fresh = await connect(server.url);
    const got = await take(await fresh.createConsumer(key, other), 8);
    assertEquals(got.map(({ id, deliveries }) => [id, deliveries]), [
      [ids[1], 2],
      ...ids.slice(3).map((id) => [id, 1]),
    ]);
  });
}

for (const mode of ["resumable", "load-balanced"] as const) {
  test(`messages released at the end are delivered once to the next run (${mode})`, async () => {
    const { key } = await groupOf(server, group, 5);
    await using streamer = await connect(server.url);
    const options = { mode, group, consumerId: "me", autoCommit: "rolling" } as const;
    for (let life = 0; life < 3; life++) {
      const consumer = await streamer.createConsumer(key, options);
      consumer.nack(await consumer.next(), { delay: 3_600_000 });
      assertEquals(consumer.stats().queued, 4);
      await consumer.end();
    }
    const consumer = await streamer.createConsumer(key, options);
    const messages = await take(consumer, 5);
    assertEquals(messages.map(({ deliveries }) => deliveries), [4, 1, 1, 1, 1]);
  });
}

test("with delayed, returned messages are acked, and the rest is released", async () => {
  const { key, ids } = await groupOf(server, group, 5);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { mode: "load-balanced", group });
  await take(consumer, 2);
  await consumer.end();
  const rows = await pendingRows(server, key, group);
  assertEquals(rows.map(({ id, deliveries }) => [id, deliveries]), ids.slice(2).map((id) => [id, 0]));
  assert(rows.every(({ idle }) => idle > 60_000));
});

test("with immediate there is nothing to release, and a generated name leaves the group", async () => {
  const { key } = await groupOf(server, group, 5);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { mode: "load-balanced", group, autoCommit: "immediate" });
  await take(consumer, 2);
  await consumer.end();
  assertEquals([await pendingIds(server, key, group), await consumerNames(server, key, group)], [[], []]);
});

test("ten thousand prefetched messages are released within a timeout of a second, and those of others are untouched", async () => {
  const { key } = await groupOf(server, group, 3);
  await leftBy(server, { key, group, consumer: "dead", count: 3 });
  await addVeryMany(server, key, 10_000);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, {
    ...rolling,
    batchSize: 10_000,
    maxUnacked: 20_000,
    autoClaimInterval: null,
  });
  consumer.ack(await consumer.next());
  await until(() => consumer.stats().queued === 9_999);
  await consumer.end({ timeout: 5_000 });
  const mine = await pendingRows(server, key, group, "me");
  assertEquals(mine.length, 9_999);
  assert(mine.every(({ idle, deliveries }) => idle > 60_000 && deliveries === 0));
  assertEquals((await pendingRows(server, key, group, "dead")).map(({ deliveries }) => deliveries), [1, 1, 1]);
});

test("a page in flight when the end begins is released, too", async () => {
  const { key } = await groupOf(server, group, 0);
  await using proxy = await startProxy(server);
  await using streamer = await connect(proxy.url, { clientName: key });
  const consumer = await streamer.createConsumer(key, rolling);
  const asked = consumer.next().catch(() => {});
  await blockedClient(server, key);
  proxy.toClient.hold();
  await addVeryMany(server, key, 4); // in one step, since a blocked read takes new entries at once
  await until(async () => (await pendingIds(server, key, group)).length === 4);
  const end = consumer.end();
  proxy.toClient.release();
  await Promise.all([end, asked]);
  const rows = await pendingRows(server, key, group);
  assert(rows.every(({ idle, deliveries }) => idle > 60_000 && deliveries === 0), JSON.stringify(rows));
}, { oneServer: PROXIED });

test("messages claimed while the end begins are released with their previous delivery count", async () => {
  const { key } = await groupOf(server, group, 0);
  const payload = new Uint8Array(300_000);
  const ids = await addEach(server, Array.from({ length: 5 }, () => ["XADD", key, "*", "msg", payload]));
  await leftBy(server, { key, group, consumer: "dead" });
  await using proxy = await startProxy(server);
  await using streamer = await connect(proxy.url);
  const consumer = await streamer.createConsumer(key, { ...rolling, autoClaimInterval: 30, autoClaimIdle: 300_000 });
  const asked = consumer.next().catch(() => {});
  proxy.toClient.limit(500_000); // claimed messages take seconds
  await until(async () => (await pendingIds(server, key, group, "me")).length > 0, { what: "a claim is in flight" });
  assertEquals(consumer.stats().claimed, 0);
  const end = consumer.end();
  proxy.toClient.limit(Infinity);
  await Promise.all([end, asked]);
  const rows = await pendingRows(server, key, group);
  assertEquals(rows.map(({ id, deliveries }) => [id, deliveries]), ids.map((id) => [id, 1]));
  assert(rows.every(({ idle }) => idle > 300_000), JSON.stringify(rows));
}, { oneServer: PROXIED });

test("an end without a connection resolves within its timeout, and unreleased messages are not lost", async () => {
  const { key, ids } = await groupOf(server, group, 5);
  await using proxy = await startProxy(server);
  const streamer = await connect(proxy.url, { reconnect: { initialDelay: 5, maxDelay: 5 } });
  const consumer = await streamer.createConsumer(key, rolling);
  await consumer.next();
  proxy.refuse();
  await proxy.cut();
  await consumer.end({ timeout: 50 });
  assertEquals(streamer.stats().consumers, 0);
  assertEquals(await pendingIds(server, key, group), ids);
  await streamer.disconnect({ timeout: 1 });
}, { oneServer: PROXIED });

test("a generated name without pending entries leaves the group at the end; a given one stays", async () => {
  const { key } = await groupOf(server, group, 3);
  await using streamer = await connect(server.url);
  const { consumerId: _, ...unnamed } = rolling;
  const holding = await streamer.createConsumer(key, unnamed);
  await take(holding, 1);
  const named = await streamer.createConsumer(key, rolling);
  const done = await streamer.createConsumer(key, unnamed);
  const asked = done.next().catch(() => {});
  await server.command("XGROUP", "CREATECONSUMER", key, group, done.consumerId);
  await server.command("XGROUP", "CREATECONSUMER", key, group, "me");
  await Promise.all([done.end(), named.end(), asked]);
  assertEquals((await consumerNames(server, key, group)).sort(), [holding.consumerId, "me"].sort());
  const names = [holding.consumerId, done.consumerId];
  await holding.end();
  assertEquals((await consumerNames(server, key, group)).sort(), [names[0], "me"].sort(), "it holds one");
});

test("several consumers that end in sequence lose nothing, and count no delivery that no caller saw", async () => {
  const { key } = await groupOf(server, group, 100);
  await using streamer = await connect(server.url);
  const gaps = eventsOf(streamer, "gap");
  const seen: string[] = [];
  for (let life = 0; seen.length < 100; life++) {
    const consumer = await streamer.createConsumer(key, { ...other, consumerId: `life-${life}` });
    for (const message of await take(consumer, 5)) {
      seen.push(message.text());
      assertEquals(message.deliveries, 1);
      consumer.ack(message);
    }
    await consumer.end();
    assertLess(life, 21);
  }
  assertEquals(seen.map(Number).sort((a, b) => a - b).map(String), texts(100));
  assertEquals([await pendingIds(server, key, group), gaps], [[], []]);
});

test("a shard that was unassigned and is read again delivers released messages, as delivered once", async () => {
  const { key } = await groupOf(server, group, 4);
  const second = (await groupOf(server, group, 0)).key;
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer([key, second], { ...rolling, shards: "discover" });
  assertEquals(await takeTexts(consumer, 1), ["0"]);
  await consumer.unassign(key, 0);
  await consumer.assign(key, 0);
  const again = await take(consumer, 3);
  assertEquals(again.map((message) => [message.text(), message.deliveries]), [["1", 1], ["2", 1], ["3", 1]]);
  const rows = await pendingRows(server, key, group);
  assert(rows.every(({ idle }) => idle < 60_000), "they are kept from the others again");
});
