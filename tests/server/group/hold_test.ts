// Tests messages in flight for longer than `maxHold`: they are redelivered, and every delivery of them can settle them.

import { assert, assertEquals } from "@std/assert";
import { connect, type RedisStreamer } from "../../../mod.ts";
import { eventsOf, groupOf, pendingIds, pendingRows, untilPending } from "../../support/consumer/grouping.ts";
import { addMany, restUpToMark, take, texts } from "../../support/consumer/reading.ts";
import { nextEvent, until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { startProxy } from "../../support/network/proxy.ts";
import { PROXIED } from "../../support/one_server.ts";
import { test } from "../../support/runner.ts";
import { type Server, sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();
const group = "g";
const rolling = {
  mode: "load-balanced",
  group,
  consumerId: "me",
  autoCommit: "rolling",
  autoCommitInterval: 1,
  autoClaimInterval: 20,
  autoClaimIdle: 90,
  maxHold: 60,
} as const;
/** Released messages are not reclaimed by themselves: the consumer does not scan. */
const patient = { ...rolling, autoClaimIdle: 3_600_000 } as const;

/** A URL of a user with all rights except the given ones. */
async function urlOf(server: Server, ...forbidden: readonly string[]): Promise<string> {
  const user = uniqueKey("user");
  await server.command("ACL", "SETUSER", user, "on", ">pw", "~*", "&*", "+@all", ...forbidden);
  return server.url.replace("redis://", `redis://${user}:pw@`);
}

/** Resolves when this message has been released. */
function released(streamer: RedisStreamer, id: string): Promise<unknown> {
  return nextEvent<{ ids: string[] }>(streamer, "released", { where: ({ detail }) => detail.ids.includes(id) });
}

const deliveriesAt = async (key: string) => (await pendingRows(server, key, group)).map(({ deliveries }) => deliveries);

test("prefetched messages outlive maxHold, and are returned in their order", async () => {
  const { key } = await groupOf(server, group, 10);
  await using streamer = await connect(server.url);
  const told = eventsOf(streamer, "released");
  const consumer = await streamer.createConsumer(key, rolling);
  const first = await consumer.next(); // an unacknowledged message serves as a clock
  consumer.pause();
  assertEquals(consumer.stats().queued, 9);
  await released(streamer, first.id);
  await until(async () =>
    (await pendingRows(server, key, group)).every(({ idle, id }) => id === first.id || idle < 90)
  );
  consumer.ack(first);
  assertEquals(told.flatMap(({ ids }) => ids), [first.id]);
  consumer.resume();
  const rest = await take(consumer, 9);
  assertEquals(rest.map((message) => [message.text(), message.deliveries]), texts(9, "", 1).map((text) => [text, 1]));
  for (const message of rest) consumer.ack(message);
  await untilPending(server, key, group, 0);
});

for (const autoClaimInterval of [20, null]) {
  for (const forbidden of [[], ["-eval"]] as const) {
    const how = `autoClaimInterval ${autoClaimInterval}${
      forbidden.length === 0 ? "" : ", where scripts are forbidden"
    }`;
    test(`a released message that no consumer claims is redelivered, counted once more (${how})`, async () => {
      const { key, ids } = await groupOf(server, group, 2);
      await using streamer = await connect(await urlOf(server, ...forbidden));
      const told = eventsOf(streamer, "released");
      const claimed = eventsOf(streamer, "claimed");
      const consumer = await streamer.createConsumer(key, { ...rolling, autoClaimInterval });
      const [older, other] = await take(consumer, 2);
      consumer.ack(other);
      const again = await consumer.next();
      assertEquals([again.id, again.text(), again.deliveries], [ids[0], "0", 2]);
      assertEquals(told[0], { streamKey: key, shardId: 0, group, ids: [ids[0]] });
      assertEquals([claimed, consumer.stats().claimed], [[], 0]);
      consumer.nack(older); // it stays as it is
      await (await streamer.createManager()).length(key); // the reply follows those of the nack's commands
      assertEquals(await deliveriesAt(key), [2]);
      consumer.ack(older);
      await untilPending(server, key, group, 0);
      assertEquals(consumer.stats().inHand, 0);
    });
  }
}

test("without keepAlive, a message in flight for too long is released and redelivered as well", async () => {
  const { key, ids } = await groupOf(server, group, 1);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { ...rolling, keepAlive: false });
  await consumer.next();
  const again = await consumer.next();
  assertEquals([again.id, again.deliveries], [ids[0], 2]);
});

test("a message that is redelivered again and again becomes a dead letter", async () => {
  const { key, ids } = await groupOf(server, group, 1);
  await using streamer = await connect(server.url);
  const target = uniqueKey("dead");
  const consumer = await streamer.createConsumer(key, { ...rolling, maxDeliveries: 2, deadLetter: target });
  const buried = nextEvent(streamer, "dead-letter");
  assertEquals((await take(consumer, 2)).map(({ deliveries }) => deliveries), [1, 2]);
  const asked = consumer.next();
  const detail = { streamKey: key, shardId: 0, id: ids[0], target, deliveries: 2, reason: "max-deliveries" };
  assertEquals((await buried).detail, detail);
  await addMany(server, key, 1, "new");
  assertEquals((await asked).text(), "new0");
});

test("a message that was deleted after its release is reported as a gap, and acked", async () => {
  const { key, ids } = await groupOf(server, group, 1);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { ...rolling, autoClaimIdle: 400 });
  const gap = nextEvent(streamer, "gap");
  const message = await consumer.next();
  await released(streamer, message.id);
  await server.command("XDEL", key, message.id);
  const asked = consumer.next();
  assertEquals((await gap).detail, { streamKey: key, shardId: 0, group, ids });
  await untilPending(server, key, group, 0);
  await addMany(server, key, 1, "new");
  assertEquals((await asked).text(), "new0");
});

