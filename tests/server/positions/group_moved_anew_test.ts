// Tests group consumers that are moved after their stream was recreated with lower ids: the state of the old stream is
// forgotten.

import { assertEquals } from "@std/assert";
import { type AckConsumer, connect, type RedisStreamer } from "../../../mod.ts";
import { eventsOf } from "../../support/consumer/grouping.ts";
import { addAt, Monitor, take, takeIds } from "../../support/consumer/reading.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();

/** A consumer whose stream reached 1000-0, and was then recreated up to 3-0. All of it is acknowledged. */
async function afterReset(streamer: RedisStreamer, key: string): Promise<AckConsumer> {
  await addAt(server, key, "1000-0");
  const consumer = await streamer.createConsumer(key, {
    mode: "resumable",
    group: "g",
    autoCommit: "rolling",
    autoCommitInterval: 5,
    autoStreamReset: "earliest",
  });
  consumer.ack((await take(consumer, 1))[0]);
  const asked = consumer.next();
  await server.command("DEL", key);
  for (const id of ["1-0", "2-0", "3-0"]) await addAt(server, key, id);
  consumer.ack(await asked);
  for (const message of await take(consumer, 2)) consumer.ack(message);
  await until(() => consumer.stats().acked === 4);
  return consumer;
}

test("a consumer that is moved alone sees no second reset, and reads nothing twice", async () => {
  const key = uniqueKey();
  await using streamer = await connect(server.url);
  const resets = eventsOf(streamer, "stream-reset");
  const consumer = await afterReset(streamer, key);
  assertEquals(resets.length, 1);
  await using monitor = await Monitor.open(server);
  await consumer.rewind("beginning");
  assertEquals(await takeIds(consumer, 3), ["1-0", "2-0", "3-0"]);
  await until(() => monitor.of("XINFO", key).some((words) => words.includes("STREAM")), {
    what: "a look at the stream",
  });
  await addAt(server, key, "4-0");
  assertEquals(await takeIds(consumer, 1), ["4-0"]);
  await addAt(server, key, "5-0");
  assertEquals(await takeIds(consumer, 1), ["5-0"]);
  assertEquals(resets.length, 1);
});

test("a group that is moved and lost later resumes after the last id seen", async () => {
  const key = uniqueKey();
  await using streamer = await connect(server.url);
  const made = eventsOf(streamer, "group-recreated");
  const resets = eventsOf(streamer, "stream-reset");
  const consumer = await afterReset(streamer, key);
  await consumer.rewind("2-0", { group: true });
  const [three] = await take(consumer, 1);
  assertEquals(three.id, "3-0");
  consumer.ack(three);
  await until(() => consumer.stats().acked === 5);
  const next = consumer.next();
  await server.command("XGROUP", "DESTROY", key, "g");
  await until(() => made.length === 2);
  await addAt(server, key, "4-0");
  assertEquals((await next).id, "4-0");
  assertEquals(made.map(({ position }) => position), ["0-0", "3-0"]);
  assertEquals(resets.length, 1);
});
