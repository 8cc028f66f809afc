// Tests shards that group consumers discover: at their creation, while they run, around moves and through faults.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { connect, StreamerError } from "../../../mod.ts";
import { pendingIds } from "../../support/consumer/grouping.ts";
import { addAt, addMany, blockedClient, Monitor, take, takeTexts, texts } from "../../support/consumer/reading.ts";
import { asksFor, byShard, lookedFor, numbersOf, shardsTold, toldTimes } from "../../support/consumer/sharding.ts";
import { nextEvent, until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { startProxy } from "../../support/network/proxy.ts";
import { OWN, PROXIED } from "../../support/one_server.ts";
import { test } from "../../support/runner.ts";
import { canStartServers, sharedServer, startServer } from "../../support/servers/server.ts";

const ignore = !(await canStartServers());
const server = await sharedServer();
const group = "g";
const often = { group, shardDiscoveryInterval: 20 } as const;
const resumable = { ...often, mode: "resumable", autoCommit: "rolling", autoCommitInterval: 5 } as const;
const balanced = { ...resumable, mode: "load-balanced" } as const;
const reconnect = { initialDelay: 5, maxDelay: 50 };

/** The position of a group, and its pending entries. */
async function groupsOf(redisKey: string): Promise<string[]> {
  const reply = await server.command("XINFO", "GROUPS", redisKey);
  assert(Array.isArray(reply));
  return reply.map((row) => String(Array.isArray(row) ? row[1] : row));
}

for (const mode of ["resumable", "load-balanced"] as const) {
  test(`a ${mode} consumer finds existing shards, and their groups are created`, async () => {
    const key = uniqueKey();
    for (const redisKey of [key, `${key}:0`, `${key}:3`]) await addMany(server, redisKey, 1, "old");
    await using streamer = await connect(server.url);
    const told = shardsTold(streamer);
    const consumer = await streamer.createConsumer(key, { ...resumable, mode });
    assertEquals(numbersOf(consumer, key), [0, 3]);
    assertEquals(told, [{ streamKey: key, found: [0, 3], gone: [], ignoredPlain: true }]);
    for (const shard of [0, 3]) assertEquals(await groupsOf(`${key}:${shard}`), [group]);
    assertEquals(await groupsOf(key), []);
    for (const redisKey of [key, `${key}:0`, `${key}:3`]) await addMany(server, redisKey, 2, "new");
    const messages = await take(consumer, 4);
    assertEquals(byShard(messages), { "0": texts(2, "new"), "3": texts(2, "new") });
    for (const message of messages) consumer.ack(message);
    for (const shard of [0, 3]) {
      await until(async () => (await pendingIds(server, `${key}:${shard}`, group)).length === 0);
    }
  });
}

test("too many shards are refused, and explicit ones are not discovered", async () => {
  const key = uniqueKey();
  const many = Array.from({ length: 1_025 }, (_, shard) => ["XADD", `${key}:${shard}`, "*", "msg", "x"]);
  await server.commands(many);
  await using monitor = await Monitor.open(server);
  await using streamer = await connect(server.url);
  const error = await assertRejects(() => streamer.createConsumer(key, resumable), StreamerError);
  assertEquals(error.code, "INVALID_OPTION");
  await monitor.settled(server);
  const scans = monitor.count("SCAN", `${key}:*`);
  await streamer.createConsumer(key, { mode: "resumable", group, shards: 2 });
  await monitor.settled(server);
  assertEquals(monitor.count("SCAN", `${key}:*`), scans);
  await server.commands(many.map(([, redisKey]) => ["DEL", redisKey]));
});

test("new shards are read from their first entry, by the consumers of the group together", async () => {
  const key = uniqueKey();
  await addMany(server, `${key}:0`, 1, "old");
  await using streamer = await connect(server.url);
  const consumers = [await streamer.createConsumer(key, balanced), await streamer.createConsumer(key, balanced)];
  const got: string[] = [];
  const loops = consumers.map(async (consumer) => {
    for await (const message of consumer) {
      got.push(`${message.shardId}/${message.text()}`);
      consumer.ack(message);
    }
  });
  const expected: string[] = [];
  for (let round = 0; round < 8; round++) {
    for (const shard of [0, 1, 5].slice(0, 1 + (round >> 1))) {
      await addMany(server, `${key}:${shard}`, 20, `${round}-`);
      expected.push(...texts(20, `${shard}/${round}-`));
    }
  }
  await until(() => got.length >= expected.length);
  assertEquals(got.toSorted(), expected.toSorted());
  for (const consumer of consumers) await until(() => numbersOf(consumer, key).join() === "0,1,5");
  for (const consumer of consumers) await consumer.end();
  await Promise.all(loops);
});

test("a shard that was unassigned is not read again, and a deleted one is reported", async () => {
  const key = uniqueKey();
  for (const shard of [0, 1, 2]) await addMany(server, `${key}:${shard}`, 1);
  await using monitor = await Monitor.open(server);
  await using streamer = await connect(server.url);
  const told = shardsTold(streamer);
  const consumer = await streamer.createConsumer(key, resumable);
  await consumer.unassign(key, 1);
  await addMany(server, `${key}:1`, 1, "not wanted");
  await lookedFor(monitor, `${key}:5`);
  assertEquals(numbersOf(consumer, key), [0, 2]);
  await server.command("DEL", `${key}:2`);
  await toldTimes(told, 2);
  assertEquals(told[1], { streamKey: key, found: [], gone: [2], ignoredPlain: false });
  await addMany(server, `${key}:0`, 1, "zero");
  assertEquals(await takeTexts(consumer, 1), ["zero0"]);
});

for (const mode of ["real-time", "load-balanced"] as const) {
  test(`an unassigned plain key does not return as shard 0 to a ${mode} consumer; others are found`, async () => {
    const key = uniqueKey();
    await addMany(server, key, 1, "old");
    await using monitor = await Monitor.open(server);
    await using streamer = await connect(server.url);
    const told = shardsTold(streamer);
    const settings = mode === "real-time" ? { mode, shardDiscoveryInterval: 20 } : { ...balanced, mkstream: true };
    const consumer = await streamer.createConsumer(key, settings);
    await consumer.assign(key, 5);
    await consumer.unassign(key, 0);
    await addMany(server, `${key}:0`, 1, "not wanted");
    await lookedFor(monitor, `${key}:1`);
    assertEquals(numbersOf(consumer, key), [5]);
    await addMany(server, `${key}:1`, 1, "one");
    assertEquals(await takeTexts(consumer, 1), ["one0"]);
    assertEquals(told.flatMap(({ found }) => found).filter((number) => number !== 5), [1]);
    await lookedFor(monitor, `${key}:6`);
    assertEquals(numbersOf(consumer, key), [5, 1]);
    await consumer.assign(key, 0);
    await addMany(server, `${key}:0`, 1, "wanted");
    assertEquals(await takeTexts(consumer, 1), ["wanted0"]);
  });
}

test("a shard that is unassigned while discovery has found it does not return", async () => {
  const key = uniqueKey();
  await addMany(server, `${key}:0`, 1, "old");
  await using proxy = await startProxy(server);
  await using monitor = await Monitor.open(server);
  const name = uniqueKey("c");
  await using streamer = await connect(proxy.url, { reconnect, clientName: name });
  const told = shardsTold(streamer);
  const consumer = await streamer.createConsumer(key, { ...balanced, shardDiscoveryInterval: 500 });
  const asked = consumer.next();
  const blocked = await blockedClient(server, name);
  await lookedFor(monitor, `${key}:1`); // the next discovery is some time away
  await addMany(server, `${key}:4`, 1, "not wanted");
  await consumer.assign(key, 4);
  proxy.refuse(); // the reader does not return: a move waits for it
  await server.command("CLIENT", "KILL", "ID", blocked);
  const changes = [consumer.rewind("end", { group: true }), consumer.unassign(key, 4)];
  const looks = asksFor(monitor, `${key}:0`);
  await until(() => asksFor(monitor, `${key}:0`) > looks, { what: "a look has found the shard, and has it read" });
  await monitor.settled(server);
  proxy.refuse(false);
  await Promise.all(changes);
  await lookedFor(monitor, `${key}:1`);
  assertEquals(numbersOf(consumer, key), [0]);
  assertEquals(told.map(({ found }) => found), [[0]]);
  await addMany(server, `${key}:0`, 1, "new");
  assertEquals((await asked).text(), "new0");
}, { oneServer: PROXIED });

test("after a move without the group shards are found and read from there, and a plain key is left", async () => {
  const [key, plain] = [uniqueKey(), uniqueKey()];
  await addAt(server, `${key}:0`, "5-0");
  await addAt(server, plain, "5-0");
  await using streamer = await connect(server.url);
  const told = shardsTold(streamer);
  const consumer = await streamer.createConsumer([key, plain], resumable);
  await consumer.rewind("7-0");
  for (const redisKey of [`${key}:1`, plain, `${plain}:0`]) {
    for (const id of ["6-0", "8-0"]) await addAt(server, redisKey, id, `${redisKey} ${id}`);
  }
  const got = await takeTexts(consumer, 3);
  assertEquals(got.toSorted(), [`${key}:1 8-0`, `${plain} 8-0`, `${plain}:0 8-0`].toSorted());
  await toldTimes(told, 3);
  assertEquals([numbersOf(consumer, key), numbersOf(consumer, plain)], [[0, 1], [0]]);
  assert(got.indexOf(`${plain} 8-0`) < got.indexOf(`${plain}:0 8-0`));
});

test("after a rewind to the end without the group no earlier message is delivered, also of shards found later", async () => {
  await using streamer = await connect(server.url);
  for (let round = 0; round < 5; round++) {
    const key = uniqueKey();
    await addMany(server, `${key}:0`, 1, "old");
    const consumer = await streamer.createConsumer(key, resumable);
    await addMany(server, `${key}:1`, 2, "before");
    await consumer.rewind("end");
    await addMany(server, `${key}:1`, 2, "after");
    assertEquals(await takeTexts(consumer, 2), texts(2, "after"));
    await consumer.end();
  }
});

test("after a rewind of the whole group no earlier message is delivered to any member, also of shards found later", async () => {
  await using streamer = await connect(server.url);
  for (const plain of [false, true]) {
    const key = uniqueKey();
    const told = shardsTold(streamer);
    await addMany(server, plain ? key : `${key}:0`, 1, "old");
    const late = { ...balanced, shardDiscoveryInterval: 300 };
    const consumers = [await streamer.createConsumer(key, late), await streamer.createConsumer(key, late)];
    await addMany(server, `${key}:1`, 3, "before");
    await consumers[0].rewind("end", { group: true });
    await addMany(server, `${key}:1`, 2, "after");
    await addMany(server, `${key}:2`, 2, "later"); // all messages are from after the move
    const got: string[] = [];
    const loops = consumers.map(async (consumer) => {
      for await (const message of consumer) {
        got.push(message.text());
        consumer.ack(message);
      }
    });
    await until(() => consumers.every((consumer) => numbersOf(consumer, key).includes(2)));
    await until(() => got.length >= 4);
    for (const consumer of consumers) await consumer.end();
    await Promise.all(loops);
    assertEquals(got.toSorted(), [...texts(2, "after"), ...texts(2, "later")], `plain: ${plain}`);
    assertEquals(told.filter(({ cause }) => cause !== undefined), []);
  }
});

test("a seek of the whole group applies to shards found later, and to one that another consumer reads already", async () => {
  const key = uniqueKey();
  await addAt(server, `${key}:0`, "5-0");
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { ...balanced, shardDiscoveryInterval: 300 });
  for (const id of ["6-0", "8-0"]) {
    for (const shard of [1, 2]) await addAt(server, `${key}:${shard}`, id, `${shard} ${id}`);
  }
  await server.command("XGROUP", "CREATE", `${key}:2`, group, "8-0");
  await consumer.rewind("7-0", { group: true });
  assertEquals((await takeTexts(consumer, 2)).toSorted(), ["1 8-0", "2 8-0"]);
  assertEquals(numbersOf(consumer, key), [0, 1, 2]);
});

