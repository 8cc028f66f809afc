// Tests a stream that is read in its plain key and gets shards: the plain key is read to its end at that time,
// delivered, and left, and the shards are read in its place from their first entry.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { connect } from "../../../mod.ts";
import { array, bulk, entry, page3 } from "../../unit/commands/frames.ts";
import { addMany, Monitor, restUpToMark, take, takeTexts, texts } from "../../support/consumer/reading.ts";
import { byShard, lookedFor, numbersOf, shardsTold, toldTimes } from "../../support/consumer/sharding.ts";
import { until } from "../../support/events.ts";
import { handshake, noShards, startFakeServer } from "../../support/network/fake_server.ts";
import { uniqueKey } from "../../support/keys.ts";
import { OWN, TOGETHER } from "../../support/one_server.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();
const often = { mode: "real-time", shardDiscoveryInterval: 20 } as const;

test("new shards of a stream are read from their first entry, and the plain key no longer", async () => {
  const key = uniqueKey();
  await addMany(server, key, 2, "old");
  await using streamer = await connect(server.url);
  const told = shardsTold(streamer);
  const consumer = await streamer.createConsumer(key, often);
  await addMany(server, key, 3, "plain");
  assertEquals(await takeTexts(consumer, 3), texts(3, "plain"));
  for (const shard of [2, 0]) await addMany(server, `${key}:${shard}`, 3, `${shard}-`);
  assertEquals(byShard(await take(consumer, 6)), { "0": texts(3, "0-"), "2": texts(3, "2-") });
  assertEquals(told.flatMap(({ found }) => found).toSorted(), [0, 2]);
  for (const { gone, ignoredPlain } of told) assertEquals([gone, ignoredPlain], [[], true]);
  await addMany(server, key, 3, "ignored");
  assertEquals(await restUpToMark(server, consumer, `${key}:0`, `${key}:2`), []);
  assertEquals(numbersOf(consumer, key).toSorted(), [0, 2]);
});

test("a stream that did not exist gets shards: no plain key is ignored", async () => {
  const key = uniqueKey();
  await using streamer = await connect(server.url);
  const told = shardsTold(streamer);
  const consumer = await streamer.createConsumer(key, often);
  assertEquals([consumer.streamShards, told], [[{ streamKey: key, shardId: 0 }], []]);
  const asked = consumer.next();
  await addMany(server, `${key}:0`, 1);
  const message = await asked;
  assertEquals([message.streamKey, message.shardId, message.text()], [key, 0, "0"]);
  assertEquals(told, [{ streamKey: key, found: [0], gone: [], ignoredPlain: false }]);
});

test("entries in the plain key when shards are found are delivered before it is left, page by page", async () => {
  const key = uniqueKey();
  await using monitor = await Monitor.open(server);
  await using streamer = await connect(server.url);
  const told = shardsTold(streamer);
  const consumer = await streamer.createConsumer(key, { ...often, batchSize: 3 });
  consumer.pause();
  await addMany(server, key, 50, "plain");
  await addMany(server, `${key}:0`, 20, "shard");
  await lookedFor(monitor, `${key}:5`);
  assertEquals([told, consumer.streamShards], [[], [{ streamKey: key, shardId: 0 }]]);
  assertEquals(monitor.of("XREAD", `${key}:0`), []);
  consumer.resume();
  assertEquals(await takeTexts(consumer, 70), [...texts(50, "plain"), ...texts(20, "shard")]);
  assertEquals(told, [{ streamKey: key, found: [0], gone: [], ignoredPlain: true }]);
  assertEquals(await restUpToMark(server, consumer, `${key}:0`), []);
});

test("a writer that continues with the plain key does not keep the shards from being read", async () => {
  const key = uniqueKey();
  await using streamer = await connect(server.url);
  const told = shardsTold(streamer);
  const consumer = await streamer.createConsumer(key, { ...often, batchSize: 10 });
  let writing = true;
  let written = 0;
  const writer = (async () => {
    for (; writing; written += 10) await addMany(server, key, 10, `plain${written}/`);
  })();
  await addMany(server, `${key}:1`, 5, "shard");
  const got: Record<string, string[]> = {};
  while ((got["1"]?.length ?? 0) < 5) {
    const message = await consumer.next();
    (got[message.shardId] ??= []).push(message.text());
  }
  writing = false;
  await writer;
  assertEquals(got["1"], texts(5, "shard"));
  const plain = got["0"] ?? [];
  const all = Array.from({ length: written / 10 }, (_, i) => texts(10, `plain${i * 10}/`)).flat();
  assertEquals(plain, all.slice(0, plain.length), "without a gap, up to where it was left");
  assertEquals(told, [{ streamKey: key, found: [1], gone: [], ignoredPlain: true }]);
  assertEquals(await restUpToMark(server, consumer, `${key}:1`), []);
});

