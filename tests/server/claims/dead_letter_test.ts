// Tests the fate of messages that fail: `term`, `maxDeliveries` for every kind of delivery, and the dead letters.

import { assertEquals } from "@std/assert";
import { connect } from "../../../mod.ts";
import { take, takeTexts } from "../../support/consumer/reading.ts";
import { eventsOf, groupOf, leftBy, pendingIds, readBy } from "../../support/consumer/grouping.ts";
import { nextEvent, until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();
const group = "g";
const disabled = { mode: "load-balanced", group, consumerId: "me", autoCommit: "disabled" } as const;

/** Fields of the entries of a stream. */
async function fieldsIn(key: string): Promise<unknown[]> {
  const reply = await server.command("XRANGE", key, "-", "+");
  return Array.isArray(reply) ? reply.map((entry) => Array.isArray(entry) ? entry[1] : entry) : [];
}

function labels(key: string, id: string, deliveries: number, reason: string): string[] {
  const origin = { stream: key, shard: 0, id, group, deliveries, reason };
  return Object.entries(origin).flatMap(([name, value]) => [`x-dead-letter-${name}`, `${value}`]);
}

test("a terminated message becomes a dead letter with payload, headers and repeated fields, and is acknowledged", async () => {
  const key = uniqueKey();
  const deadLetter = uniqueKey("dead");
  const fields = ["a", "1", "msg", "payload", "a", "2", "msg", "again", "", ""];
  const id = String(
    (await server.commands([
      ["XGROUP", "CREATE", key, group, "0", "MKSTREAM"],
      ["XADD", key, "*", ...fields],
    ]))[1],
  );
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { ...disabled, deadLetter });
  const told = nextEvent<unknown>(streamer, "dead-letter");
  consumer.term(await consumer.next(), "no good");
  assertEquals((await told).detail, {
    ...{ streamKey: key, shardId: 0, id, target: deadLetter, deliveries: 1, reason: "no good" },
  });
  assertEquals(await fieldsIn(deadLetter), [[...fields, ...labels(key, id, 1, "no good")]]);
  assertEquals(await pendingIds(server, key, group), []);
  const { inHand, acked } = consumer.stats();
  assertEquals([inHand, acked], [0, 1]);
});

test("payload and headers are bytes, and stay the same ones", async () => {
  const { key } = await groupOf(server, group, 0);
  const deadLetter = uniqueKey("dead");
  const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
  await server.command("XADD", key, "*", "msg", bytes, bytes, bytes);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { ...disabled, deadLetter });
  consumer.term((await consumer.next()).copy());
  await consumer.commit();
  const reply = await server.commandBytes("XRANGE", deadLetter, "-", "+");
  const entry = Array.isArray(reply) ? reply[0] : undefined;
  const fields = Array.isArray(entry) ? entry[1] : undefined;
  assertEquals(Array.isArray(fields) ? fields.slice(1, 4).map((field) => [...field as Uint8Array]) : fields, [
    [...bytes],
    [...bytes],
    [...bytes],
  ]);
});

test("an entry without the payload field is dead-lettered with its fields", async () => {
  const { key } = await groupOf(server, group, 0);
  const deadLetter = uniqueKey("dead");
  const id = String(await server.command("XADD", key, "*", "other", "1"));
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { ...disabled, deadLetter });
  consumer.term(await consumer.next(), "empty");
  await consumer.commit();
  assertEquals(await fieldsIn(deadLetter), [["other", "1", ...labels(key, id, 1, "empty")]]);
});

test("without a stream of dead letters a terminated message is acknowledged, and reported with target null", async () => {
  const { key, ids } = await groupOf(server, group, 1);
  await using streamer = await connect(server.url);
  const dead = eventsOf(streamer, "dead-letter");
  const consumer = await streamer.createConsumer(key, disabled);
  const message = await consumer.next();
  consumer.term(message);
  consumer.term(message);
  consumer.nack(message);
  consumer.ack(message);
  await consumer.commit();
  assertEquals(dead.map(({ id, target, deliveries }) => [id, target, deliveries]), [[ids[0], null, 1]]);
  assertEquals(await pendingIds(server, key, group), []);
});