test("a group without one of its shards is moved in the others, and reads a recreated shard from its beginning", async () => {
  const key = uniqueKey();
  for (const shard of [0, 1]) await addMany(server, `${key}:${shard}`, 1, "old");
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { ...resumable, autoStreamReset: "earliest" });
  for (const message of await take(consumer, 2)) consumer.ack(message);
  await until(() => consumer.stats().acked === 2);
  await server.command("DEL", `${key}:1`);
  await consumer.rewind("beginning", { group: true });
  assertEquals(byShard(await take(consumer, 1)), { "0": ["old0"] });
  await addMany(server, `${key}:1`, 2, "new");
  assertEquals(byShard(await take(consumer, 2)), { "1": texts(2, "new") });
});

test("shards are found across lost connections, and nothing of them is lost", async () => {
  const key = uniqueKey();
  await addMany(server, `${key}:0`, 1);
  await using proxy = await startProxy(server);
  await using streamer = await connect(proxy.url, { reconnect });
  const consumer = await streamer.createConsumer(key, balanced);
  for (let shard = 1; shard <= 3; shard++) {
    const cut = nextEvent(streamer, "disconnect");
    proxy.refuse();
    await proxy.cut();
    await cut;
    await addMany(server, `${key}:${shard}`, 5, `${shard}-`);
    proxy.refuse(false);
    assertEquals(await takeTexts(consumer, 5), texts(5, `${shard}-`));
  }
}, { oneServer: PROXIED });