test("with a prefetch of 0 and no call, the plain key is left when its rest was requested", async () => {
  const key = uniqueKey();
  await using monitor = await Monitor.open(server);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { ...often, prefetch: 0, batchSize: 1 });
  await addMany(server, key, 3, "plain");
  await addMany(server, `${key}:3`, 2, "shard");
  await lookedFor(monitor, `${key}:5`);
  assertEquals(numbersOf(consumer, key), [0]);
  assertEquals(await takeTexts(consumer, 5), [...texts(3, "plain"), ...texts(2, "shard")]);
  assertEquals(numbersOf(consumer, key), [3]);
});

test("entries that were deleted before they were read do not delay the shards", async () => {
  const key = uniqueKey();
  await using monitor = await Monitor.open(server);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { ...often, batchSize: 1, prefetch: 0 });
  const ids = await addMany(server, key, 4, "plain");
  await addMany(server, `${key}:0`, 1, "shard");
  await lookedFor(monitor, `${key}:5`);
  assertEquals(await takeTexts(consumer, 2), texts(2, "plain"));
  await server.command("XDEL", key, ...ids.slice(2));
  assertEquals(await takeTexts(consumer, 1), ["shard0"]);
});

test("a plain key that is deleted while it is left does not delay the shards", async () => {
  const key = uniqueKey();
  await using monitor = await Monitor.open(server);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { ...often, batchSize: 1, prefetch: 0 });
  await addMany(server, key, 4, "plain");
  await addMany(server, `${key}:0`, 1, "shard");
  await lookedFor(monitor, `${key}:5`);
  await server.command("DEL", key);
  assertEquals(await takeTexts(consumer, 1), ["shard0"]);
});

test("shards that are deleted before the plain key was left are ignored", async () => {
  const key = uniqueKey();
  await using monitor = await Monitor.open(server);
  await using streamer = await connect(server.url);
  const told = shardsTold(streamer);
  const consumer = await streamer.createConsumer(key, often);
  consumer.pause();
  await addMany(server, key, 4, "plain");
  await addMany(server, `${key}:0`, 1, "shard");
  await lookedFor(monitor, `${key}:5`);
  await server.command("DEL", `${key}:0`);
  await lookedFor(monitor, `${key}:5`);
  consumer.resume();
  assertEquals(await takeTexts(consumer, 4), texts(4, "plain"));
  await addMany(server, key, 2, "more");
  assertEquals(await restUpToMark(server, consumer, key), texts(2, "more"));
  assertEquals(told, []);
});

test("of several streams only the one that gets shards leaves its plain key", async () => {
  const [changing, staying] = [uniqueKey(), uniqueKey()];
  await using streamer = await connect(server.url);
  const told = shardsTold(streamer);
  const consumer = await streamer.createConsumer([changing, staying], often);
  await addMany(server, `${changing}:4`, 2, "shard");
  await addMany(server, staying, 2, "plain");
  const got = (await take(consumer, 4)).map(({ streamKey, shardId }) => [streamKey, shardId]);
  assertEquals(got.toSorted(), [[changing, 4], [changing, 4], [staying, 0], [staying, 0]].toSorted());
  await toldTimes(told, 1);
  assertEquals(consumer.streamShards.toSorted((one, other) => one.shardId - other.shardId), [
    { streamKey: staying, shardId: 0 },
    { streamKey: changing, shardId: 4 },
  ]);
});

test("the number 0 means the plain key before, and the shard 0 after", async () => {
  const [key, other] = [uniqueKey(), uniqueKey()];
  await using streamer = await connect(server.url);
  const told = shardsTold(streamer);
  const consumer = await streamer.createConsumer([key, other], often);
  await consumer.unassign(key, 0);
  await consumer.assign(key, 0);
  await addMany(server, key, 1, "plain");
  assertEquals(await takeTexts(consumer, 1), ["plain0"]);
  await addMany(server, `${key}:0`, 1, "zero");
  await addMany(server, `${key}:1`, 1, "one");
  assertEquals((await takeTexts(consumer, 2)).toSorted(), ["one0", "zero0"]);
  await toldTimes(told, 1);
  await consumer.unassign(key, 0);
  await addMany(server, `${key}:0`, 1, "not wanted");
  await consumer.assign(key, 0);
  await addMany(server, key, 1, "plain");
  await addMany(server, `${key}:0`, 1, "wanted");
  assertEquals(await takeTexts(consumer, 1), ["wanted0"]);
});