for (const verb of ["ack", "ackWith", "term"] as const) {
  test(`${verb} of the older delivery settles both, and a queued copy is dropped`, async () => {
    const { key, ids } = await groupOf(server, group, 2);
    await using streamer = await connect(server.url);
    const consumer = await streamer.createConsumer(key, { ...rolling, maxHold: 250 });
    const [older, other] = await take(consumer, 2);
    await released(streamer, older.id);
    const asked = consumer.next(); // the first of the two redelivered ones
    const first = await asked;
    const left = first.id === ids[0] ? other : older;
    await until(() => consumer.stats().queued === 1, { what: "the other one came back" });
    if (verb === "ackWith") consumer.ackWith(left.identifier);
    else consumer[verb](left);
    await until(async () => !(await pendingIds(server, key, group)).includes(left.id));
    consumer.ack(first);
    assertEquals(await restUpToMark(server, consumer, key), []);
    await untilPending(server, key, group, 1); // the mark
  });
}

for (const forbidden of [[], ["-eval"]] as const) {
  const how = forbidden.length === 0 ? "by script" : "where scripts are forbidden";

  test(`a released message that is nacked waits for its delay, and is redelivered (${how})`, async () => {
    const { key } = await groupOf(server, group, 1);
    await using streamer = await connect(await urlOf(server, ...forbidden));
    const lost = eventsOf(streamer, "lost");
    const consumer = await streamer.createConsumer(key, patient);
    const message = await consumer.next();
    await released(streamer, message.id);
    await server.command("XCLAIM", key, group, "me", 0, message.id, "IDLE", 3_000_000, "JUSTID");
    consumer.nack(message, { delay: 150 });
    assertEquals(consumer.stats().inHand, 0);
    await until(async () => (await pendingRows(server, key, group))[0].idle < 1_000_000, { what: "it is kept" });
    const again = await consumer.next();
    assertEquals([again.text(), again.deliveries, await deliveriesAt(key)], ["0", 2, [2]]);
    assertEquals(lost, []);
  });

  test(`a released message that another consumer claimed is lost to nack and to term (${how})`, async () => {
    const { key, ids } = await groupOf(server, group, 2);
    await using streamer = await connect(await urlOf(server, ...forbidden));
    const dead = uniqueKey("dead");
    const lost = eventsOf(streamer, "lost");
    const consumer = await streamer.createConsumer(key, { ...patient, deadLetter: dead });
    const [nacked, termed] = await take(consumer, 2);
    await released(streamer, termed.id);
    await server.command("XCLAIM", key, group, "other", 0, ...ids);
    consumer.nack(nacked);
    consumer.term(termed);
    await until(() => lost.length === 2);
    assertEquals(lost.flatMap((one) => one.ids).sort(), ids);
    assertEquals((await pendingRows(server, key, group)).map(({ consumer, deliveries }) => [consumer, deliveries]), [
      ["other", 2],
      ["other", 2],
    ]);
    assertEquals([await server.command("XLEN", dead), consumer.stats().inHand], [0, 0]);
  });

  test(`a released message that is terminated becomes a dead letter, and is acked (${how})`, async () => {
    const { key } = await groupOf(server, group, 1);
    await using streamer = await connect(await urlOf(server, ...forbidden));
    const dead = uniqueKey("dead");
    const { autoCommitInterval: _, ...rest } = patient;
    const options = { ...rest, autoCommit: "disabled", deadLetter: dead } as const;
    const consumer = await streamer.createConsumer(key, options);
    const message = await consumer.next();
    await released(streamer, message.id);
    consumer.term(message, "no use");
    await consumer.commit();
    assertEquals([await server.command("XLEN", dead), await pendingIds(server, key, group)], [1, []]);
  });

  test(`a nack of an older delivery does nothing after a redelivery (${how})`, async () => {
    const { key, ids } = await groupOf(server, group, 1);
    await using streamer = await connect(await urlOf(server, ...forbidden));
    const lost = eventsOf(streamer, "lost");
    const consumer = await streamer.createConsumer(key, patient);
    const message = await consumer.next();
    await released(streamer, message.id);
    await server.command("XCLAIM", key, group, "me", 0, ids[0], "RETRYCOUNT", 7);
    consumer.nack(message);
    assertEquals(await restUpToMark(server, consumer, key), []);
    assertEquals([lost, (await deliveriesAt(key))[0]], [[], 7]);
  });
}

