// Tests consumers in a group of shards in many slots of one node: over one connection each, by what the server pushes.

import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import type { AckConsumer, RedisStreamer } from "../../../mod.ts";
import { eventsOf } from "../../support/consumer/grouping.ts";
import { Monitor, take, takeTexts } from "../../support/consumer/reading.ts";
import { callsOf, callsSince, connectAs, flagsOf, ManyShards, sharedNode } from "../../support/consumer/watching.ts";
import { until } from "../../support/events.ts";
import { Got, together } from "../../support/routing/got.ts";
import { test } from "../../support/runner.ts";

const server = await sharedNode();
const SHARDS = 64;
const group = "g";
const shared = { group, autoStreamReset: "earliest", autoCommit: "rolling", autoCommitInterval: 20 } as const;
const resumable = { mode: "resumable", consumerId: "c", ...shared } as const;

/** A consumer that acknowledges all it gets. */
function acking(consumer: AckConsumer): Got {
  const got = new Got();
  got.take(consumer, (message) => consumer.ack(message));
  return got;
}

const nothingPending = (stream: ManyShards) =>
  until(async () => await stream.pending(group) === 0, { what: "nothing is pending" });

test("64 shards are read over one connection, each in order, and acknowledged", async () => {
  const stream = new ManyShards(server, SHARDS);
  await stream.add(3);
  await using streamer = await connectAs(stream.streamKey, server.url);
  const got = acking(await streamer.createConsumer(stream.streamKey, resumable));
  await got.until(stream.count);
  assertEquals((await flagsOf(server, stream.streamKey)).filter((flags) => flags.includes("t")).length, 1);
  for (let shard = 0; shard < SHARDS; shard += 7) {
    await stream.add(1, [shard]);
    await got.until(stream.count);
  }
  await stream.addVeryMany(1_000);
  await got.until(stream.count);
  assertEquals(got.payloads, stream.payloads);
  await nothingPending(stream);
});

test("two load-balanced consumers share 64 shards, and deliver each message once", async () => {
  const stream = new ManyShards(server, SHARDS);
  await stream.add(1);
  await using streamer = await connectAs(stream.streamKey, server.url);
  const gots: Got[] = [];
  for (const consumerId of ["one", "two"]) {
    const options = { mode: "load-balanced", consumerId, ...shared } as const;
    gots.push(acking(await streamer.createConsumer(stream.streamKey, options)));
  }
  const count = () => gots.reduce((sum, got) => sum + got.count, 0);
  for (let round = 0; round < 5; round++) {
    await stream.add(1);
    await stream.addVeryMany(50);
    await until(() => count() >= stream.count);
  }
  const times = together(gots);
  assertEquals([times.size, [...times.values()].every((count) => count === 1)], [stream.count, true]);
  for (const got of gots) got.checkOrder();
  await nothingPending(stream);
});

test("a shard is armed by an XLEN in the same write, and not while its pages are full", async () => {
  const stream = new ManyShards(server, 4);
  await stream.add(1);
  await using streamer = await connectAs(stream.streamKey, server.url);
  const got = acking(
    await streamer.createConsumer(stream.streamKey, { ...resumable, batchSize: 10, shardDiscoveryInterval: null }),
  );
  await got.until(4);
  await until(async () => await stream.pending(group) === 0);
  await using monitor = await Monitor.open(server);
  const names = async () => {
    await monitor.settled(server);
    const [key] = stream.keys;
    const all = monitor.commands.filter((words) => words.includes(key)).map(([name]) => name);
    monitor.commands.length = 0;
    return all.filter((name) => name === "XLEN" || name === "XREADGROUP");
  };
  await stream.add(1, [0]);
  await got.until(5);
  assertEquals(await names(), ["XLEN", "XREADGROUP"]);
  await server.commands([["MULTI"], ...Array.from({ length: 35 }, () => ["XADD", stream.keys[0], "*", "msg", "x"]), [
    "EXEC",
  ]]);
  await got.until(40);
  const all = await names();
  assertEquals(all.slice(0, 2), ["XLEN", "XREADGROUP"]);
  assertLessOrEqual(all.filter((name) => name === "XLEN").length, 2);
  assertLessOrEqual(all.length, 10);
});

