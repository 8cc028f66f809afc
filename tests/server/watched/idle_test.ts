// Tests what consumers of many shards on three nodes send while nothing happens, and that claim scans that leave quiet shards out miss
// nothing.

import { assertEquals, assertGreaterOrEqual, assertLessOrEqual } from "@std/assert";
import type { AckConsumer, ConnectOptions, RedisStreamer } from "../../../mod.ts";
import { nativeDial } from "../../../resp/transport/dial.ts";
import { slotOfKey } from "../../../streamer/cluster/topology/slot.ts";
import { connectWith } from "../../../streamer/connect.ts";
import { eventsOf } from "../../support/consumer/grouping.ts";
import { Monitor, take } from "../../support/consumer/reading.ts";
import { fastClock, flagsOf } from "../../support/consumer/watching.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { Got } from "../../support/routing/got.ts";
import { afterAll, test } from "../../support/runner.ts";
import { startCluster } from "../../support/servers/cluster.ts";
import { addStreams } from "../../support/servers/cluster_keys.ts";
import type { Word } from "../../support/servers/raw_client.ts";

const cluster = await startCluster();
afterAll(() => cluster.stop());
const group = "g";
const MODES = ["real-time", "resumable", "load-balanced"] as const;
/** Commands of an idle consumer, per minute and node. */
const MARK = 40;
/** Minutes for which commands are counted. */
const LENGTH = 4;
/** Times faster than the clock of the servers. */
const FACTOR = 40;

/** A streamer whose clock is fast; its limits are as long as on a slow one. */
function connectFast(options: ConnectOptions = {}): Promise<RedisStreamer> {
  return connectWith({ dial: nativeDial(), clock: fastClock(FACTOR) }, cluster.url, { timeout: 400_000, ...options });
}

/** Resolves after so many minutes of the fast clock. */
const minutes = (count: number) => new Promise((resolve) => setTimeout(resolve, count * 60_000 / FACTOR));

const shardsOf = (streamKey: string, count: number) => Array.from({ length: count }, (_, i) => `${streamKey}:${i}`);

/** Streams of so many shards with an entry each, and a consumer of each mode that has read its own. */
async function readInEachMode(streamer: RedisStreamer, shards: number): Promise<Record<typeof MODES[number], string>> {
  const [realTime, resumable, loadBalanced] = MODES.map((mode) => `${mode}-${shards}`);
  await Promise.all([realTime, resumable, loadBalanced].map((key) => addStreams(cluster, shardsOf(key, shards))));
  const got = new Got();
  const acking = async (streamKey: string, mode: "resumable" | "load-balanced") => {
    const options = { group, consumerId: "c", autoStreamReset: "earliest", autoCommit: "rolling" } as const;
    const consumer: AckConsumer = await streamer.createConsumer(streamKey, { mode, ...options });
    got.take(consumer, (message) => consumer.ack(message));
  };
  got.take(await streamer.createConsumer(realTime, { mode: "real-time", autoStreamReset: "earliest" }));
  await acking(resumable, "resumable");
  await acking(loadBalanced, "load-balanced");
  await got.until(3 * shards);
  return { "real-time": realTime, resumable, "load-balanced": loadBalanced };
}

/** Whether a command concerns a stream, or names no key at all. */
function concerns(words: readonly string[], streamKey: string, others: readonly string[]): boolean {
  const names = (key: string) => words.some((word) => word === key || word.startsWith(`${key}:`));
  return names(streamKey) || !others.some(names);
}

for (const shards of [64, 1_024]) {
  test(`an idle consumer of ${shards} shards sends at most ${MARK} commands a minute to each of three nodes`, async () => {
    const clientName = uniqueKey("idle");
    await using streamer = await connectFast({ clientName });
    const streams = await readInEachMode(streamer, shards);
    const keys = Object.values(streams);
    await minutes(1); // shards that have become quiet are looked at
    await Promise.all(cluster.nodes.map(async ({ server }) => {
      assertEquals((await flagsOf(server, clientName)).length, 1 + MODES.length, "one more for each consumer");
      await using monitor = await Monitor.open(server);
      await minutes(LENGTH);
      for (const mode of MODES) {
        const sent = monitor.commands.filter((words) => concerns(words, streams[mode], keys));
        const names = [...new Set(sent.map(([name]) => name))].join(", ");
        assertLessOrEqual(sent.length / LENGTH, MARK, `${mode} at ${server.port}: ${names}`);
        assertGreaterOrEqual(sent.length / LENGTH, 6, "heartbeats");
      }
    }));
  });
}

/** A load-balanced consumer of so many shards that has read and acknowledged an entry of each, and scans them often. */
async function claimingConsumer(streamer: RedisStreamer, streamKey: string, autoClaimInterval: number) {
  const keys = shardsOf(streamKey, 12);
  await addStreams(cluster, keys);
  const consumer = await streamer.createConsumer(streamKey, {
    mode: "load-balanced",
    group,
    consumerId: "me",
    autoStreamReset: "earliest",
    autoCommit: "disabled",
    autoClaimInterval,
  });
  for (const message of await take(consumer, keys.length)) consumer.ack(message);
  await consumer.commit();
  const next = consumer.next(); // a consumer in a shared group reads for callers that wait
  return { keys, consumer, next };
}

