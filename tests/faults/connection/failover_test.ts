// Tests failovers with one name: the demoted server keeps its connections and answers as a replica, so they must be
// closed and dialled again. Producers, consumers and managers continue at the new primary.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { connect, StreamerError } from "../../../mod.ts";
import { EAGER, eventsOf, nothingPending } from "../../support/consumer/group_faults.ts";
import { addMany, idsInRange, takeIds } from "../../support/consumer/reading.ts";
import { nextEvent, until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { Pair } from "../../support/servers/replicas.ts";
import { test } from "../../support/runner.ts";
import { canStartServers } from "../../support/servers/server.ts";

const ignore = !(await canStartServers());

test("a producer's messages are stored on the new primary, in the order of the calls", async () => {
  await using pair = await Pair.start();
  await using streamer = await connect(pair.name.url, EAGER);
  const key = uniqueKey();
  const producer = await streamer.createProducer(key);
  const before = await Promise.all(Array.from({ length: 50 }, (_, i) => producer.send(`${i}`)));
  await pair.failOver();
  const after = await Promise.all(Array.from({ length: 500 }, (_, i) => producer.send(`${50 + i}`)));
  const ids = [...before, ...after].map(({ id }) => id);
  assertEquals(await idsInRange(pair.primary, key), ids);
  assertEquals(producer.stats().failed, 0);
}, { ignore });

for (const mode of ["resumable", "load-balanced"] as const) {
  test(`a ${mode} consumer reads and acknowledges at the new primary`, async () => {
    await using pair = await Pair.start();
    await using streamer = await connect(pair.name.url, EAGER);
    const key = uniqueKey();
    const options = { mode, group: "g", autoCommit: "disabled", autoStreamReset: "earliest", mkstream: true } as const;
    const consumer = await streamer.createConsumer(key, options);
    const ids = await addMany(pair.primary, key, 4);
    const seen = [await consumer.next(), await consumer.next(), await consumer.next(), await consumer.next()];
    await pair.failOver();
    for (const message of seen) consumer.ack(message);
    await consumer.commit();
    ids.push(...await addMany(pair.primary, key, 3));
    const more = [await consumer.next(), await consumer.next(), await consumer.next()];
    assertEquals([...seen, ...more].map(({ id }) => id), ids);
    for (const message of more) consumer.ack(message);
    await consumer.commit();
    await nothingPending(pair.primary, key, "g");
  }, { ignore });
}

test("a real-time consumer continues at the new primary, and neither skips nor repeats messages", async () => {
  await using pair = await Pair.start();
  await using streamer = await connect(pair.name.url, EAGER);
  const key = uniqueKey();
  const consumer = await streamer.createConsumer(key, { mode: "real-time", autoStreamReset: "earliest" });
  const ids = await addMany(pair.primary, key, 3);
  assertEquals(await takeIds(consumer, 3), ids);
  await pair.failOver();
  const more = await addMany(pair.primary, key, 3);
  assertEquals(await takeIds(consumer, 3), more);
}, { ignore });

test(
  "the manager uses the new primary, and the refusal of one connection redials all of them",
  async () => {
    await using pair = await Pair.start();
    await using streamer = await connect(pair.name.url, EAGER);
    const key = uniqueKey();
    const manager = await streamer.createManager();
    const producer = await streamer.createProducer(key);
    await producer.send("a");
    assertEquals((await manager.range(key, "-", "+")).length, 1);
    const lost = eventsOf(streamer, "disconnect");
    await pair.failOver();
    await manager.createGroup(key, "g", "beginning"); // the command of one of three connections
    assert(String(await pair.primary.command("XINFO", "GROUPS", key)).includes("g"));
    await until(() => lost.length >= 3, { what: "the other connections are given up, too" });
    for (const { cause } of lost) {
      const refusal = Reflect.get(Object(cause), "cause");
      assert(refusal instanceof StreamerError && refusal.code === "READONLY", String(refusal));
    }
    await producer.send("b");
    assertEquals(await manager.length(key), 2);
    await until(() => pair.name.connections === 6, { what: "each was dialled once more" });
  },
  { ignore },
);

test(
  "a permanent replica is dialled at a limited pace, reported once, and used as soon as it is the primary",
  async () => {
    await using pair = await Pair.start();
    await using streamer = await connect(pair.name.url);
    const key = uniqueKey();
    const [waiting, resumed] = [eventsOf(streamer, "waiting"), eventsOf(streamer, "resumed")];
    const producers = [await streamer.createProducer(key), await streamer.createProducer(uniqueKey())];
    const consumer = await streamer.createConsumer(key, { mode: "resumable", group: "g", mkstream: true });
    await Promise.all(producers.map((producer) => producer.send("before")));
    assertEquals((await consumer.next()).text(), "before");
    const before = pair.name.connections;
    await pair.primary.command("REPLICAOF", "127.0.0.1", 1); // a replica of no server, and none is promoted
    const told = nextEvent(streamer, "waiting");
    const sends = producers.map((producer) => producer.send("after"));
    await told;
    const dials = pair.name.connections - before;
    assert(dials > 0 && dials <= 60, `${dials} dials of four connections in two seconds`);
    await pair.primary.command("REPLICAOF", "NO", "ONE");
    await Promise.all(sends);
    assertEquals((await consumer.next()).text(), "after");
    await until(() => resumed.length > 0);
    assertEquals([waiting.length, resumed], [1, [{ node: `127.0.0.1:${pair.name.port}` }]]);
    const [{ node, cause, since, streamKey }] = waiting;
    assertEquals([node, streamKey], [`127.0.0.1:${pair.name.port}`, undefined]);
    assert(cause instanceof StreamerError && ["READONLY", "UNBLOCKED"].includes(cause.code), String(cause));
    assert(since instanceof Date && Math.abs(Date.now() - since.getTime()) < 60_000);
  },
  { ignore },
);

test("a real-time consumer reads a replica on purpose, and continues while writes are refused", async () => {
  await using pair = await Pair.start();
  await using streamer = await connect(pair.replica.url, { timeout: 300 });
  const key = uniqueKey();
  await addMany(pair.primary, key, 1);
  await pair.inStep();
  const consumer = await streamer.createConsumer(key, { mode: "real-time", autoStreamReset: "earliest" });
  assertEquals((await takeIds(consumer, 1)).length, 1);
  const next = takeIds(consumer, 1);
  const manager = await streamer.createManager();
  assertEquals(await manager.length(key), 1);
  const error = await assertRejects(() => manager.trim(key, { maxLength: 0 }), StreamerError);
  assertEquals(error.code, "READONLY");
  const [id] = await addMany(pair.primary, key, 1);
  assertEquals(await next, [id]);
}, { ignore });