test("what other consumers read and acknowledge costs nothing", async () => {
  const stream = new ManyShards(server, 8);
  await stream.add(2);
  await using streamer = await connectAs(stream.streamKey, server.url);
  const got = acking(await streamer.createConsumer(stream.streamKey, { ...resumable, shardDiscoveryInterval: null }));
  await got.until(16);
  await nothingPending(stream);
  const before = await callsOf(server);
  await server.commands(stream.keys.flatMap((key) => [
    ["XGROUP", "CREATE", key, "other", "0"],
    ["XREADGROUP", "GROUP", "other", "o", "STREAMS", key, ">"],
    ["XREADGROUP", "GROUP", group, "o", "STREAMS", key, ">"],
    ["XACK", key, "other", "0-1"],
  ]));
  const calls = await callsSince(server, before);
  assertEquals([calls.get("xreadgroup"), calls.get("xlen") ?? 0], [16, 0]);
});

test("entries that a previous session left pending are delivered first", async () => {
  const stream = new ManyShards(server, 12);
  await stream.add(5);
  await server.commands(stream.keys.flatMap((key) => [
    ["XGROUP", "CREATE", key, group, "0"],
    ["XREADGROUP", "GROUP", group, "c", "COUNT", 3, "STREAMS", key, ">"],
  ]));
  await using streamer = await connectAs(stream.streamKey, server.url);
  const consumer = await streamer.createConsumer(stream.streamKey, resumable);
  const got = acking(consumer);
  await got.until(60);
  assertEquals([got.payloads, consumer.stats().replayed], [stream.payloads, 36]);
  await nothingPending(stream);
});

test("a group that is destroyed is recreated, and the other shards are read meanwhile", async () => {
  const stream = new ManyShards(server, 8);
  await stream.add(2);
  await using streamer = await connectAs(stream.streamKey, server.url);
  const recreated = eventsOf(streamer, "group-recreated");
  const resets = eventsOf(streamer, "stream-reset");
  const got = acking(await streamer.createConsumer(stream.streamKey, resumable));
  await got.until(16);
  await nothingPending(stream);
  await server.command("XGROUP", "DESTROY", stream.keys[3], group);
  await stream.add(2);
  await got.until(32);
  assertEquals(got.payloads, stream.payloads);
  assertEquals(recreated.map(({ shardId }) => shardId), [3]);
  await server.command("DEL", stream.keys[5]);
  await stream.add(1, [0, 1, 2, 3, 4, 6, 7]);
  await got.until(39);
  await server.command("XADD", stream.keys[5], "*", "msg", "5:4");
  await got.until(40);
  assertEquals([recreated.map(({ shardId }) => shardId), resets.map(({ shardId }) => shardId)], [[3, 5], [5]]);
});

for (const mode of ["resumable", "load-balanced"] as const) {
  test(`a ${mode} group that is recreated at the end of its stream gets the entry that has revealed its loss`, async () => {
    const stream = new ManyShards(server, 8);
    await stream.add(2);
    await using streamer = await connectAs(stream.streamKey, server.url);
    const recreated = eventsOf(streamer, "group-recreated");
    const latest = { mode, ...shared, onGroupLost: "latest", shardDiscoveryInterval: null } as const;
    const consumers = [await streamer.createConsumer(stream.streamKey, { ...latest, consumerId: "one" })];
    if (mode === "load-balanced") {
      consumers.push(await streamer.createConsumer(stream.streamKey, { ...latest, consumerId: "two" }));
    }
    const gots = consumers.map(acking);
    const count = () => gots.reduce((sum, got) => sum + got.count, 0);
    await until(() => count() === 16);
    for (let round = 1; round <= 3; round++) {
      await nothingPending(stream);
      await server.command("XGROUP", "DESTROY", stream.keys[3], group);
      await stream.add(2, [3]);
      await until(() => count() === 16 + 2 * round);
    }
    await stream.add(1);
    await until(() => count() === stream.count);
    const times = together(gots);
    assertEquals([times.size, [...times.values()].every((count) => count === 1)], [stream.count, true]);
    assert(recreated.length >= 3 && recreated.every(({ shardId }) => shardId === 3));
  });
}