test("a plain key that is unassigned while it is to be left brings no shards, until it is assigned again", async () => {
  const [key, other] = [uniqueKey(), uniqueKey()];
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer([key, other], often);
  for (const one of [key, other]) await addMany(server, one, 1, "x");
  await until(() => consumer.stats().queued === 2); // not returned: the plain key is not left
  await using monitor = await Monitor.open(server);
  await addMany(server, `${key}:0`, 1, "shard");
  await lookedFor(monitor, `${key}:0`);
  await consumer.unassign(key, 0);
  assertEquals(await takeTexts(consumer, 1), ["x0"]);
  await addMany(server, other, 20, "more");
  assertEquals(await takeTexts(consumer, 20), texts(20, "more"));
  await lookedFor(monitor, `${other}:0`);
  assertEquals(numbersOf(consumer, key), []);
  await consumer.assign(key, 0);
  assertEquals(await takeTexts(consumer, 1), ["shard0"]);
});

test("a shard assigned beside the plain key continues at its position when shards are found", async () => {
  const key = uniqueKey();
  await addMany(server, `${key}x`, 1);
  await using streamer = await connect(server.url);
  const told = shardsTold(streamer);
  const consumer = await streamer.createConsumer(key, { ...often, shardDiscoveryInterval: 100 });
  await consumer.assign(key, 3);
  await addMany(server, `${key}:3`, 2, "three");
  assertEquals(await takeTexts(consumer, 2), texts(2, "three"));
  await addMany(server, `${key}:1`, 2, "one");
  assertEquals(await takeTexts(consumer, 2), texts(2, "one"));
  assertEquals(told.flatMap(({ found }) => found).toSorted(), [1, 3]);
  assertEquals(await restUpToMark(server, consumer, `${key}:1`, `${key}:3`), []);
  assertEquals(numbersOf(consumer, key).toSorted(), [1, 3]);
});

test("a rewind while the plain key is being left reads it again, and a failed one loses nothing of it", async () => {
  const key = uniqueKey();
  await using monitor = await Monitor.open(server);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { ...often, batchSize: 5 });
  consumer.pause();
  await addMany(server, key, 8, "plain");
  await addMany(server, `${key}:0`, 1, "shard");
  await lookedFor(monitor, `${key}:5`);
  const controller = new AbortController();
  const failing = consumer.rewind("end", { signal: controller.signal });
  controller.abort(new Error("enough"));
  await assertRejects(() => failing, Error, "enough");
  consumer.resume();
  assertEquals(await takeTexts(consumer, 3), texts(3, "plain"));
  await consumer.rewind("beginning");
  assertEquals(await takeTexts(consumer, 9), [...texts(8, "plain"), "shard0"]);
});

test("a rewind that fails restores a plain key that is being left, whatever was found meanwhile", async () => {
  const entries = [entry("6-0", "msg", "plain0"), entry("7-0", "msg", "plain1")];
  const blocked: ((reply: string) => void)[] = [];
  let questions = 0;
  await using fake = await startFakeServer(async (peer) => {
    await peer.serve({
      ...handshake,
      ...noShards,
      CLIENT: (words) => {
        if (words[1] !== "UNBLOCK") return typeof handshake.CLIENT === "function" ? handshake.CLIENT(words) : undefined;
        for (const wake of blocked.splice(0)) wake("_\r\n");
        return ":1\r\n";
      },
      EXISTS: () => questions > 0 ? ":1\r\n" : ":0\r\n",
      TYPE: ([, redisKey]) => questions > 0 && ["k", "k:0"].includes(redisKey) ? "+stream\r\n" : "+none\r\n",
      XINFO: () => questions++ === 0 ? array(bulk("last-generated-id"), bulk("5-0")) : "-BUSY with a script\r\n",
      XREVRANGE: array(entries[1]),
      XREAD: (words) => {
        const from = words.slice(words.indexOf("STREAMS") + 1).join(" ");
        if (from === "k 5-0") return page3(["k", ...entries]);
        if (from === "k:0 0-0") return page3(["k:0", entry("1-0", "msg", "shard")]);
        return new Promise((resolve) => blocked.push(resolve));
      },
    });
    for (const wake of blocked.splice(0)) wake("_\r\n");
  });
  await using streamer = await connect(fake.url, { reconnect: { initialDelay: 5, maxDelay: 20 } });
  const told = shardsTold(streamer);
  const consumer = await streamer.createConsumer("k", often);
  consumer.pause();
  await until(() => consumer.stats().queued === 2);
  const controller = new AbortController();
  const failing = consumer.rewind("end", { signal: controller.signal });
  failing.catch(() => {});
  const looks = () => fake.peers[0].commands.filter(([name]) => name === "XREVRANGE").length;
  await until(() => questions > 1 && looks() > 2);
  controller.abort(new Error("enough"));
  await assertRejects(() => failing, Error, "enough");
  consumer.resume();
  assertEquals(await takeTexts(consumer, 3), ["plain0", "plain1", "shard"]);
  assertEquals(told.length, 1);
}, { oneServer: OWN });

