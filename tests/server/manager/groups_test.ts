// Tests creating, moving and deleting groups, and deleting consumers without pending entries.

import { assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import { connect, type Manager, RedisError, type SeqPos, StreamerError } from "../../../mod.ts";
import { consumerNames, groupOf, pendingIds, readBy } from "../../support/consumer/grouping.ts";
import { addEach, addMany, Monitor } from "../../support/consumer/reading.ts";
import { nextEvent, until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { startProxy } from "../../support/network/proxy.ts";
import { OWN, PROXIED } from "../../support/one_server.ts";
import { test } from "../../support/runner.ts";
import { canStartServers, type Server, sharedServer, startServer } from "../../support/servers/server.ts";

const server = await sharedServer();
const ignore = !(await canStartServers());

async function streamOf(count: number, suffix = ""): Promise<string> {
  const key = uniqueKey();
  await addEach(server, Array.from({ length: count }, (_, i) => ["XADD", key + suffix, `${i + 1}-0`, "msg", "v"]));
  return key;
}

/** The ids that a group is given next. */
async function unread(key: string, group: string): Promise<string[]> {
  const reply = await server.command("XREADGROUP", "GROUP", group, "probe", "COUNT", 100, "NOACK", "STREAMS", key, ">");
  const [[, entries]] = (reply ?? [[key, []]]) as [[string, [string][]]]; // as: the reply of XREADGROUP
  return entries.map(([id]) => id);
}

const SEQUENCE = 2n << 16n; // from the id 2-0

test("a group starts at the beginning, at the end, after a sequence or after an id", async () => {
  const key = await streamOf(4);
  await using streamer = await connect(server.url);
  const manager = await streamer.createManager();
  const positions: Record<string, SeqPos> = { a: "beginning", b: "end", c: SEQUENCE, d: "3-0" };
  for (const [group, position] of Object.entries(positions)) await manager.createGroup(key, group, position);
  await server.command("XADD", key, "5-0", "msg", "v");
  assertEquals(await unread(key, "a"), ["1-0", "2-0", "3-0", "4-0", "5-0"]);
  assertEquals(await unread(key, "b"), ["5-0"]);
  assertEquals(await unread(key, "c"), ["3-0", "4-0", "5-0"]);
  assertEquals(await unread(key, "d"), ["4-0", "5-0"]);
});

test("an existing group, and a missing stream, reject with the server's error", async () => {
  const key = await streamOf(1);
  await using streamer = await connect(server.url);
  const manager = await streamer.createManager();
  await manager.createGroup(key, "g", "end");
  const busy = await assertRejects(() => manager.createGroup(key, "g", "end"), RedisError);
  assertEquals([busy.code, busy.command], ["BUSYGROUP", "XGROUP CREATE"]);
  const missing = uniqueKey();
  const calls = [
    () => manager.createGroup(missing, "g", "end"),
    () => manager.setGroupPosition(missing, "g", "end"),
    () => manager.deleteGroup(missing, "g"),
    () => manager.deleteConsumer(missing, "g", "c"),
    () => manager.deleteConsumer(missing, "g", "c", { force: true }),
  ];
  for (const call of calls) assertEquals((await assertRejects(call, RedisError)).code, "ERR");
  await manager.createGroup(missing, "g", "end", { mkstream: true });
  assertEquals((await manager.info(missing)).groups.length, 1);
  for (
    const call of [
      () => manager.setGroupPosition(key, "none", "end"),
      () => manager.setGroupPosition(key, "none", "beginning"),
      () => manager.deleteConsumer(key, "none", "c"),
      () => manager.deleteConsumer(key, "none", "c", { force: true }),
    ]
  ) assertEquals((await assertRejects(call, RedisError)).code, "NOGROUP");
});

test("a group that is moved gets the entries after its new position", async () => {
  const key = await streamOf(4);
  await using streamer = await connect(server.url);
  const manager = await streamer.createManager();
  await manager.createGroup(key, "g", "beginning");
  await manager.setGroupPosition(key, "g", "end");
  assertEquals(await unread(key, "g"), []);
  await manager.setGroupPosition(key, "g", SEQUENCE);
  assertEquals(await unread(key, "g"), ["3-0", "4-0"]);
  await manager.setGroupPosition(key, "g", "beginning");
  assertEquals((await unread(key, "g")).length, 4);
  await manager.setGroupPosition(key, "g", "3-5");
  assertEquals(await unread(key, "g"), ["4-0"]);
});

test("pending entries stay pending when their group is moved", async () => {
  const { key, ids } = await groupOf(server, "g", 3);
  await readBy(server, { key, group: "g", consumer: "c" });
  await using streamer = await connect(server.url);
  await (await streamer.createManager()).setGroupPosition(key, "g", "beginning");
  assertEquals(await pendingIds(server, key, "g"), ids);
});

test("a group that was moved to the end has a lag that is known from the next entry on", async () => {
  const key = await streamOf(4);
  await using streamer = await connect(server.url);
  const manager = await streamer.createManager();
  await manager.createGroup(key, "g", "2-0");
  const lag = async () => (await manager.info(key)).groups[0].lag;
  assertEquals(await lag(), null);
  for (const [position, added] of [["end", "5-0"], ["5-0", "6-0"], [6n << 16n, "7-0"]] as const) {
    await manager.setGroupPosition(key, "g", position);
    assertEquals(await lag(), 0);
    await server.command("XADD", key, added, "msg", "v");
    assertEquals(await lag(), 1, added);
  }
  await manager.setGroupPosition(key, "g", "beginning");
  assertEquals(await lag(), 7);
}, { ignore: !server.atLeast("7.0") });

test("a group is moved also if the length of its stream cannot be read", async () => {
  const { key } = await groupOf(server, "g", 2);
  const user = uniqueKey("user");
  await server.command("ACL", "SETUSER", user, "on", ">secret", "~*", "&*", "+@all", "-xinfo");
  await using streamer = await connect(server.url, { username: user, password: "secret" });
  await (await streamer.createManager()).setGroupPosition(key, "g", "end");
  assertEquals(await unread(key, "g"), []);
  await using small = await connect(server.url, { limits: { reply: 4_096 }, reconnect: { initialDelay: 5 } });
  const large = uniqueKey();
  await server.commands([["XADD", large, "1-0", "msg", "x".repeat(9_000)], ["XGROUP", "CREATE", large, "g", "0"]]);
  await (await small.createManager()).setGroupPosition(large, "g", "end");
  assertEquals(await unread(large, "g"), []);
  await server.command("ACL", "DELUSER", user);
});

test(
  "a stream with more entries than a number can hold is shown, and its group is moved to the end",
  async () => {
    const { key } = await groupOf(server, "g", 1);
    const added = ["ENTRIESADDED", "9223372036854775806", "MAXDELETEDID", "0-0"];
    await addEach(server, [["XSETID", key, "18446744073709551615-5", ...added]]);
    await using streamer = await connect(server.url);
    const manager = await streamer.createManager();
    await manager.setGroupPosition(key, "g", "end");
    const { length, groups } = await manager.info(key);
    assertEquals([length, groups[0].lastDeliveredId, groups[0].lag], [1, "18446744073709551615-5", 0]);
  },
  { ignore: !server.atLeast("7.0") },
);

test("deleting a group returns whether it existed", async () => {
  const { key } = await groupOf(server, "g", 2);
  await using streamer = await connect(server.url);
  const manager = await streamer.createManager();
  assertEquals([await manager.deleteGroup(key, "g"), await manager.deleteGroup(key, "g")], [true, false]);
  assertEquals((await manager.info(key)).groups, []);
});

test("a consumer is deleted only without pending entries; with force its entries are dropped", async () => {
  const { key } = await groupOf(server, "g", 5);
  await readBy(server, { key, group: "g", consumer: "busy", count: 3 });
  await readBy(server, { key, group: "g", consumer: "done", count: 1 });
  const [done] = await pendingIds(server, key, "g", "done");
  await server.command("XACK", key, "g", done);
  await using streamer = await connect(server.url);
  const manager = await streamer.createManager();
  const error = await assertRejects(() => manager.deleteConsumer(key, "g", "busy"), StreamerError);
  assertEquals(error.code, "CONFLICT");
  assertEquals(error.message.includes("3 pending"), true);
  assertEquals(await manager.deleteConsumer(key, "g", "done"), 0);
  assertEquals(await consumerNames(server, key, "g"), ["busy"]);
  assertEquals(await manager.deleteConsumer(key, "g", "nobody"), 0);
  assertEquals(await manager.deleteConsumer(key, "g", "busy", { force: true }), 3);
  assertEquals([await consumerNames(server, key, "g"), await pendingIds(server, key, "g")], [[], []]);
});

test("a consumer that gets an entry at the same time is never deleted with it", async () => {
  const { key } = await groupOf(server, "g", 0);
  await using streamer = await connect(server.url);
  const manager = await streamer.createManager();
  const reads = async () => {
    for (let i = 0; i < 100; i++) {
      await server.commands([
        ["XADD", key, "*", "msg", `${i}`],
        ["XREADGROUP", "GROUP", "g", "c", "COUNT", 1, "STREAMS", key, ">"],
      ]);
      const [id] = await pendingIds(server, key, "g", "c");
      assertEquals(typeof id, "string", "the entries read are pending");
      await server.command("XACK", key, "g", id);
    }
  };
  const reading = { over: false };
  const deletes = async () => {
    while (!reading.over) {
      await manager.deleteConsumer(key, "g", "c").catch((error) => assertEquals(error.code, "CONFLICT"));
    }
  };
  await Promise.all([reads().finally(() => reading.over = true), deletes()]);
});

test("without scripts a consumer is deleted only with force", async () => {
  await using own = await startServer();
  await own.command("ACL", "SETUSER", "u", "on", ">secret", "~*", "&*", "+@all", "-@scripting");
  await own.command("XGROUP", "CREATE", "k", "g", "0", "MKSTREAM");
  await own.command("XGROUP", "CREATECONSUMER", "k", "g", "c");
  await using streamer = await connect(own.url, { username: "u", password: "secret" });
  const manager = await streamer.createManager();
  const error = await assertRejects(() => manager.deleteConsumer("k", "g", "c"), StreamerError);
  assertEquals(error.code, "UNSUPPORTED");
  assertInstanceOf(error.cause, RedisError);
  assertEquals(await consumerNames(own, "k", "g"), ["c"]);
  assertEquals(await manager.deleteConsumer("k", "g", "c", { force: true }), 0);
  assertEquals(await consumerNames(own, "k", "g"), []);
}, { oneServer: OWN, ignore });

test("a command for all shards runs on each, and one refusal does not stop the others", async () => {
  const key = uniqueKey();
  for (const shard of [0, 1, 2]) await addMany(server, `${key}:${shard}`, 2);
  await using streamer = await connect(server.url);
  const manager = await streamer.createManager();
  const sharded = { sharded: true } as const;
  const groups = async () => {
    const infos = await Promise.all([0, 1, 2].map((shardId) => manager.info(key, { shardId })));
    return infos.map((info) => info.groups.length);
  };
  await manager.createGroup(key, "g", "beginning", { shardId: 1 });
  const busy = await assertRejects(() => manager.createGroup(key, "g", "beginning", sharded), RedisError);
  assertEquals([busy.code, await groups()], ["BUSYGROUP", [1, 1, 1]]);
  await manager.setGroupPosition(key, "g", "end", sharded);
  assertEquals((await manager.info(key, sharded)).groups[0].lag, 0);
  await manager.setGroupPosition(key, "g", "beginning", sharded);
  for (const shard of [0, 2]) await readBy(server, { key: `${key}:${shard}`, group: "g", consumer: "c" });
  const held = await assertRejects(() => manager.deleteConsumer(key, "g", "c", sharded), StreamerError);
  assertEquals(held.code, "CONFLICT");
  assertEquals(await manager.deleteConsumer(key, "g", "c", { ...sharded, force: true }), 4);
  assertEquals(await manager.deleteGroup(key, "g", { shardId: 0 }), true);
  assertEquals([await manager.deleteGroup(key, "g", sharded), await manager.deleteGroup(key, "g", sharded)], [
    true,
    false,
  ]);
});

test("a command that must not be repeated is not sent again after a cut, and the error says so", async () => {
  const { key } = await groupOf(server, "g", 2);
  await readBy(server, { key, group: "g", consumer: "c" });
  await using proxy = await startProxy(server);
  await using monitor = await Monitor.open(server);
  await using streamer = await connect(proxy.url, { reconnect: { initialDelay: 5 } });
  const manager = await streamer.createManager();
  const verbs: readonly (readonly [string, (manager: Manager) => Promise<unknown>])[] = [
    ["CREATE", () => manager.createGroup(key, "new", "end")],
    ["SETID", () => manager.setGroupPosition(key, "g", "beginning")],
    ["DELCONSUMER", () => manager.deleteConsumer(key, "g", "c", { force: true })],
    ["DESTROY", () => manager.deleteGroup(key, "g")],
  ];
  for (const [verb, call] of verbs) {
    await manager.length(key); // the connection is ready
    proxy.toClient.hold({ swallow: true });
    const calling = call(manager);
    calling.catch(() => {});
    await until(() => monitor.of("XGROUP", key).some((words) => words.includes(verb)), { what: `${verb} has come` });
    await proxy.cut();
    proxy.toClient.release();
    assertEquals((await assertRejects(() => calling, StreamerError)).code, "DISCONNECTED", verb);
    await manager.length(key);
    await monitor.settled(server);
    assertEquals(monitor.of("XGROUP", key).filter((words) => words.includes(verb)).length, 1, verb);
  }
  assertEquals(await groupNames(server, key), ["new"]);
}, { oneServer: PROXIED });

async function groupNames(on: Server, key: string): Promise<string[]> {
  const reply = await on.command("XINFO", "GROUPS", key);
  return Array.isArray(reply) ? reply.map((row) => String(Array.isArray(row) ? row[1] : row)) : [];
}

test("a command that must not be repeated does not fail because of a page that is too large", async () => {
  const key = uniqueKey();
  const sizes = Array.from({ length: 100 }, (_, i) => i === 0 ? 1 : 4_000);
  await addEach(server, sizes.map((size) => ["XADD", key, "*", "msg", "x".repeat(size)]));
  await using proxy = await startProxy(server);
  await using streamer = await connect(proxy.url, { limits: { reply: 65_536 }, reconnect: { initialDelay: 1 } });
  const manager = await streamer.createManager();
  const range = manager.rangeAll(key, "-", "+")[Symbol.asyncIterator]();
  proxy.toClient.hold();
  const first = range.next();
  const making = ["g", "h"].map((group) => manager.createGroup(key, group, "beginning"));
  const lost = nextEvent(streamer, "disconnect");
  proxy.toClient.release();
  await first;
  const also = manager.createGroup(key, "i", "beginning");
  await lost; // by the second page
  await Promise.all([...making, also]);
  let count = 1;
  while (!(await range.next()).done) count++;
  assertEquals([count, (await manager.info(key)).groups.length], [100, 3]);
}, { oneServer: PROXIED });

test("invalid positions, names and options are refused before a command is sent", async () => {
  const { key } = await groupOf(server, "g", 1);
  await using streamer = await connect(server.url);
  const manager = await streamer.createManager();
  for (const position of [new Date(5), "now", "5", -1n, 5, null, undefined, 2n ** 80n]) {
    for (const verb of ["createGroup", "setGroupPosition"] as const) {
      // as: a value that a program without types may pass
      const error = await assertRejects(() => manager[verb](key, "n", position as SeqPos), StreamerError);
      assertEquals(error.code, "INVALID_OPTION", `${verb} ${position}`);
    }
  }
  const calls: readonly (() => Promise<unknown>)[] = [
    () => manager.createGroup(key, "", "end"),
    () => manager.deleteGroup(key, 5 as unknown as string), // as: the same
    () => manager.deleteConsumer(key, "g", ""),
    () => manager.deleteConsumer(key, "g", "c", { force: 1 } as unknown as { force: true }), // as: the same
    () => manager.createGroup(key, "n", "end", { mkstream: "yes" } as unknown as { mkstream: true }), // as: the same
    () => manager.createGroup(key, "n", "end", { group: "x" } as unknown as { mkstream: true }), // as: the same
  ];
  for (const call of calls) assertEquals((await assertRejects(call, StreamerError)).code, "INVALID_OPTION");
  assertEquals(await groupNames(server, key), ["g"]);
});