test("if XINFO GROUPS is not allowed, the entry that reveals a loss may be skipped, and later ones are read as they come", async () => {
  await server.command("ACL", "SETUSER", "blind", "on", ">secret", "~*", "&*", "+@all", "-xinfo|groups");
  const stream = new ManyShards(server, 8);
  await stream.add(2);
  await using streamer = await connectAs(stream.streamKey, server.url.replace("redis://", "redis://blind:secret@"));
  const untracked = eventsOf(streamer, "tracking-unavailable");
  const recreated = eventsOf(streamer, "group-recreated");
  const got = acking(await streamer.createConsumer(stream.streamKey, { ...resumable, onGroupLost: "latest" }));
  await got.until(16);
  await nothingPending(stream);
  for (let shard = 0; shard < 8; shard++) {
    await stream.add(1, [shard]);
    await got.until(17 + shard);
  }
  await nothingPending(stream);
  await server.command("XGROUP", "DESTROY", stream.keys[3], group);
  await stream.add(1, [3]);
  await until(() => recreated.length === 1);
  await stream.add(1, [3, 4]);
  await until(() => got.payloads[3].includes("3:4") && got.payloads[4].includes("4:3"));
  assertEquals(untracked, []);
});

test("a group that is lost while its shard is quiet is noticed by the renewal of leases, and read again", async () => {
  const stream = new ManyShards(server, 8);
  await stream.add(2);
  await using streamer = await connectAs(stream.streamKey, server.url);
  const consumer = await streamer.createConsumer(stream.streamKey, {
    mode: "load-balanced",
    onGroupLost: "earliest",
    autoClaimIdle: 300,
    autoClaimInterval: 100,
    ...shared,
  });
  await take(consumer, 16);
  await server.command("XGROUP", "DESTROY", stream.keys[3], group);
  assertEquals(await takeTexts(consumer, 2), ["3:0", "3:1"]);
});

test("shards join and leave at once, and what was not delivered of them is released", async () => {
  const stream = new ManyShards(server, 6);
  await stream.add(1);
  const { streamKey } = stream;
  await using streamer = await connectAs(streamKey, server.url);
  const consumer = await streamer.createConsumer(streamKey, { ...resumable, shards: [0] });
  const begun = performance.now();
  const takeAll = async (count: number) => {
    const messages = await take(consumer, count);
    for (const message of messages) consumer.ack(message);
    return messages.map((message) => message.text()).sort();
  };
  assertEquals(await takeAll(1), ["0:0"]);
  for (const shard of [1, 2, 3]) await consumer.assign(streamKey, shard);
  await stream.add(1, [1, 2, 3]);
  const later = await takeAll(3); // their groups begin at the first entry
  await takeAll(3);
  assertEquals(later.length, 3);
  await stream.add(5, [2]);
  await until(() => consumer.stats().queued === 5);
  await consumer.unassign(streamKey, 2);
  assertEquals(consumer.stats().queued, 0);
  await stream.add(1, [0, 1, 2, 3]);
  assertEquals(await takeAll(3), ["0:1", "1:2", "3:2"]);
  await consumer.assign(streamKey, 2);
  assertEquals(await takeAll(6), ["2:2", "2:3", "2:4", "2:5", "2:6", "2:7"]);
  assertLessOrEqual(performance.now() - begun, 5_000, "nothing waits for a heartbeat");
});

test("a seek moves a consumer alone or its whole group", async () => {
  const stream = new ManyShards(server, 10);
  await stream.add(5);
  await using streamer = await connectAs(stream.streamKey, server.url);
  const consumer = await streamer.createConsumer(stream.streamKey, resumable);
  const takeAll = async (count: number) => {
    const got = new Got();
    for (const message of await take(consumer, count)) {
      got.add(message);
      consumer.ack(message);
    }
    return got.payloads;
  };
  assertEquals(await takeAll(50), stream.payloads);
  await consumer.rewind("beginning", { group: true });
  assertEquals(await takeAll(50), stream.payloads);
  await consumer.rewind("end", { group: true });
  await stream.add(1);
  assertEquals(await takeAll(10), stream.payloads.map((payloads) => payloads.slice(5)));
  await nothingPending(stream);
  await consumer.rewind("beginning");
  assertEquals(await takeAll(60), stream.payloads);
  await stream.add(1);
  assertEquals(await takeAll(10), stream.payloads.map((payloads) => payloads.slice(6)));
  assertEquals(await stream.pending(group), 0, "it reads without the group");
});

