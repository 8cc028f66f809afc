// Tests a real-time consumer of shards in many slots of one node: over one connection, by what the server pushes.

import { assert, assertEquals, assertGreaterOrEqual, assertLessOrEqual } from "@std/assert";
import type { Message } from "../../../mod.ts";
import { Monitor, take, takeTexts } from "../../support/consumer/reading.ts";
import { callsOf, callsSince, connectAs, flagsOf, ManyShards, sharedNode } from "../../support/consumer/watching.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { Got } from "../../support/routing/got.ts";
import { test } from "../../support/runner.ts";

const server = await sharedNode();
const SHARDS = 64;
const earliest = { mode: "real-time", autoStreamReset: "earliest" } as const;

test("64 shards are read over one connection, each in order, as entries arrive and as a backlog", async () => {
  const stream = new ManyShards(server, SHARDS);
  await stream.add(3);
  await using streamer = await connectAs(stream.streamKey, server.url);
  const got = new Got();
  got.take(await streamer.createConsumer(stream.streamKey, earliest));
  await got.until(stream.count);
  assertEquals((await flagsOf(server, stream.streamKey)).filter((flags) => flags.includes("t")).length, 1);
  for (let shard = 0; shard < SHARDS; shard += 7) {
    await stream.add(1, [shard]);
    await got.until(stream.count);
  }
  await stream.addVeryMany(1_000);
  await got.until(stream.count);
  assertEquals(got.payloads, stream.payloads);
});

test("an entry costs one read, and quiet shards cost none", async () => {
  const stream = new ManyShards(server, SHARDS);
  await stream.add(1);
  await using streamer = await connectAs(stream.streamKey, server.url);
  const consumer = await streamer.createConsumer(stream.streamKey, { ...earliest, shardDiscoveryInterval: null });
  await take(consumer, SHARDS);
  const before = await callsOf(server);
  for (let i = 0; i < 10; i++) {
    await stream.add(1, [i]);
    assertEquals((await consumer.next()).text(), `${i}:1`);
  }
  const calls = await callsSince(server, before);
  assertEquals([calls.get("xread"), calls.get("xinfo|stream") ?? 0], [10, 0]);
});

test("entries of all shards that arrive together are read in turn", async () => {
  const stream = new ManyShards(server, 8);
  await stream.add(1);
  await using streamer = await connectAs(stream.streamKey, server.url);
  const consumer = await streamer.createConsumer(stream.streamKey, { ...earliest, batchSize: 10 });
  await take(consumer, 8);
  consumer.pause();
  await stream.addVeryMany(100);
  const read = take(consumer, 800);
  consumer.resume();
  const turns = (await read).map(({ shardId }) => shardId).filter((shard, i, all) => shard !== all[i - 1]);
  assertGreaterOrEqual(turns.length, 8 * 9, "no shard waits until another one has been read to its end");
  for (let at = 16; at + 8 <= turns.length; at += 8) assertEquals(new Set(turns.slice(at, at + 8)).size, 8, `${turns}`);
});

test("shards of one slot are read by one command, beside those of other slots", async () => {
  const tagged = new ManyShards(server, 4, `{${uniqueKey("tagged")}}`);
  const spread = new ManyShards(server, 4);
  for (const stream of [tagged, spread]) await stream.add(1);
  await using monitor = await Monitor.open(server);
  await using streamer = await connectAs(tagged.streamKey, server.url);
  const got = new Got();
  got.take(await streamer.createConsumer([tagged.streamKey, spread.streamKey], earliest));
  await got.until(8);
  await monitor.settled(server);
  const widths = () =>
    monitor.commands.filter(([name]) => name === "XREAD")
      .map((words) => (words.length - words.indexOf("STREAMS") - 1) / 2).sort();
  assertEquals(widths(), [1, 1, 1, 1, 4]);
  monitor.commands.length = 0;
  await server.commands([["MULTI"], ...[1, 3].map((n) => ["XADD", `${tagged.streamKey}:${n}`, "*", "msg", "x"]), [
    "EXEC",
  ]]);
  await got.until(10);
  await monitor.settled(server);
  assertLessOrEqual(widths().at(-1) ?? 0, 2, "only those that have changed");
});

test("a consumer of a tag whose shards all lie in one slot blocks, as on a standalone server", async () => {
  const stream = new ManyShards(server, 5, `{${uniqueKey("tagged")}}`);
  await stream.add(1);
  await using streamer = await connectAs(stream.streamKey, server.url);
  const consumer = await streamer.createConsumer(stream.streamKey, earliest);
  await take(consumer, 5);
  const isBlocked = async () => (await flagsOf(server, stream.streamKey)).some((flags) => flags.includes("b"));
  await until(isBlocked);
  assertEquals((await flagsOf(server, stream.streamKey)).filter((flags) => flags.includes("t")), []);
});

test("shards that are assigned and unassigned join and leave at once, from one slot to many and back", async () => {
  const stream = new ManyShards(server, 6);
  await stream.add(1);
  await using streamer = await connectAs(stream.streamKey, server.url);
  const { streamKey } = stream;
  const consumer = await streamer.createConsumer(streamKey, { ...earliest, shards: [0] });
  assertEquals(await takeTexts(consumer, 1), ["0:0"]);
  const begun = performance.now();
  for (const shard of [1, 2, 3]) await consumer.assign(streamKey, shard);
  assertEquals((await takeTexts(consumer, 3)).sort(), ["1:0", "2:0", "3:0"]);
  await consumer.unassign(streamKey, 0);
  await consumer.unassign(streamKey, 2);
  await stream.add(1);
  assertEquals((await takeTexts(consumer, 2)).sort(), ["1:1", "3:1"]);
  await consumer.unassign(streamKey, 1);
  await stream.add(1);
  assertEquals(await takeTexts(consumer, 1), ["3:2"]);
  await consumer.assign(streamKey, 0);
  assertEquals((await takeTexts(consumer, 3)).sort(), ["0:0", "0:1", "0:2"]);
  assertLessOrEqual(performance.now() - begun, 5_000, "nothing waits for a heartbeat");
});

