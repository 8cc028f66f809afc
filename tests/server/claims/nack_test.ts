// Tests `nack`: the message is redelivered here, counted once more, and is not given to others until this process ends.

import { assert, assertEquals, assertThrows } from "@std/assert";
import { connect, type Message, StreamerError } from "../../../mod.ts";
import { take, takeTexts } from "../../support/consumer/reading.ts";
import { eventsOf, groupOf, pendingIds, pendingRows } from "../../support/consumer/grouping.ts";
import { nextEvent, until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { test } from "../../support/runner.ts";
import { type Server, sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();
const group = "g";
const disabled = { mode: "load-balanced", group, consumerId: "me", autoCommit: "disabled" } as const;

/** A URL of a user with all rights except the given ones. */
async function urlOf(server: Server, ...forbidden: string[]): Promise<string> {
  const user = uniqueKey("user");
  await server.command("ACL", "SETUSER", user, "on", ">pw", "~*", "&*", "+@all", ...forbidden);
  return server.url.replace("redis://", `redis://${user}:pw@`);
}

const deliveriesAt = async (key: string) => (await pendingRows(server, key, group)).map(({ deliveries }) => deliveries);

for (const forbidden of [[], ["-eval"]] as const) {
  for (const delay of [0, 50]) {
    const how = forbidden.length === 0 ? "by script" : "where scripts are forbidden";
    test(`a nack with delay ${delay} redelivers, counted on the server and in the message (${how})`, async () => {
      const { key, ids } = await groupOf(server, group, 2);
      await using streamer = await connect(await urlOf(server, ...forbidden));
      const consumer = await streamer.createConsumer(key, disabled);
      const [first, second] = await take(consumer, 2);
      consumer.nack(first, { delay });
      assertEquals(consumer.stats().inHand, 1);
      const again = await consumer.next();
      assertEquals([again.id, again.deliveries, again.text()], [ids[0], 2, "0"]);
      assertEquals(await deliveriesAt(key), [2, 1]);
      consumer.nack(again, { delay });
      const third = await consumer.next();
      assertEquals([third.id, third.deliveries, await deliveriesAt(key)], [ids[0], 3, [3, 1]]);
      consumer.ack(third);
      consumer.ack(second);
      await consumer.commit();
      assertEquals(await pendingIds(server, key, group), []);
    });
  }
}

test("the ack of an older delivery acknowledges the message, wherever it is now", async () => {
  for (const where of ["waiting", "returned"]) {
    const { key } = await groupOf(server, group, 1);
    await using streamer = await connect(server.url);
    const consumer = await streamer.createConsumer(key, disabled);
    const [message] = await take(consumer, 1);
    consumer.nack(message, { delay: where === "waiting" ? 100_000 : 0 });
    if (where === "returned") await consumer.next();
    consumer.ack(message);
    await consumer.commit();
    assertEquals(await pendingIds(server, key, group), [], where);
    const { inHand, unsentAcks, acked } = consumer.stats();
    assertEquals([inHand, unsentAcks, acked], [0, 0, 1]);
  }
});

test("a message that was acknowledged during its delay is not redelivered", async () => {
  const { key } = await groupOf(server, group, 2);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, disabled);
  const [first, second] = await take(consumer, 2);
  consumer.nack(first, { delay: 20 });
  consumer.nack(second, { delay: 40 });
  consumer.ack(first);
  assertEquals((await consumer.next()).text(), "1");
});

test("a nack of an acknowledged message does nothing, and neither does a second nack", async () => {
  const { key } = await groupOf(server, group, 3);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, disabled);
  const [acked, twice] = await take(consumer, 2);
  consumer.ack(acked);
  consumer.nack(acked);
  consumer.nack(twice, { delay: 10 });
  consumer.nack(twice, { delay: 0 });
  await consumer.commit();
  consumer.nack(acked);
  assertEquals(await takeTexts(consumer, 2), ["2", "1"]);
  assertEquals(await deliveriesAt(key), [2, 1]);
});

test("at the end messages that wait for their delay stay pending for the next run", async () => {
  const { key } = await groupOf(server, group, 1);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, disabled);
  consumer.nack(await consumer.next(), { delay: 100_000 });
  await consumer.end();
  assertEquals(await deliveriesAt(key), [1]);
  const again = await (await streamer.createConsumer(key, disabled)).next();
  assertEquals([again.text(), again.deliveries], ["0", 2]);
});

test("leases are renewed for messages that wait for their delay", async () => {
  const { key } = await groupOf(server, group, 2);
  await using streamer = await connect(server.url);
  const claims = eventsOf(streamer, "claimed");
  const consumer = await streamer.createConsumer(key, { ...disabled, maxUnacked: 1, autoClaimIdle: 300 });
  const [message] = await take(consumer, 1);
  const other = { ...disabled, consumerId: "other", autoClaimInterval: 20, autoClaimIdle: 250 };
  const waiting = (await streamer.createConsumer(key, other)).next();
  consumer.nack(message, { delay: 700 });
  assertEquals((await waiting).text(), "1", "the other one gets what this one may not");
  assertEquals((await consumer.next()).deliveries, 2);
  assertEquals(claims, []);
});

test("messages that wait for their delay count for maxUnacked", async () => {
  const { key } = await groupOf(server, group, 3);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { ...disabled, maxUnacked: 2 });
  const [first, second] = await take(consumer, 2);
  consumer.nack(first, { delay: 100 });
  consumer.nack(second, { delay: 50 });
  assertEquals(await takeTexts(consumer, 2), ["1", "0"]);
});

test("a message that was deleted during its delay is reported as a gap, and acknowledged", async () => {
  const { key, ids } = await groupOf(server, group, 1);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, disabled);
  const told = nextEvent<unknown>(streamer, "gap");
  const message = await consumer.next();
  await server.command("XDEL", key, ids[0]);
  consumer.nack(message);
  assertEquals((await told).detail, { streamKey: key, shardId: 0, group, ids });
  await until(async () => (await pendingIds(server, key, group)).length === 0);
});

test("an id beyond the range of a sequence is nacked, acknowledged and copied like any other", async () => {
  const key = uniqueKey();
  const id = "18446744073709551615-18446744073709551614";
  await server.commands([["XGROUP", "CREATE", key, group, "0", "MKSTREAM"], ["XADD", key, id, "msg", "x"]]);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, disabled);
  consumer.nack(await consumer.next());
  const again: Message = (await consumer.next()).copy();
  assertEquals([again.id, again.deliveries], [id, 2]);
  consumer.ackWith(again.identifier);
  consumer.ack(again);
  await consumer.commit();
  assertEquals(await pendingIds(server, key, group), []);
});

test("an invalid delay, and a message of another stream, are refused", async () => {
  const [{ key }, other] = [await groupOf(server, group, 1), await groupOf(server, group, 1)];
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, disabled);
  const stranger = await (await streamer.createConsumer(other.key, disabled)).next();
  const message = await consumer.next();
  for (const delay of [-1, NaN, "5", null]) {
    // A checked border: a call that the types forbid must be refused at run time too.
    const call = () => consumer.nack(message, { delay: delay as number });
    assertEquals(assertThrows(call, StreamerError, "delay").code, "INVALID_OPTION");
  }
  for (const verb of ["ack", "nack", "term"] as const) {
    assertEquals(assertThrows(() => consumer[verb](stranger), StreamerError).code, "STREAM_KEY_NOT_FOUND", verb);
  }
  assert(consumer.stats().inHand === 1);
});