test("a message that waits for its redelivery can be terminated, and is not redelivered", async () => {
  const { key } = await groupOf(server, group, 2);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, disabled);
  const message = await consumer.next();
  consumer.nack(message, { delay: 30 });
  consumer.term(message);
  const last = await consumer.next();
  consumer.nack(last, { delay: 60 });
  assertEquals((await consumer.next()).text(), "1");
  assertEquals((await pendingIds(server, key, group)).length, 1);
});

test("a message that was nacked too often is dead-lettered instead of being redelivered", async () => {
  const { key, ids } = await groupOf(server, group, 1);
  const deadLetter = uniqueKey("dead");
  await using streamer = await connect(server.url);
  const dead = eventsOf(streamer, "dead-letter");
  const consumer = await streamer.createConsumer(key, { ...disabled, maxDeliveries: 3, deadLetter });
  const seen: number[] = [];
  for (let i = 0; i < 3; i++) {
    const message = await consumer.next();
    seen.push(message.deliveries);
    consumer.nack(message);
  }
  assertEquals(seen, [1, 2, 3]);
  const next = String(await server.command("XADD", key, "*", "msg", "1"));
  assertEquals((await consumer.next()).text(), "1");
  await consumer.commit();
  assertEquals(await fieldsIn(deadLetter), [["msg", "0", ...labels(key, ids[0], 3, dead[0]?.reason ?? "")]]);
  assertEquals(dead.map(({ id, target, deliveries }) => [id, target, deliveries]), [[ids[0], deadLetter, 3]]);
  assertEquals(await pendingIds(server, key, group), [next]);
});

for (const autoCommit of ["delayed", "rolling", "disabled"] as const) {
  test(`restarts count as deliveries: messages past the limit are dead-lettered unseen (${autoCommit})`, async () => {
    const { key, ids } = await groupOf(server, group, 3);
    const deadLetter = uniqueKey("dead");
    await readBy(server, { key, group, consumer: "me" });
    await server.command("XCLAIM", key, group, "me", 0, ids[1], "RETRYCOUNT", 5, "JUSTID");
    await using streamer = await connect(server.url);
    const dead = eventsOf(streamer, "dead-letter");
    const options = { ...disabled, maxDeliveries: 5, deadLetter, autoCommit };
    const consumer = await streamer.createConsumer(key, options);
    assertEquals(await takeTexts(consumer, 2), ["0", "2"]);
    await until(() => dead.length === 1);
    assertEquals(dead.map(({ id, target, deliveries }) => [id, target, deliveries]), [[ids[1], deadLetter, 5]]);
    assertEquals(await fieldsIn(deadLetter), [["msg", "1", ...labels(key, ids[1], 5, dead[0].reason)]]);
    assertEquals((await pendingIds(server, key, group)).includes(ids[1]), false);
  });
}

test("claims count as deliveries: messages past the limit are dead-lettered unseen", async () => {
  const { key, ids } = await groupOf(server, group, 3);
  await leftBy(server, { key, group, consumer: "gone" });
  await server.command("XCLAIM", key, group, "gone", 0, ids[1], "IDLE", 3_600_000, "RETRYCOUNT", 2, "JUSTID");
  await using streamer = await connect(server.url);
  const dead = eventsOf(streamer, "dead-letter");
  const options = { ...disabled, maxDeliveries: 2, autoClaimInterval: 20, autoClaimIdle: 10_000 };
  const consumer = await streamer.createConsumer(key, options);
  const messages = await take(consumer, 2);
  assertEquals(messages.map((message) => [message.text(), message.deliveries]), [["0", 2], ["2", 2]]);
  await until(() => dead.length === 1);
  assertEquals(dead.map(({ id, target, deliveries }) => [id, target, deliveries]), [[ids[1], null, 2]]);
  assertEquals(await pendingIds(server, key, group), [ids[0], ids[2]]);
});

test("the end waits for dead letters that are being written", async () => {
  const { key } = await groupOf(server, group, 50);
  const deadLetter = uniqueKey("dead");
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { ...disabled, deadLetter });
  for (const message of await take(consumer, 50)) consumer.term(message);
  await consumer.end();
  assertEquals((await fieldsIn(deadLetter)).length, 50);
  assertEquals(await pendingIds(server, key, group), []);
});
