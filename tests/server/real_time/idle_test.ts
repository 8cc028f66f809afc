// Tests the cost of an idle consumer: a heartbeat and a query for each stream, nothing more.

import { assertEquals, assertLessOrEqual } from "@std/assert";
import { connect } from "../../../mod.ts";
import { addAt, addEach, addMany, connectHastily, Monitor } from "../../support/consumer/reading.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { COUNTED } from "../../support/one_server.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();
// A heartbeat is ten seconds, or the timeout if that is less: six of these are a minute.
const HEARTBEATS = 6;

test("a minute of heartbeats costs one read each and at most one query for each stream", async () => {
  const keys = [uniqueKey(), uniqueKey()];
  for (const key of keys) await addMany(server, key, 3); // while a stream has no entries, shards are discovered each second
  await using monitor = await Monitor.open(server);
  await using streamer = await connectHastily(server.url, { timeout: 100 });
  const consumer = await streamer.createConsumer(keys, { mode: "real-time" });
  await monitor.settled(server);
  const looks = () => monitor.commands.filter(([name]) => name === "SCAN" || name === "TYPE").length;
  const atCreation = looks();
  const asked = consumer.next();
  await until(() => monitor.count("XREAD", keys[0]) > HEARTBEATS);
  const about = (key: string) => monitor.commands.filter((words) => words.includes(key) && words[0] !== "XREAD");
  const reads = monitor.count("XREAD", keys[0]);
  for (const key of keys) assertLessOrEqual(about(key).length, reads + 1, JSON.stringify(about(key)));
  const names = new Set(monitor.commands.map(([name]) => name.toUpperCase()).filter((name) => name !== "ECHO"));
  for (const name of ["HELLO", "CLIENT", "XREAD", "XINFO", "SCAN", "TYPE"]) names.delete(name);
  assertEquals(names, new Set(), "no other command is sent");
  assertEquals(looks(), atCreation, "shards are looked for when it is made");
  await addMany(server, keys[1], 1, "after");
  assertEquals((await asked).text(), "after0");
}, { oneServer: COUNTED });

test("reads name a concrete id, never $, and block for a heartbeat", async () => {
  const key = uniqueKey();
  await using monitor = await Monitor.open(server);
  await using streamer = await connectHastily(server.url, { timeout: 100 });
  const consumer = await streamer.createConsumer(key, { mode: "real-time" });
  await consumer.rewind("end");
  await until(() => monitor.count("XREAD", key) > 2);
  for (const words of monitor.of("XREAD", key)) assertEquals(words.slice(3), ["BLOCK", "100", "STREAMS", key, "0-0"]);
});

test("with the default timeout a read blocks for ten seconds", async () => {
  const key = uniqueKey();
  await addAt(server, key, "5-5");
  await using monitor = await Monitor.open(server);
  await using streamer = await connect(server.url);
  await streamer.createConsumer(key, { mode: "real-time" });
  await until(() => monitor.count("XREAD", key) > 0);
  assertEquals(monitor.of("XREAD", key)[0], ["XREAD", "COUNT", "100", "BLOCK", "10000", "STREAMS", key, "5-5"]);
});

test("an idle consumer without callers reads only at heartbeats, also with queued messages", async () => {
  const key = uniqueKey();
  await addMany(server, key, 10);
  await using monitor = await Monitor.open(server);
  await using streamer = await connectHastily(server.url, { timeout: 100 });
  const consumer = await streamer.createConsumer(key, {
    mode: "real-time",
    autoStreamReset: "earliest",
    batchSize: 5,
    prefetch: 1,
  });
  await until(() => consumer.stats().queued === 10);
  const other = await streamer.createConsumer(uniqueKey("other"), { mode: "real-time" });
  const [otherKey] = other.streamShards.map(({ streamKey }) => streamKey);
  await until(() => monitor.count("XREAD", otherKey) > 3);
  assertEquals(monitor.count("XREAD", key), 2, "there is no room, so nothing is read");
});

test("if the entries of a stream are too large to be read, no heartbeat costs a connection", async () => {
  const key = uniqueKey();
  await addEach(server, [1, 2].map(() => ["XADD", key, "*", "msg", "x".repeat(40_000)]));
  await using monitor = await Monitor.open(server);
  await using streamer = await connectHastily(server.url, { timeout: 300, limits: { reply: 65_536 } });
  let cuts = 0;
  streamer.addEventListener("disconnect", () => cuts++);
  await streamer.createConsumer(key, { mode: "real-time" });
  await until(() => monitor.count("XREAD", key) > 2);
  const before = cuts;
  const reads = monitor.count("XREAD", key);
  await until(() => monitor.count("XREAD", key) > reads + 2);
  assertEquals(cuts - before, 0);
});
