// Tests a drain through faults: a lost connection, a lost group, refused acknowledgements, and a consumer that has failed before.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { type AckConsumer, connect, type Message, type RedisStreamer, StreamerError } from "../../../mod.ts";
import { eventsOf, groupOf, pendingIds, pendingRows, readBy } from "../../support/consumer/grouping.ts";
import { group, long, rolling } from "../../support/consumer/draining.ts";
import { blockedClient, take } from "../../support/consumer/reading.ts";
import { nextEvent, until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { startProxy } from "../../support/network/proxy.ts";
import { PROXIED } from "../../support/one_server.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();
const reconnect = { initialDelay: 5, maxDelay: 20 };

async function holding(streamer: RedisStreamer, count: number, options: object = {}) {
  const { key, ids } = await groupOf(server, group, count);
  const consumer: AckConsumer = await streamer.createConsumer(key, { ...rolling, ...options });
  return { key, ids, consumer, messages: await take(consumer, count) };
}

test("a connection that is lost during the drain is no obstacle: acks are sent when it is back", async () => {
  await using proxy = await startProxy(server);
  await using streamer = await connect(proxy.url, { reconnect });
  const { key, consumer, messages } = await holding(streamer, 3);
  const end = consumer.end({ drain: long });
  consumer.ack(messages[0]);
  const cut = nextEvent(streamer, "disconnect");
  proxy.refuse();
  await proxy.cut();
  await cut;
  consumer.ack(messages[1]);
  consumer.ack(messages[2]); // the drain ends here, with the server away
  proxy.refuse(false);
  await end;
  assertEquals(await pendingIds(server, key, group), []);
}, { oneServer: PROXIED });

test("a server that stays away lets the drain end, and committing time out", async () => {
  await using proxy = await startProxy(server);
  const streamer = await connect(proxy.url, { reconnect });
  const { key, ids, consumer, messages } = await holding(streamer, 2);
  const end = consumer.end({ drain: long, timeout: 50 });
  proxy.refuse();
  await proxy.cut();
  for (const message of messages) consumer.ack(message);
  assertEquals((await assertRejects(() => end, StreamerError)).code, "TIMEOUT");
  assertEquals([await pendingIds(server, key, group), streamer.stats().consumers], [ids, 0]);
  await streamer.disconnect({ timeout: 1 });
}, { oneServer: PROXIED });

test("disconnect does not wait longer than its timeout for a pending end that has more time", async () => {
  await using proxy = await startProxy(server);
  const streamer = await connect(proxy.url, { reconnect });
  const { key, ids, consumer, messages } = await holding(streamer, 1);
  consumer.ack(messages[0]);
  proxy.refuse();
  await proxy.cut();
  const end = consumer.end({ timeout: long });
  const rejected = assertRejects(() => end, StreamerError);
  await streamer.disconnect({ timeout: 20 });
  assertEquals((await rejected).code, "DISCONNECTED");
  assertEquals(await pendingIds(server, key, group), ids);
}, { oneServer: PROXIED });

for (const onGroupLost of ["resume", "fail"] as const) {
  test(`a group that is lost during the drain is not recreated, and the end resolves (${onGroupLost})`, async () => {
    await using streamer = await connect(server.url);
    const recreated = eventsOf(streamer, "group-recreated");
    const { key, consumer, messages } = await holding(streamer, 2, { onGroupLost, autoClaimIdle: 60 });
    const end = consumer.end({ drain: long });
    await server.command("XGROUP", "DESTROY", key, group);
    const rounds = async () =>
      Number(/cmdstat_eval:calls=(\d+)/.exec(String(await server.command("INFO", "commandstats")))?.[1] ?? 0);
    const before = await rounds();
    await until(async () => await rounds() >= before + 3, { what: "leases are renewed in spite of it" });
    for (const message of messages) consumer.ack(message);
    await end;
    assertEquals(recreated, []);
    assertEquals(await server.command("XINFO", "GROUPS", key), []);
  });
}

test("a stream that is deleted during the drain is no obstacle", async () => {
  await using streamer = await connect(server.url);
  const { key, consumer, messages } = await holding(streamer, 2);
  const end = consumer.end({ drain: long });
  await server.command("DEL", key);
  consumer.ack(messages[0]);
  consumer.nack(messages[1]);
  await end;
  assertEquals(await server.command("EXISTS", key), 0);
});

test("acks that the server refuses reject the end once the drain is over, and the messages stay pending", async () => {
  const user = uniqueKey("user");
  await server.command("ACL", "SETUSER", user, "on", ">pw", "~*", "&*", "+@all");
  await using streamer = await connect(server.url.replace("redis://", `redis://${user}:pw@`));
  const { key, ids, consumer, messages } = await holding(streamer, 2, { autoCommitInterval: 0 });
  const end = consumer.end({ drain: long });
  const rejected = assertRejects(() => end, StreamerError);
  await server.command("ACL", "SETUSER", user, "-xack");
  consumer.ack(messages[0]);
  await server.command("PING");
  consumer.ack(messages[1]); // the end still waits
  assertEquals((await rejected).code, "NOPERM");
  assertEquals(await pendingIds(server, key, group), ids);
});

test("a consumer that has failed is drained all the same: its acks are committed", async () => {
  const user = uniqueKey("user");
  await server.command("ACL", "SETUSER", user, "on", ">pw", "~*", "&*", "+@all");
  await using streamer = await connect(server.url.replace("redis://", `redis://${user}:pw@`), { clientName: user });
  const { key, ids, consumer, messages } = await holding(streamer, 2);
  const asked = assertRejects(() => consumer.next(), StreamerError);
  const blocked = await blockedClient(server, user);
  await server.command("ACL", "SETUSER", user, "-xreadgroup");
  await server.command("CLIENT", "UNBLOCK", blocked);
  assertEquals((await asked).code, "NOPERM");
  const end = consumer.end({ drain: long });
  consumer.ack(messages[0]);
  assertEquals((await assertRejects(() => consumer.next(), StreamerError)).code, "NOPERM");
  consumer.nack(messages[1], { delay: long });
  await end;
  const rows = await pendingRows(server, key, group);
  assertEquals(rows.map(({ id }) => id), ids.slice(1));
  assert(rows[0].idle > 60_000);
});

test("a page, or a claim, that is in flight when the drain begins goes to others during the drain", async () => {
  const { key } = await groupOf(server, group, 2);
  await using proxy = await startProxy(server);
  await using streamer = await connect(proxy.url, { clientName: key });
  const consumer = await streamer.createConsumer(key, rolling);
  const [first, second]: Message[] = await take(consumer, 2);
  const asked = assertRejects(() => consumer.next());
  await blockedClient(server, key);
  proxy.toClient.hold();
  await server.command("XADD", key, "*", "msg", "late");
  await until(async () => (await pendingIds(server, key, group)).length === 3);
  const end = consumer.end({ drain: long });
  proxy.toClient.release();
  await asked;
  const late = async () => (await pendingRows(server, key, group)).find(({ deliveries }) => deliveries === 0);
  await until(async () => ((await late())?.idle ?? 0) > 60_000, { what: "the late entry is released" });
  consumer.ack(first);
  consumer.ack(second);
  await end;
  assertEquals((await pendingIds(server, key, group)).length, 1);
}, { oneServer: PROXIED });

test("a replay that runs when the drain begins is left to the next run", async () => {
  const { key, ids } = await groupOf(server, group, 30);
  await readBy(server, { key, group, consumer: "me" });
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { ...rolling, batchSize: 5 });
  const first = await consumer.next();
  const end = consumer.end({ drain: long });
  consumer.ack(first);
  await end;
  const again = await streamer.createConsumer(key, rolling);
  const messages = await take(again, 29);
  assertEquals(messages.map(({ id }) => id), ids.slice(1));
});
