// Tests finding streams among a server's keys: by cursor and in a loop, in other databases, and with invalid arguments.

import { assert, assertEquals, assertRejects, assertStrictEquals, assertThrows } from "@std/assert";
import { connect, type Manager, RedisError, StreamerError } from "../../../mod.ts";
import { uniqueKey } from "../../support/keys.ts";
import { DATABASES, OWN } from "../../support/one_server.ts";
import { test } from "../../support/runner.ts";
import { canStartServers, sharedServer, startServer, type Word } from "../../support/servers/server.ts";

const server = await sharedServer();
const ignore = !(await canStartServers());

async function make(prefix: string, count: number): Promise<string[]> {
  const names = Array.from({ length: count }, (_, i) => `${prefix}${i}`);
  await server.commands(names.map((name): Word[] => ["XADD", name, "*", "msg", "v"]));
  return names.sort();
}

async function namesOf(streams: AsyncIterable<string>): Promise<string[]> {
  const names: string[] = [];
  for await (const name of streams) names.push(name);
  return names;
}

async function scanAll(manager: Manager, options: { match?: string; count?: number }, first = "0"): Promise<string[]> {
  const names = new Set<string>();
  let cursor = first;
  do {
    const page = await manager.scan(cursor, options);
    for (const name of page.streams) names.add(name);
    cursor = page.cursor;
  } while (cursor !== "0");
  return [...names].sort();
}

test("scanning until the cursor is 0 again returns every stream, and no key of another type", async () => {
  const prefix = uniqueKey();
  const names = await make(`${prefix}-`, 300);
  await server.commands([["SET", `${prefix}-text`, "x"], ["LPUSH", `${prefix}-list`, "x"]]);
  await using streamer = await connect(server.url);
  const manager = await streamer.createManager();
  assertEquals(await scanAll(manager, { match: `${prefix}*`, count: 17 }), names);
  assertEquals(await scanAll(manager, { match: `${prefix}-29?` }), names.filter((name) => /-29\d$/.test(name)));
  assertEquals(await scanAll(manager, { match: `${prefix}*` }, ""), names);
  const everything = await scanAll(manager, { count: 1_000 });
  assert(names.every((name) => everything.includes(name)));
});

test("a loop returns every stream once", async () => {
  const prefix = uniqueKey();
  const names = await make(`${prefix}-`, 2_500);
  await using streamer = await connect(server.url);
  const manager = await streamer.createManager();
  assertEquals((await namesOf(manager.streams({ match: `${prefix}-*` }))).sort(), names);
  const everything = await namesOf(manager.streams());
  assertEquals(new Set(everything).size, everything.length);
  assert(names.every((name) => everything.includes(name)));
  assertEquals(await namesOf(manager.streams({ match: `${prefix}none*` })), []);
});

test("keys that are not valid stream keys here are listed too", async () => {
  const name = `${uniqueKey()} with spaces|and more`;
  await server.command("XADD", name, "*", "msg", "v");
  await using streamer = await connect(server.url);
  const manager = await streamer.createManager();
  assertEquals(await namesOf(manager.streams({ match: `${name.split(" ")[0]}*` })), [name]);
  assertEquals((await assertRejects(() => manager.length(name), StreamerError)).code, "INVALID_STREAM_KEY");
});

test("the streams are those of the connected database", async () => {
  const key = uniqueKey();
  await server.commands([["SELECT", 5], ["XADD", key, "*", "msg", "v"]]);
  await using streamer = await connect(server.url);
  await using other = await connect(server.url, { db: 5 });
  const [here, there] = [await streamer.createManager(), await other.createManager()];
  const match = `${key}*`;
  assertEquals([await namesOf(here.streams({ match })), await namesOf(there.streams({ match }))], [[], [key]]);
  await server.commands([["SELECT", 5], ["DEL", key]]);
}, { oneServer: DATABASES, ignore });

test("a loop can be left, aborted, and run again", async () => {
  const prefix = uniqueKey();
  await make(prefix, 50);
  await using streamer = await connect(server.url);
  const manager = await streamer.createManager();
  const { signal, ...controller } = withAbort();
  const streams = manager.streams({ match: `${prefix}*`, signal });
  for await (const _ of streams) break;
  assertEquals((await namesOf(streams)).length, 50);
  const reason = new Error("enough");
  let seen = 0;
  const caught = await assertRejects(async () => {
    for await (const _ of streams) if (++seen === 3) controller.abort(reason);
  });
  assertStrictEquals(caught, reason);
  assertEquals(seen, 3);
  assertStrictEquals(await assertRejects(() => manager.scan("0", { signal })), reason);
});

function withAbort(): { readonly signal: AbortSignal; readonly abort: (reason: unknown) => void } {
  const controller = new AbortController();
  return { signal: controller.signal, abort: (reason) => controller.abort(reason) };
}

test("an invalid cursor and invalid options are refused", async () => {
  await using streamer = await connect(server.url);
  const manager = await streamer.createManager();
  const wrong: readonly (readonly unknown[])[] = [
    ["abc"],
    ["-1"],
    ["1.5"],
    [0],
    [null],
    ["123456789012345678901"],
    ["0", { count: 0 }],
    ["0", { count: "10" }],
    ["0", { match: 5 }],
    ["0", { type: "stream" }],
    ["0", null],
  ];
  for (const args of wrong) {
    // as: a value that a program without types may pass
    const error = await assertRejects(() => manager.scan(...args as Parameters<Manager["scan"]>), StreamerError);
    assertEquals(error.code, "INVALID_OPTION", String(args));
  }
  // as: the same
  const call = () => manager.streams({ match: 5 } as unknown as Parameters<Manager["streams"]>[0]);
  assertEquals(assertThrows(call, StreamerError).code, "INVALID_OPTION");
});

test("a cursor that only the server can judge is refused by it", async () => {
  await using streamer = await connect(server.url);
  const manager = await streamer.createManager();
  const beyond = await assertRejects(() => manager.scan("99999999999999999999"), RedisError);
  assertEquals([beyond.code, beyond.command], ["ERR", "SCAN"]);
}, { oneServer: "a cursor of a cluster names its node" });

test("if SCAN is forbidden the server's refusal is thrown, also for all shards", async () => {
  await using own = await startServer();
  await own.command("ACL", "SETUSER", "u", "on", ">secret", "~*", "&*", "+@all", "-scan");
  await own.command("XADD", "k:0", "*", "msg", "v");
  await using streamer = await connect(own.url, { username: "u", password: "secret" });
  const manager = await streamer.createManager();
  const calls = [
    () => manager.scan(),
    () => namesOf(manager.streams()),
    () => manager.info("k", { sharded: true }),
    () => manager.range("k", "-", "+", { sharded: true }),
    () => manager.trim("k", { maxLength: 0, sharded: true }),
  ];
  for (const call of calls) {
    const error = await assertRejects(call, RedisError);
    assertEquals([error.code, error.command], ["NOPERM", "SCAN"]);
  }
  assertEquals(await manager.length("k", { shardId: 0 }), 1);
}, { oneServer: OWN, ignore });