test("a plain key whose position is after its end is left at once", async () => {
  const key = uniqueKey();
  await using monitor = await Monitor.open(server);
  await using streamer = await connect(server.url);
  const told = shardsTold(streamer);
  const consumer = await streamer.createConsumer(key, { ...often, shardDiscoveryInterval: 1_000 });
  consumer.pause();
  const ids = await addMany(server, key, 8, "plain");
  await addMany(server, `${key}:0`, 1, "before");
  await lookedFor(monitor, `${key}:5`);
  const looks = monitor.count("TYPE", `${key}:5`);
  await consumer.rewind(ids[7]);
  await toldTimes(told, 1);
  assertEquals(numbersOf(consumer, key), [0]);
  await monitor.settled(server);
  assertEquals(monitor.count("TYPE", `${key}:5`), looks);
});

test("a rewind to the end while the plain key is being left moves the shards to their end, too", async () => {
  const key = uniqueKey();
  await using monitor = await Monitor.open(server);
  await using streamer = await connect(server.url);
  const told = shardsTold(streamer);
  const consumer = await streamer.createConsumer(key, often);
  consumer.pause();
  await addMany(server, key, 8, "plain");
  await addMany(server, `${key}:0`, 3, "before");
  await lookedFor(monitor, `${key}:5`);
  await consumer.rewind("end");
  await addMany(server, `${key}:0`, 1, "after");
  consumer.resume();
  assertEquals(await takeTexts(consumer, 1), ["after0"]);
  assertEquals(told, [{ streamKey: key, found: [0], gone: [], ignoredPlain: true }]);
});

test("if the last entry of the plain key cannot be read it is read further, and an event reports it", async () => {
  const key = uniqueKey();
  const user = uniqueKey("user");
  await server.command("ACL", "SETUSER", user, "on", ">secret", "~*", "&*", "+@all", "-xrevrange", "-xinfo");
  await using streamer = await connect(server.url, { username: user, password: "secret" });
  const told = shardsTold(streamer);
  const consumer = await streamer.createConsumer(key, { ...often, autoStreamReset: "earliest" });
  await server.commands([["MULTI"], ["XADD", key, "*", "msg", "plain"], ["XADD", `${key}:0`, "*", "msg", "shard"], [
    "EXEC",
  ]]);
  await toldTimes(told, 1);
  assertEquals({ ...told[0], cause: undefined }, {
    streamKey: key,
    found: [],
    gone: [],
    ignoredPlain: false,
    cause: undefined,
  });
  assert(told[0].cause instanceof Error);
  await addMany(server, key, 1, "more");
  assertEquals(await takeTexts(consumer, 2), ["plain", "more0"]);
  assertEquals(numbersOf(consumer, key), [0]);
  await streamer.disconnect();
  await server.command("ACL", "DELUSER", user);
}, { oneServer: TOGETHER });

test("an end while a plain key is being left does not hang", async () => {
  const key = uniqueKey();
  await using monitor = await Monitor.open(server);
  await using streamer = await connect(server.url);
  const told = shardsTold(streamer);
  const consumer = await streamer.createConsumer(key, often);
  consumer.pause();
  await addMany(server, key, 8, "plain");
  await addMany(server, `${key}:0`, 3, "shard");
  await lookedFor(monitor, `${key}:5`);
  consumer.resume();
  await consumer.end();
  await monitor.settled(server);
  assertEquals(told, []);
});