test("a consumer that ends leaves nothing pending that it has not delivered", async () => {
  const stream = new ManyShards(server, 16);
  await stream.addVeryMany(100);
  await using streamer = await connectAs(stream.streamKey, server.url);
  for (let round = 0; round < 8; round++) {
    const options = { mode: "load-balanced", consumerId: `c${round}`, ...shared } as const;
    const consumer = await streamer.createConsumer(stream.streamKey, options);
    for (const message of await take(consumer, 30)) consumer.ack(message);
    await consumer.end();
  }
  const taken = 8 * 30;
  const rest = await streamer.createConsumer(stream.streamKey, {
    mode: "load-balanced",
    consumerId: "rest",
    autoClaimInterval: 50,
    ...shared,
  });
  const got = acking(rest);
  await got.until(stream.count - taken);
  assertEquals(got.count, stream.count - taken);
  await nothingPending(stream);
});

test("how far a load-balanced consumer reads ahead depends on its pace, not on the number of shards", async () => {
  const stream = new ManyShards(server, SHARDS);
  await stream.addVeryMany(100);
  await using streamer = await connectAs(stream.streamKey, server.url);
  const slow = await streamer.createConsumer(stream.streamKey, {
    mode: "load-balanced",
    consumerId: "slow",
    ...shared,
  });
  for (let i = 0; i < 300; i++) {
    slow.ack(await slow.next());
    if (i % 10 === 0) await new Promise((resolve) => setTimeout(resolve, 20)); // 2 ms a message
    assertLessOrEqual(slow.stats().queued, 700);
  }
});

test("an idle group consumer arms and reads two shards with each heartbeat", async () => {
  const stream = new ManyShards(server, SHARDS);
  await stream.add(1);
  await using streamer = await connectAs(stream.streamKey, server.url, { timeout: 200 });
  const options = { ...resumable, shardDiscoveryInterval: null, keepAlive: false } as const;
  const got = acking(await streamer.createConsumer(stream.streamKey, options));
  await got.until(SHARDS);
  await nothingPending(stream);
  await using monitor = await Monitor.open(server);
  await until(() => monitor.commands.filter(([name]) => name === "XREADGROUP").length >= 10);
  const reads = monitor.commands.filter(([name]) => name === "XREADGROUP").slice(0, 10).map((words) => words.at(-2));
  assertEquals(new Set(reads).size, 10);
  const names = new Set(monitor.commands.map(([name]) => name));
  for (const name of ["XREADGROUP", "XLEN", "ECHO", "CLIENT", "HELLO"]) names.delete(name);
  assertEquals([...names], []);
});

test("with immediate acknowledgement nothing is ever pending", async () => {
  const stream = new ManyShards(server, 20);
  await stream.add(10);
  await using streamer = await connectAs(stream.streamKey, server.url);
  const consumer = await streamer.createConsumer(stream.streamKey, {
    mode: "load-balanced",
    group,
    autoStreamReset: "earliest",
    autoCommit: "immediate",
  });
  assertEquals((await takeTexts(consumer, 200)).sort(), stream.payloads.flat().sort());
  await stream.add(1);
  assertEquals((await takeTexts(consumer, 20)).length, 20);
  assertEquals(await stream.pending(group), 0);
  assert(consumer.stats().inHand === 0);
});

test("streams that are missing at first are read once they exist, beside those that do", async () => {
  const stream = new ManyShards(server, 4);
  await stream.add(1, [0, 1]);
  await using streamer: RedisStreamer = await connectAs(stream.streamKey, server.url);
  const consumer = await streamer.createConsumer(stream.streamKey, { ...resumable, shards: 4 });
  const got = acking(consumer);
  await got.until(2);
  await stream.add(2);
  await got.until(10);
  assertEquals(got.payloads, stream.payloads);
});