test("shards found while the server is out of memory are read when it has memory again", async () => {
  await using own = await startServer();
  const key = uniqueKey();
  await addMany(own, key, 1, "old");
  await using monitor = await Monitor.open(own);
  await using streamer = await connect(own.url);
  const told = shardsTold(streamer);
  const consumer = await streamer.createConsumer(key, resumable);
  for (const shard of [0, 1]) { // in place of the plain key, and later
    const filling = ["CONFIG", "SET", "maxmemory", "1"];
    await own.commands([["MULTI"], ["XADD", `${key}:${shard}`, "*", "msg", `${shard}`], filling, ["EXEC"]]);
    await lookedFor(monitor, `${key}:${shard}`); // and its group refused, once at least
    assertEquals(told.length, shard);
    await own.command("CONFIG", "SET", "maxmemory", "0");
    assertEquals(await takeTexts(consumer, 1), [`${shard}`]);
  }
  assertEquals(told.map(({ found, cause }) => [found, cause]), [[[0], undefined], [[1], undefined]]);
}, { oneServer: OWN, ignore });

test("if a group must not be created for a new shard, the others are read, and an event reports it", async () => {
  const key = uniqueKey();
  const user = uniqueKey("user");
  await server.command("ACL", "SETUSER", user, "on", ">secret", "~*", "&*", "+@all");
  await addMany(server, `${key}:0`, 1);
  await using streamer = await connect(server.url, { username: user, password: "secret" });
  const told = shardsTold(streamer);
  const consumer = await streamer.createConsumer(key, resumable);
  await server.command("ACL", "SETUSER", user, "-xgroup");
  await addMany(server, `${key}:1`, 1);
  await toldTimes(told, 2);
  const { cause, ...rest } = told[1];
  assertEquals(rest, { streamKey: key, found: [], gone: [], ignoredPlain: false });
  assert(cause instanceof StreamerError && cause.code === "NOPERM");
  await addMany(server, `${key}:0`, 1, "known");
  assertEquals(await takeTexts(consumer, 1), ["known0"]);
  await streamer.disconnect();
  await server.command("ACL", "DELUSER", user);
});
