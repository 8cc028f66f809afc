// Tests shards: their keys, assigning and unassigning them, and refused calls.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { connect, StreamerError } from "../../../mod.ts";
import { addMany, Monitor, restUpToMark, take, takeTexts, texts } from "../../support/consumer/reading.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { COUNTED } from "../../support/one_server.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();
const realTime = { mode: "real-time" } as const;

async function refused(asked: Promise<unknown>, code: string): Promise<void> {
  const error = await assertRejects(() => asked, StreamerError);
  assertEquals(error.code, code);
}

test("a number of shards means the keys 0 to n - 1, a list its own", async () => {
  const key = uniqueKey();
  await using streamer = await connect(server.url);
  const three = await streamer.createConsumer(key, { ...realTime, shards: 3 });
  assertEquals(three.streamShards, [0, 1, 2].map((shardId) => ({ streamKey: key, shardId })));
  const list = await streamer.createConsumer(key, { ...realTime, shards: [2, 70] });
  assertEquals(list.streamShards, [2, 70].map((shardId) => ({ streamKey: key, shardId })));
  for (const shardId of [0, 1, 2, 70]) await addMany(server, `${key}:${shardId}`, 1, `${shardId}-`);
  await addMany(server, key, 1, "plain");
  const seen = (await take(three, 3)).map((message) => [message.streamKey, message.shardId, message.text()]);
  assertEquals(seen.toSorted(), [[key, 0, "0-0"], [key, 1, "1-0"], [key, 2, "2-0"]]);
  const listed = (await take(list, 2)).map((message) => [message.streamKey, message.shardId, message.text()]);
  assertEquals(listed.toSorted(), [[key, 2, "2-0"], [key, 70, "70-0"]]);
  assertEquals(await restUpToMark(server, three, `${key}:0`), []);
});

test("an unsharded stream is reported as shard 0, whatever its key looks like", async () => {
  const key = `${uniqueKey()}:7`;
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, realTime);
  await addMany(server, key, 1);
  const message = await consumer.next();
  assertEquals([message.streamKey, message.shardId], [key, 0]);
  assertEquals(consumer.streamShards, [{ streamKey: key, shardId: 0 }]);
});

test("order holds in each shard of several streams", async () => {
  const keys = [uniqueKey(), uniqueKey()];
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(keys, { ...realTime, shards: 2, batchSize: 13 });
  for (let round = 0; round < 5; round++) {
    for (const key of keys) for (const shard of [0, 1]) await addMany(server, `${key}:${shard}`, 40, `${round}/`);
  }
  const got = new Map<string, string[]>();
  for (const message of await take(consumer, 800)) {
    const name = `${message.streamKey} ${message.shardId}`;
    got.set(name, [...got.get(name) ?? [], message.text()]);
  }
  const expected = Array.from({ length: 5 }, (_, round) => texts(40, `${round}/`)).flat();
  assertEquals(got.size, 4);
  for (const [name, seen] of got) assertEquals(seen, expected, name);
});

test("an assigned shard is read from the position of autoStreamReset, as soon as it resolves", async () => {
  for (const autoStreamReset of ["latest", "earliest"] as const) {
    const key = uniqueKey();
    await using streamer = await connect(server.url);
    const consumer = await streamer.createConsumer(key, { ...realTime, shards: [0], autoStreamReset });
    await addMany(server, `${key}:5`, 2, "old");
    await consumer.assign(key, 5);
    assertEquals(consumer.streamShards.map(({ shardId }) => shardId), [0, 5]);
    await addMany(server, `${key}:5`, 2, "new");
    const expected = autoStreamReset === "latest" ? texts(2, "new") : [...texts(2, "old"), ...texts(2, "new")];
    assertEquals(await takeTexts(consumer, expected.length), expected);
    await consumer.assign(key, 5);
    assertEquals(consumer.streamShards.length, 2, "assigning it again changes nothing");
    assertEquals(await restUpToMark(server, consumer, `${key}:0`, `${key}:5`), []);
  }
});

test("assigning wakes a blocked read, and messages of the others are kept", async () => {
  const key = uniqueKey();
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { ...realTime, shards: [0], batchSize: 10 });
  await addMany(server, `${key}:0`, 100);
  const asked = consumer.next();
  await Promise.all([1, 2, 3].map((shardId) => consumer.assign(key, shardId)));
  await addMany(server, `${key}:3`, 1, "three");
  const got = [(await asked).text(), ...await takeTexts(consumer, 100)];
  assertEquals(got.filter((text) => !text.startsWith("three")), texts(100));
  assert(got.includes("three0"));
});

test("an unassigned shard delivers nothing more, not even prefetched messages", async () => {
  const key = uniqueKey();
  await addMany(server, `${key}:0`, 20, "zero");
  await addMany(server, `${key}:1`, 20, "one");
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { ...realTime, shards: 2, autoStreamReset: "earliest" });
  const [first] = await take(consumer, 1);
  await consumer.unassign(key, 1);
  assertEquals(consumer.streamShards, [{ streamKey: key, shardId: 0 }]);
  await addMany(server, `${key}:1`, 5, "late");
  const rest = await restUpToMark(server, consumer, `${key}:0`);
  // The shards of a cluster come from several nodes, and the other one may be the first.
  assertEquals(first.shardId === 0 ? [first.text(), ...rest] : rest, texts(20, "zero"));
});

