// Tests lease renewal: other consumers do not claim messages in flight, lost messages are reported, and messages in
// flight for too long are released.

import { assertEquals } from "@std/assert";
import { connect } from "../../../mod.ts";
import { take, takeTexts } from "../../support/consumer/reading.ts";
import { consumerNames, eventsOf, groupOf, pendingRows } from "../../support/consumer/grouping.ts";
import { nextEvent, until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { test } from "../../support/runner.ts";
import { type Server, sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();
const group = "g";
const rolling = { mode: "load-balanced", group, autoCommit: "rolling", autoCommitInterval: 1 } as const;
const holder = { ...rolling, consumerId: "holder", autoClaimInterval: null, autoClaimIdle: 150 } as const;
const claimer = { ...rolling, consumerId: "claimer", autoClaimInterval: 20, autoClaimIdle: 300 } as const;

/** A URL of a user with all rights except the given ones. */
async function urlOf(server: Server, ...forbidden: string[]): Promise<string> {
  const user = uniqueKey("user");
  await server.command("ACL", "SETUSER", user, "on", ">pw", "~*", "&*", "+@all", ...forbidden);
  return server.url.replace("redis://", `redis://${user}:pw@`);
}

/** The number of renewals by the holder: idle times fall. */
async function reminded(key: string, times: number): Promise<void> {
  let last = Infinity;
  let falls = 0;
  await until(async () => {
    const idle = (await pendingRows(server, key, group, "holder"))[0]?.idle ?? Infinity;
    if (idle < last) falls++;
    last = idle;
    return falls > times;
  }, { what: `the idle time falls ${times} times` });
}

for (const forbidden of [[], ["-eval"]] as const) {
  const how = forbidden.length === 0 ? "by script" : "where scripts are forbidden";

  test(`a message in flight for longer than autoClaimIdle is not claimed, and its deliveries stay (${how})`, async () => {
    const { key } = await groupOf(server, group, 3);
    await using one = await connect(await urlOf(server, ...forbidden));
    await using two = await connect(server.url);
    const claims = eventsOf(two, "claimed");
    const held = await take(await one.createConsumer(key, holder), 2); // the third message is read ahead
    const other = await two.createConsumer(key, { ...claimer, autoClaimIdle: 250 });
    const waiting = other.next();
    await reminded(key, 6); // every 50 ms
    assertEquals(claims, []);
    const rows = await pendingRows(server, key, group);
    assertEquals(rows.map(({ consumer, deliveries }) => [consumer, deliveries]), Array(3).fill(["holder", 1]));
    await server.command("XADD", key, "*", "msg", "new");
    assertEquals((await waiting).text(), "new");
    assertEquals(held.map((message) => message.text()), ["0", "1"]);
  });

  test(`a message that another consumer took is reported if it is in flight, and else dropped silently (${how})`, async () => {
    const { key, ids } = await groupOf(server, group, 5);
    await using streamer = await connect(await urlOf(server, ...forbidden));
    const lost = eventsOf(streamer, "lost");
    const consumer = await streamer.createConsumer(key, holder);
    assertEquals(await takeTexts(consumer, 2), ["0", "1"]);
    const told = nextEvent(streamer, "lost");
    await server.command("XCLAIM", key, group, "thief", 0, ids[1], ids[2]);
    await told;
    assertEquals(lost, [{ streamKey: key, shardId: 0, group, ids: [ids[1]] }]);
    assertEquals(await takeTexts(consumer, 2), ["3", "4"]);
    assertEquals((await pendingRows(server, key, group, "thief")).map(({ id }) => id), [ids[1], ids[2]]);
    assertEquals(consumer.stats().inHand, 3);
  });

  test(`a renewal never takes a message back from another consumer (${how})`, async () => {
    const { key, ids } = await groupOf(server, group, 3);
    await using streamer = await connect(await urlOf(server, ...forbidden));
    const consumer = await streamer.createConsumer(key, holder);
    await take(consumer, 3);
    const told = nextEvent(streamer, "lost");
    await server.command("XCLAIM", key, group, "thief", 0, ids[2]);
    await told;
    await reminded(key, 3);
    const owners = (await pendingRows(server, key, group)).map(({ consumer }) => consumer);
    assertEquals(owners, ["holder", "holder", "thief"]);
  });
}

test("without keepAlive, a message in flight for too long is claimed by another consumer", async () => {
  const { key, ids } = await groupOf(server, group, 1);
  await using one = await connect(server.url);
  await using two = await connect(server.url);
  const claims = eventsOf(two, "claimed");
  await take(await one.createConsumer(key, { ...holder, keepAlive: false }), 1);
  const other = await two.createConsumer(key, { ...claimer, autoClaimIdle: 50 });
  const message = await other.next();
  assertEquals([message.id, message.deliveries], [ids[0], 2]);
  assertEquals(claims, [{ streamKey: key, shardId: 0, group, from: "holder", ids }]);
});

test("a message in flight for longer than maxHold is released, reported, and claimed by another consumer; its ack still counts", async () => {
  const { key, ids } = await groupOf(server, group, 1);
  await using one = await connect(server.url);
  await using two = await connect(server.url);
  const released = eventsOf(one, "released");
  const mine = await one.createConsumer(key, { ...holder, maxHold: 200 });
  const [message] = await take(mine, 1);
  const other = await two.createConsumer(key, claimer);
  assertEquals((await other.next()).id, ids[0]);
  assertEquals(released, [{ streamKey: key, shardId: 0, group, ids }]);
  assertEquals(mine.stats().inHand, 0);
  mine.ack(message);
  await until(async () => (await pendingRows(server, key, group)).length === 0, { what: "it is acked" });
});

test("a nack of a released message leaves it to its new owner, also after its last allowed delivery", async () => {
  const { key, ids } = await groupOf(server, group, 1);
  await using streamer = await connect(server.url);
  const dead = eventsOf(streamer, "dead-letter");
  const consumer = await streamer.createConsumer(key, { ...holder, maxDeliveries: 1, deadLetter: uniqueKey("dead") });
  const [message] = await take(consumer, 1);
  const told = nextEvent(streamer, "lost");
  await server.command("XCLAIM", key, group, "thief", 0, ids[0]);
  await told;
  consumer.nack(message);
  await consumer.end();
  assertEquals(dead, []);
  assertEquals((await pendingRows(server, key, group)).map(({ consumer }) => consumer), ["thief"]);
});

/** Waits for the time of several renewals. */
async function severalRounds(): Promise<void> {
  const { key } = await groupOf(server, group, 1);
  await using streamer = await connect(server.url);
  await take(await streamer.createConsumer(key, { ...holder, autoClaimIdle: 60 }), 1);
  await reminded(key, 3);
}

test("leases are renewed for a stream that was missing for a long time", async () => {
  const key = uniqueKey();
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { ...holder, autoClaimIdle: 60 });
  await severalRounds();
  await server.commands(["0", "1", "2"].map((text) => ["XADD", key, "*", "msg", text]));
  assertEquals(await takeTexts(consumer, 1), ["0"]);
  await reminded(key, 3);
  assertEquals(await takeTexts(consumer, 2), ["1", "2"]);
});

test("leases are renewed for a group that was lost for a long time", async () => {
  const { key } = await groupOf(server, group, 0);
  await using streamer = await connect(server.url, { reconnect: { initialDelay: 5, maxDelay: 20 } });
  const consumer = await streamer.createConsumer(key, { ...holder, autoClaimIdle: 60 });
  const asked = consumer.next(); // so that the loss is noticed
  await untilReading(key);
  await server.command("DEL", key);
  await severalRounds();
  await server.commands(["0", "1", "2"].map((text) => ["XADD", key, "*", "msg", text]));
  assertEquals((await asked).text(), "0");
  await reminded(key, 3);
  assertEquals(await takeTexts(consumer, 2), ["1", "2"]);
});

/** Resolves when the holder has sent a command of the group. */
async function untilReading(key: string): Promise<void> {
  await until(async () => (await consumerNames(server, key, group)).includes("holder"), { what: "the holder reads" });
}