/** Runs commands on the node of a key in one step. */
async function atOnce(key: string, commands: Word[][]): Promise<void> {
  const body = commands.map((words) => `redis.call(${words.map((word) => `'${word}'`).join(", ")})`).join("\n");
  await cluster.command("EVAL", body.replaceAll("'KEY'", "KEYS[1]"), 1, key);
}

/** Another consumer of the group gets a new entry, and leaves it an hour ago. */
function leave(key: string, id: string): Promise<void> {
  return atOnce(key, [
    ["XADD", "KEY", id, "msg", "x"],
    ["XREADGROUP", "GROUP", group, "gone", "STREAMS", "KEY", ">"],
    ["XCLAIM", "KEY", group, "gone", 0, id, "IDLE", 3_600_000, "JUSTID"],
  ]);
}

/** How often each of these keys was scanned. */
const scansOf = (monitors: readonly Monitor[], keys: readonly string[]) =>
  keys.map((key) => monitors.reduce((sum, monitor) => sum + monitor.count("XPENDING", key), 0));

test("entries that another consumer reads and leaves are claimed at the next scan, also if nothing was pending at the last ones", async () => {
  await using streamer = await connectWith({ dial: nativeDial(), clock: fastClock(1) }, cluster.url);
  const { keys, consumer, next } = await claimingConsumer(streamer, uniqueKey(), 100);
  const monitors = await Promise.all(cluster.nodes.map(({ server }) => Monitor.open(server)));
  await new Promise((resolve) => setTimeout(resolve, 500));
  for (const monitor of monitors) monitor.commands.length = 0;
  await new Promise((resolve) => setTimeout(resolve, 500));
  assertEquals(scansOf(monitors, keys), keys.map(() => 0), "no shard is scanned while nothing happens");
  for (const monitor of monitors) await monitor[Symbol.asyncDispose]();
  const claimed = eventsOf(streamer, "claimed");
  let waiting = next;
  for (const key of [keys[3], keys[7]]) {
    const begun = performance.now();
    await leave(key, "9999999999999-1");
    assertEquals((await waiting).id, "9999999999999-1");
    assertLessOrEqual(performance.now() - begun, 1_500, "an interval, and the time of a slow machine");
    waiting = consumer.next();
  }
  waiting.catch(() => {}); // the consumer ends
  assertEquals(claimed.map(({ from, shardId }) => [from, shardId]), [["gone", 3], ["gone", 7]]);
});

test("entries of a shard that is quiet are claimed after its slot has moved, too", async () => {
  await using streamer = await connectWith({ dial: nativeDial(), clock: fastClock(1) }, cluster.url);
  const { keys, consumer, next } = await claimingConsumer(streamer, uniqueKey(), 100);
  await new Promise((resolve) => setTimeout(resolve, 500));
  let waiting = next;
  for (const [turn, key] of [keys[1], keys[1], keys[4]].entries()) { // to another node, and on to a third one
    const slot = slotOfKey(key);
    const at = cluster.nodes.indexOf(await cluster.ownerOf(slot));
    await cluster.moveSlot(slot, cluster.nodes[(at + 1) % 3]);
    await new Promise((resolve) => setTimeout(resolve, 1_000)); // it is quiet there
    const id = `9999999999999-${turn + 1}`;
    const begun = performance.now();
    await leave(key, id);
    assertEquals((await waiting).id, id);
    assertLessOrEqual(performance.now() - begun, 1_500);
    consumer.ack(await waiting);
    await consumer.commit();
    waiting = consumer.next();
  }
  waiting.catch(() => {});
  assertEquals(consumer.stats().claimed, 3);
});

test("entries that are pending without a push are noticed once their shard has its turn, and then claimed by the next scan", async () => {
  await using streamer = await connectFast();
  const { keys, consumer, next } = await claimingConsumer(streamer, uniqueKey(), 5_000);
  await minutes(1);
  let waiting = next;
  for (const key of [keys[0], keys[5]]) {
    await atOnce(key, [
      ["XGROUP", "SETID", "KEY", group, 0],
      ["XREADGROUP", "GROUP", group, "gone", "STREAMS", "KEY", ">"],
    ]);
    await minutes(4); // at most 12 shards of a node, three a minute
    const [[id]] = await cluster.command("XPENDING", key, group, "-", "+", 1) as string[][];
    await cluster.command("XCLAIM", key, group, "gone", 0, id, "IDLE", 3_600_000, "JUSTID");
    const begun = performance.now();
    assertEquals((await waiting).deliveries, 2);
    assertLessOrEqual(performance.now() - begun, 1_500, "an interval, and the time of a slow machine");
    waiting = consumer.next();
  }
  waiting.catch(() => {});
  await until(() => consumer.stats().claimed === 2);
});
