// Tests the plain key that consumers in groups create when a stream has neither entries nor shards: it hides no shards, and is not
// read once there are some.

import { assert, assertEquals } from "@std/assert";
import { connect } from "../../../mod.ts";
import { addMany, Monitor, restUpToMark, take, texts } from "../../support/consumer/reading.ts";
import { byShard, lookedFor, numbersOf, shardsTold } from "../../support/consumer/sharding.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();
const options = { mode: "load-balanced", group: "g", autoCommit: "rolling" } as const;

async function groupsOf(redisKey: string): Promise<string[]> {
  const reply = await server.command("XINFO", "GROUPS", redisKey);
  return Array.isArray(reply) ? reply.map((row) => String(Array.isArray(row) ? row[1] : row)) : [];
}

test("with nothing there the plain key is created, and with numbered shards only these", async () => {
  const [plain, sharded, one] = [uniqueKey(), uniqueKey(), uniqueKey()];
  await using streamer = await connect(server.url);
  await streamer.createConsumer(plain, options);
  await streamer.createConsumer(sharded, { ...options, shards: 2 });
  await streamer.createConsumer(one, { ...options, shards: [3] });
  assertEquals(await groupsOf(plain), ["g"]);
  for (const redisKey of [`${sharded}:0`, `${sharded}:1`, `${one}:3`]) assertEquals(await groupsOf(redisKey), ["g"]);
  assertEquals(await server.command("EXISTS", sharded, one, `${sharded}:2`, `${plain}:0`), 0);
});

test("shards that appear within the default interval are read from their first entry, and the created key no more", async () => {
  const key = uniqueKey();
  await using monitor = await Monitor.open(server);
  await using streamer = await connect(server.url);
  const told = shardsTold(streamer);
  const consumers = [await streamer.createConsumer(key, options), await streamer.createConsumer(key, options)];
  for (const shard of [0, 1]) await addMany(server, `${key}:${shard}`, 20, `${shard}-`);
  const got: string[] = [];
  const loops = consumers.map(async (consumer) => {
    for await (const message of consumer) {
      got.push(message.text());
      consumer.ack(message);
    }
  });
  await until(() => got.length === 40);
  assertEquals(got.toSorted(), [...texts(20, "0-"), ...texts(20, "1-")].toSorted());
  await until(() => consumers.every((consumer) => numbersOf(consumer, key).toSorted().join() === "0,1"));
  for (const { gone, ignoredPlain } of told) assertEquals([gone, ignoredPlain], [[], false]);
  await monitor.settled(server);
  const before = monitor.count("XREADGROUP", key);
  await addMany(server, `${key}:0`, 5, "more");
  await until(() => got.length === 45);
  await monitor.settled(server);
  const reads = monitor.of("XREADGROUP", key).slice(before);
  assert(reads.every((words) => !words.includes(key)), "the plain key is read no more");
  for (const consumer of consumers) await consumer.end();
  await Promise.all(loops);
});

test("shards that appeared while no consumer ran are read from their first entry, in spite of the created key", async () => {
  for (const mode of ["resumable", "load-balanced"] as const) {
    const key = uniqueKey();
    await using streamer = await connect(server.url);
    const before = await streamer.createConsumer(key, { ...options, mode });
    await before.end();
    assertEquals(await groupsOf(key), ["g"]);
    for (const shard of [0, 1]) await addMany(server, `${key}:${shard}`, 3, `${shard}-`);
    const consumer = await streamer.createConsumer(key, { ...options, mode });
    assertEquals(numbersOf(consumer, key), [0, 1]);
    assertEquals(byShard(await take(consumer, 6)), { "0": texts(3, "0-"), "1": texts(3, "1-") });
    assertEquals(await restUpToMark(server, consumer, `${key}:0`, `${key}:1`), []);
  }
});

test("the created key is left for shards after it was deleted, and is not created again", async () => {
  const key = uniqueKey();
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { ...options, shardDiscoveryInterval: 20 });
  const asked = consumer.next();
  await server.command("DEL", key);
  await addMany(server, `${key}:0`, 1, "shard");
  assertEquals((await asked).text(), "shard0");
  assertEquals(await server.command("EXISTS", key), 0);
});

test("a shard that is found is read without MKSTREAM: once deleted it is not created by a running consumer", async () => {
  const key = uniqueKey();
  await using monitor = await Monitor.open(server);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { ...options, shardDiscoveryInterval: 20 });
  for (const shard of [0, 4]) { // in place of the plain key, and later
    await addMany(server, `${key}:${shard}`, 1, `${shard}-`);
    assertEquals((await consumer.next()).text(), `${shard}-0`);
    await monitor.settled(server);
    const [created] = monitor.of("XGROUP", `${key}:${shard}`);
    assert(!created.some((word) => word.toUpperCase() === "MKSTREAM"), created.join(" "));
  }
  await server.command("DEL", `${key}:4`);
  await lookedFor(monitor, `${key}:4`);
  assertEquals(await server.command("EXISTS", `${key}:4`), 0);
});

test("an entry in the created key is delivered before the shards are read, and nothing is lost", async () => {
  const key = uniqueKey();
  await using streamer = await connect(server.url);
  const told = shardsTold(streamer);
  const consumer = await streamer.createConsumer(key, { ...options, shardDiscoveryInterval: 20 });
  await addMany(server, key, 2, "plain");
  await addMany(server, `${key}:0`, 2, "shard");
  const got: string[] = [];
  while (got.length < 4) {
    const message = await consumer.next();
    got.push(message.text());
    consumer.ack(message);
  }
  assertEquals(got, [...texts(2, "plain"), ...texts(2, "shard")]);
  assertEquals(told, [{ streamKey: key, found: [0], gone: [], ignoredPlain: true }]);
});