test("a shard that is unassigned and assigned again starts like a new one", async () => {
  const key = uniqueKey();
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { ...realTime, shards: 2 });
  await addMany(server, `${key}:1`, 3, "missed");
  await consumer.unassign(key, 1);
  await consumer.assign(key, 1);
  await addMany(server, `${key}:1`, 1, "new");
  assertEquals(await takeTexts(consumer, 1), ["new0"]);
});

test("streams that are not subscribed are refused", async () => {
  const key = uniqueKey();
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { ...realTime, shards: 2 });
  await refused(consumer.assign(uniqueKey("other"), 0), "STREAM_KEY_NOT_FOUND");
  await refused(consumer.unassign(uniqueKey("other"), 0), "STREAM_KEY_NOT_FOUND");
  await refused(consumer.unassign(key, 9), "STREAM_KEY_NOT_FOUND");
  await refused(consumer.assign(`${key}:0`, 0), "STREAM_KEY_NOT_FOUND");
  for (const shardId of [-1, 0.5, NaN, 2 ** 60]) await refused(consumer.assign(key, shardId), "INVALID_OPTION");
  assertEquals(consumer.streamShards.length, 2);
});

test("the last shard cannot be removed, and nothing changes", async () => {
  const key = uniqueKey();
  await addMany(server, key, 50);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { ...realTime, autoStreamReset: "earliest", batchSize: 5 });
  assertEquals(await takeTexts(consumer, 3), texts(3));
  for (let i = 0; i < 5; i++) {
    await refused(consumer.unassign(key, 0), "STREAM_KEY_EMPTY");
    assertEquals(await takeTexts(consumer, 4), texts(4, "", 3 + i * 4));
  }
  assertEquals(consumer.streamShards, [{ streamKey: key, shardId: 0 }]);
  assertEquals(await takeTexts(consumer, 27), texts(27, "", 23));
});

test("of two concurrent removals of the last two shards one is refused", async () => {
  const key = uniqueKey();
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { ...realTime, shards: 2 });
  const results = await Promise.allSettled([consumer.unassign(key, 0), consumer.unassign(key, 1)]);
  assertEquals(results.map(({ status }) => status), ["fulfilled", "rejected"]);
  assertEquals(consumer.streamShards.length, 1);
  await addMany(server, `${key}:1`, 1);
  assertEquals(await takeTexts(consumer, 1), ["0"]);
});

test("a shard whose end cannot be read is not assigned, and the others continue", async () => {
  const key = uniqueKey();
  await server.command("SET", `${key}:1`, "a string");
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { ...realTime, shards: [0] });
  await refused(consumer.assign(key, 1), "WRONGTYPE");
  await addMany(server, `${key}:0`, 1);
  assertEquals(await takeTexts(consumer, 1), ["0"]);
  assertEquals(consumer.streamShards.length, 1);
});

test("two subscriptions of one Redis key never deliver a message repeatedly", async () => {
  const key = uniqueKey();
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer([key, `${key}:1`], realTime);
  const assigned = await consumer.assign(key, 1).then(() => true, (error) => {
    assertEquals(error.code, "INVALID_OPTION");
    return false;
  });
  await addMany(server, `${key}:1`, 1, "once");
  const got = (await take(consumer, assigned ? 2 : 1)).map(({ streamKey, shardId }) => [streamKey, shardId]);
  assertEquals(got.toSorted(), assigned ? [[key, 1], [`${key}:1`, 0]] : [[`${key}:1`, 0]]);
  assertEquals(await restUpToMark(server, consumer, key), []);
});

test("a creation with two shards of one Redis key is refused, or delivers each message once", async () => {
  const key = uniqueKey();
  await using streamer = await connect(server.url);
  // The plain key of one is the shard of the other only where both are read plain; here none collides.
  const consumer = await streamer.createConsumer([key, `${key}:0`], { ...realTime, shards: [0] });
  await addMany(server, `${key}:0`, 1, "a");
  await addMany(server, `${key}:0:0`, 1, "b");
  const got = (await take(consumer, 2)).map((message) => [message.streamKey, message.text()]);
  assertEquals(got.toSorted(), [[key, "a0"], [`${key}:0`, "b0"]]);
});

test("all shards are read by one command on one connection", async () => {
  const key = uniqueKey();
  await using monitor = await Monitor.open(server);
  await using streamer = await connect(server.url);
  await streamer.createConsumer(key, { ...realTime, shards: 4 });
  const read = await until(() => monitor.of("XREAD", `${key}:2`).at(0));
  assertEquals(read.slice(6, 10), [0, 1, 2, 3].map((shard) => `${key}:${shard}`));
}, { oneServer: COUNTED });