test("the ack of a released message is sent, whoever owns it", async () => {
  const { key, ids } = await groupOf(server, group, 2);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, patient);
  const messages = await take(consumer, 2);
  await released(streamer, messages[1].id);
  await server.command("XCLAIM", key, group, "other", 0, ids[0]);
  for (const message of messages) consumer.ack(message);
  await untilPending(server, key, group, 0);
  await until(() => consumer.stats().unsentAcks === 0);
});

test("a released message delays neither a reconnect nor its own redelivery, which is counted once more", async () => {
  const { key } = await groupOf(server, group, 1);
  await using proxy = await startProxy(server);
  await using streamer = await connect(proxy.url, { reconnect: { initialDelay: 5, maxDelay: 5 } });
  const consumer = await streamer.createConsumer(key, { ...rolling, autoClaimIdle: 400 });
  const message = await consumer.next();
  await released(streamer, message.id);
  const back = nextEvent(streamer, "connect");
  await proxy.cut();
  await back;
  const again = await consumer.next();
  assertEquals([again.text(), again.deliveries, await deliveriesAt(key)], ["0", 2, [2]]);
}, { oneServer: PROXIED });

test("more released messages than maxUnacked are redelivered in pages as capacity is free", async () => {
  const { key } = await groupOf(server, group, 250);
  await using streamer = await connect(server.url);
  const told = eventsOf(streamer, "released");
  const consumer = await streamer.createConsumer(key, { ...rolling, maxHold: 400, batchSize: 50 });
  const seen = new Map<string, number>();
  for (const message of await take(consumer, 250)) seen.set(message.text(), message.deliveries);
  await until(() => told.flatMap(({ ids }) => ids).length === 250);
  while ([...seen.values()].some((deliveries) => deliveries < 2)) {
    const message = await consumer.next();
    seen.set(message.text(), message.deliveries);
    consumer.ack(message);
  }
  await untilPending(server, key, group, 0);
  assert(seen.size === 250);
});

test("a released message that was settled lets an acknowledged stream be trimmed", async () => {
  const { key, ids } = await groupOf(server, group, 3);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, rolling);
  const [forgotten, ...others] = await take(consumer, 3);
  for (const message of others) consumer.ack(message);
  const again = await consumer.next();
  assertEquals(again.id, forgotten.id);
  consumer.ack(again);
  await untilPending(server, key, group, 0);
  const manager = await streamer.createManager();
  assertEquals(await manager.trim(key, { acknowledged: true, exact: true }), ids.length);
});