test("shards that appear later are read from their beginning, in place of the plain key", async () => {
  const key = uniqueKey();
  await server.command("XADD", key, "*", "msg", "plain");
  await using streamer = await connectAs(key, server.url);
  const consumer = await streamer.createConsumer(key, { ...earliest, shardDiscoveryInterval: 50 });
  assertEquals(await takeTexts(consumer, 1), ["plain"]);
  const stream = new ManyShards(server, 5, key);
  await stream.add(2);
  assertEquals((await takeTexts(consumer, 10)).sort(), stream.payloads.flat().sort());
  await stream.add(1);
  assertEquals((await takeTexts(consumer, 5)).sort(), stream.payloads.map((payloads) => payloads[2]));
});

test("seek and rewind go to the same place in each shard", async () => {
  const stream = new ManyShards(server, 10);
  await stream.add(20);
  await using streamer = await connectAs(stream.streamKey, server.url);
  const consumer = await streamer.createConsumer(stream.streamKey, earliest);
  const takeAll = async (count: number) => {
    const got = new Got();
    for (const message of await take(consumer, count)) got.add(message);
    return got.payloads;
  };
  assertEquals(await takeAll(200), stream.payloads);
  await consumer.rewind("beginning");
  assertEquals(await takeAll(200), stream.payloads);
  await consumer.rewind("end");
  await stream.add(1);
  assertEquals(await takeAll(10), stream.payloads.map((payloads) => payloads.slice(20)));
  for (let i = 0; i < 20; i++) await Promise.all([consumer.seek(0n), stream.add(1, [i % 10])]);
  assertEquals(await takeAll(stream.count), stream.payloads);
});

test("a recreated stream is read from its beginning, and so are all after a flush", async () => {
  const stream = new ManyShards(server, 4);
  await stream.add(2);
  await using streamer = await connectAs(stream.streamKey, server.url, { timeout: 300 });
  const resets: number[] = [];
  streamer.addEventListener("stream-reset", ({ detail }) => resets.push(detail.shardId));
  const consumer = await streamer.createConsumer(stream.streamKey, earliest);
  await take(consumer, 8);
  await server.commands([["DEL", stream.keys[1]], ["XADD", stream.keys[1], "1-1", "msg", "new"]]);
  assertEquals([await takeTexts(consumer, 1), resets], [["new"], [1]]);
  await server.command("FLUSHALL");
  await server.commands(stream.keys.map((key, shard) => ["XADD", key, "0-1", "msg", `flushed ${shard}`]));
  assertEquals((await takeTexts(consumer, 4)).sort(), [0, 1, 2, 3].map((shard) => `flushed ${shard}`));
});

test("an idle consumer of 64 shards looks at two of them with each heartbeat, in turn", async () => {
  const stream = new ManyShards(server, SHARDS);
  await stream.add(1);
  await using monitor = await Monitor.open(server);
  await using streamer = await connectAs(stream.streamKey, server.url, { timeout: 200 });
  const consumer = await streamer.createConsumer(stream.streamKey, { ...earliest, shardDiscoveryInterval: null });
  await take(consumer, SHARDS);
  await monitor.settled(server);
  monitor.commands.length = 0;
  const reads = () => monitor.commands.filter(([name]) => name === "XREAD").map((words) => words.at(-2));
  await until(() => reads().length >= 12);
  assertEquals(new Set(reads().slice(0, 12)).size, 12, "each time others");
  const queries = monitor.commands.filter(([name]) => name === "XINFO").length;
  assertLessOrEqual(queries, (reads().length / 2 + 1) * 4);
});

test("prefetched bytes stay within their limit, however many shards have large entries", async () => {
  const stream = new ManyShards(server, 40);
  const large = "x".repeat(100_000);
  for (const key of stream.keys) {
    await server.commands(Array.from({ length: 10 }, () => ["XADD", key, "*", "msg", large]));
  }
  await using streamer = await connectAs(stream.streamKey, server.url);
  const limit = 2_000_000;
  const consumer = await streamer.createConsumer(stream.streamKey, {
    ...earliest,
    maxBufferedBytes: limit,
    batchSize: 2,
  });
  const seen: number[] = [];
  let most = 0;
  for (let i = 0; i < 400; i++) {
    const { shardId }: Message = await consumer.next();
    seen.push(shardId);
    if (i > 40) most = Math.max(most, consumer.stats().queuedBytes); // the first round cannot know how large they are
  }
  assertLessOrEqual(most, limit + 2 * 100_100);
  assert(stream.keys.every((_, shard) => seen.filter((one) => one === shard).length === 10));
});

test("without prefetch a round is read when a caller waits, and not before", async () => {
  const stream = new ManyShards(server, 8);
  await stream.add(1);
  await using streamer = await connectAs(stream.streamKey, server.url);
  const consumer = await streamer.createConsumer(stream.streamKey, {
    ...earliest,
    prefetch: 0,
    shardDiscoveryInterval: null,
  });
  await take(consumer, 8);
  const before = await callsOf(server);
  await stream.add(3);
  assertEquals([(await callsSince(server, before)).get("xread") ?? 0, consumer.stats().queued], [0, 0]);
  assertEquals((await takeTexts(consumer, 24)).sort(), stream.payloads.flatMap((payloads) => payloads.slice(1)).sort());
});
