// Tests consumers and groups with names that are not UTF-8, as other programs create them: they are claimed from,
// removed, shown escaped, and found by the escaped text.

import { assertEquals, assertNotMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { connect, StreamerError } from "../../../mod.ts";
import { reportEvents } from "../../../streamer/cli/verbs/session.ts";
import { run } from "../../support/cli/running.ts";
import { eventsOf, groupOf } from "../../support/consumer/grouping.ts";
import { take, texts } from "../../support/consumer/reading.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { test } from "../../support/runner.ts";
import { sharedServer, type Word } from "../../support/servers/server.ts";

const server = await sharedServer();
const group = "g";
const name = Uint8Array.of(0x9f, 0x00, 0xff, 0xfe, 0x41, 0xc3, 0x28, 0x1b, 0x5b, 0x0d, 0x0a);
const shown = "\\x9f\\x00\\xff\\xfeA\\xc3(\\x1b[\\x0d\\x0a";
const claiming = {
  mode: "load-balanced",
  group,
  consumerId: "me",
  autoCommit: "rolling",
  autoClaimInterval: 20,
  autoClaimIdle: 10_000,
} as const;

/** A member with that name takes entries an hour ago. */
async function leftByBytes(key: string, consumer: Uint8Array, count: number, from: Word = group): Promise<void> {
  await server.command("XREADGROUP", "GROUP", from, consumer, "COUNT", count, "STREAMS", key, ">");
  const rows = await server.command("XPENDING", key, from, "-", "+", count, consumer);
  const ids = Array.isArray(rows) ? rows.map((row) => String(Array.isArray(row) ? row[0] : row)) : [];
  await server.command("XCLAIM", key, from, consumer, 0, ...ids, "IDLE", 3_600_000, "JUSTID");
}

for (const scripts of [true, false]) {
  test(`entries of a consumer whose name is not UTF-8 are claimed${scripts ? "" : " without scripts"}`, async () => {
    const { key } = await groupOf(server, group, 25);
    await leftByBytes(key, name, 20);
    await leftByBytes(key, Uint8Array.of(0xff), 5);
    await server.command("XDEL", key, ...await idsOf(key, 3));
    const user = uniqueKey("user");
    await server.command("ACL", "SETUSER", user, "on", ">pw", "~*", "&*", "+@all", scripts ? "+eval" : "-eval");
    await using streamer = await connect(server.url.replace("redis://", `redis://${user}:pw@`));
    const [claims, gaps] = [eventsOf(streamer, "claimed"), eventsOf(streamer, "gap")];
    const consumer = await streamer.createConsumer(key, claiming);
    const got = (await take(consumer, 22)).map((message) => message.text());
    assertEquals(got.sort(), texts(22, "", 3).sort());
    assertEquals(new Set(claims.map(({ from }) => from)), new Set([shown, "\\xff"]));
    assertEquals(gaps.flatMap(({ ids }) => ids).length, 3);
  });
}

async function idsOf(key: string, count: number): Promise<string[]> {
  const reply = await server.command("XRANGE", key, "-", "+", "COUNT", count);
  return Array.isArray(reply) ? reply.map((entry) => String(Array.isArray(entry) ? entry[0] : entry)) : [];
}

test("a stopped consumer without pending entries is removed, whatever its name", async () => {
  const { key } = await groupOf(server, group, 1);
  for (const one of [name, Uint8Array.of(0xfe), "text"]) {
    await server.command("XGROUP", "CREATECONSUMER", key, group, one);
  }
  await leftByBytes(key, Uint8Array.of(0xfd), 1);
  await using streamer = await connect(server.url);
  const manager = await streamer.createManager();
  await streamer.createConsumer(key, { ...claiming, autoClaimInterval: null, consumerExpiry: 30 });
  const names = async () => (await manager.info(key)).groups[0].consumers.map((one) => one.name);
  await until(async () => (await names()).filter((one) => one !== "me").join() === "\\xfd");
});

test("the manager accepts the text that it shows for a name, or the bytes, and reports a text that fits two names", async () => {
  const { key } = await groupOf(server, group, 2);
  await leftByBytes(key, name, 1);
  await server.command("XGROUP", "CREATECONSUMER", key, group, Uint8Array.of(0xfe));
  await using streamer = await connect(server.url);
  const manager = await streamer.createManager();
  const [{ consumers }] = (await manager.info(key)).groups;
  assertEquals(consumers.map((one) => one.name).sort(), [shown, "\\xfe"].sort());
  const held = await assertRejects(() => manager.deleteConsumer(key, group, shown), StreamerError);
  assertEquals(held.code, "CONFLICT");
  assertNotMatch(held.message, /[^\x20-\x7e]/);
  assertEquals(await manager.deleteConsumer(key, group, shown, { force: true }), 1);
  await server.command("XGROUP", "CREATECONSUMER", key, group, "\\xfe"); // text that looks the same
  const both = await assertRejects(() => manager.deleteConsumer(key, group, "\\xfe"), StreamerError);
  assertEquals(both.code, "CONFLICT");
  const left = async () => (await manager.info(key)).groups[0].consumers.length;
  assertEquals(await left(), 2);
  assertEquals(await manager.deleteConsumer(key, group, Uint8Array.of(0xfe)), 0);
  assertEquals(await left(), 1);
  assertEquals(await manager.deleteConsumer(key, group, "\\xfe"), 0);
  assertEquals(await left(), 0);
});

test("a group whose name is not UTF-8 is shown, moved and deleted, and the entries it needs are not trimmed", async () => {
  const key = uniqueKey();
  const foreign = Uint8Array.of(0x67, 0xff);
  for (const shard of [0, 1]) {
    for (let i = 0; i < 4; i++) await server.command("XADD", `${key}:${shard}`, `${i + 1}-0`, "msg", i);
    await server.command("XGROUP", "CREATE", `${key}:${shard}`, foreign, "2-0");
  }
  await using streamer = await connect(server.url);
  const manager = await streamer.createManager();
  const cut = { acknowledged: true, exact: true, sharded: true } as const;
  assertEquals(await manager.trim(key, cut), 4);
  assertEquals((await manager.info(key, { sharded: true })).groups.map((one) => one.name), ["g\\xff"]);
  await manager.setGroupPosition(key, "g\\xff", "3-0", { sharded: true });
  assertEquals(await manager.trim(key, cut), 2);
  assertEquals(await manager.trim(key, cut), 0);
  const consumer = await streamer.createConsumer(key, { ...claiming, autoStreamReset: "earliest" });
  assertEquals((await take(consumer, 2)).map(({ id }) => id), ["4-0", "4-0"]);
  assertEquals(await manager.deleteGroup(key, foreign, { shardId: 0 }), true);
  assertEquals(await manager.deleteGroup(key, "g\\xff", { sharded: true }), true);
  assertEquals((await manager.info(key, { sharded: true })).groups.map((one) => one.name), [group]);
});

test("the command line shows such names escaped, in its tables, in JSON, and with --verbose", async () => {
  const { key } = await groupOf(server, group, 2);
  await leftByBytes(key, name, 1);
  const utf8 = "c1\u009b31m\x1b[31m";
  await server.command("XREADGROUP", "GROUP", group, utf8, "COUNT", 1, "STREAMS", key, ">");
  const env = { REDIS_URL: server.url };
  const [table, json] = [await run(["info", key], { env }), await run(["info", key, "--json"], { env })];
  for (const { stdout } of [table, json]) {
    // deno-lint-ignore no-control-regex -- control characters are what must not be there
    assertNotMatch(stdout, /[\x00-\x09\x0b-\x1f\x7f-\x9f]/);
  }
  assertStringIncludes(table.stdout, shown);
  const names = JSON.parse(json.stdout).streams[0].groups[0].consumers.map((one: { name: string }) => one.name);
  assertEquals(names.sort(), [shown, utf8].sort());
});

test("with --verbose the command line reports a claim without a character that controls the terminal", async () => {
  const { key } = await groupOf(server, group, 2);
  await server.command("XREADGROUP", "GROUP", group, "c1\u009b31m\x1b[31m", "COUNT", 1, "STREAMS", key, ">");
  const taken = await server.command("XPENDING", key, group, "-", "+", 1);
  await server.command("XCLAIM", key, group, "c1\u009b31m\x1b[31m", 0, String([taken].flat(2)[0]), "IDLE", 3_600_000);
  await leftByBytes(key, name, 1);
  await using streamer = await connect(server.url);
  const notes: string[] = [];
  reportEvents(streamer, (text) => notes.push(text), true);
  await take(await streamer.createConsumer(key, claiming), 2);
  const told = notes.filter((text) => text.includes("claimed from")).sort();
  assertEquals(told.length, 2);
  assertStringIncludes(told.join("\n"), shown);
  // deno-lint-ignore no-control-regex -- control characters are what must not be there
  for (const text of notes) assertNotMatch(text, /[\x00-\x1f\x7f-\x9f\ufffd]/);
});
