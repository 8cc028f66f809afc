// Runs each feature as the user whose rights docs/connection.md lists, and without the rights that the page calls optional.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { readFile } from "node:fs/promises";
import { connect, keyHashSharder, process, RedisError, type RedisStreamer } from "../../../mod.ts";
import { until } from "../../support/events.ts";
import { test } from "../../support/runner.ts";
import { canStartServers, type OwnServer, startServer } from "../../support/servers/server.ts";

const ignore = !(await canStartServers());
const page = await readFile(new URL("../../../docs/connection.md", import.meta.url), "utf8");

/** The rules of each user on the page. */
const rulesOf = new Map(
  [...page.matchAll(/^redis-cli ACL SETUSER (\w+) (.+)$/gm)].map(([, user, rules]) => [
    user,
    rules.split(" ").map((rule) => rule.replace(/^'(.*)'$/, "$1")),
  ]),
);

interface Stage {
  readonly server: OwnServer;
  readonly streamer: RedisStreamer;
  /** Kills all connections of the user. */
  readonly cut: () => Promise<void>;
  /** Whether all rights of the page are granted. */
  readonly whole: boolean;
}

const add = (server: OwnServer, key: string, ...texts: string[]) =>
  server.commands(texts.map((text) => ["XADD", key, "*", "msg", text]));

const features: Readonly<Record<string, (stage: Stage) => Promise<void>>> = {
  async producer({ server, streamer, cut, whole }) {
    const producer = await streamer.createProducer("orders");
    await producer.send("a", { headers: { trace: "7f3a" } });
    await server.command("CLIENT", "PAUSE", 30_000, "WRITE"); // so that messages are in flight when the connection is lost
    for (let i = 0; i < 1_000; i++) producer.send(`${i}`);
    await until(() => producer.stats().inFlight > 0);
    await cut();
    await server.command("CLIENT", "UNPAUSE");
    await producer.flush();
    const sharded = await streamer.createProducer("orders", { sharder: keyHashSharder(3), maxLength: 1_000 });
    for (const key of ["a", "b", "c", "d"]) await sharded.send("a", { key });
    assert(await producer.trim({ maxLength: 10, exact: true }) >= 991);
    const trimming = sharded.trim({ minTimestamp: new Date(Date.now() + 1_000) });
    if (whole) assertEquals(await trimming, 4);
    else await trimming.catch(({ code }) => assertEquals(code, "NOPERM"));
    assertEquals(await server.command("XLEN", "orders"), 10);
  },
  async reader({ server, streamer, cut, whole }) {
    await add(server, "orders", "a", "b");
    const options = { mode: "real-time", autoStreamReset: "earliest", shardDiscoveryInterval: 50 } as const;
    const consumer = await streamer.createConsumer("orders", options);
    assertEquals([(await consumer.next()).text(), (await consumer.next()).text()], ["a", "b"]);
    await consumer.rewind("beginning");
    assertEquals((await consumer.next()).text(), "a");
    await consumer.rewind("end");
    await cut();
    await add(server, "orders", "c");
    assertEquals((await consumer.next()).text(), "c");
    if (whole) {
      await add(server, "orders:0", "d");
      assertEquals((await consumer.next()).text(), "d");
    }
    const fixed = await streamer.createConsumer("orders", { mode: "real-time", shards: [0, 1] });
    await fixed.unassign("orders", 1);
    await fixed.assign("orders", 2);
    await add(server, "orders:2", "e");
    assertEquals((await fixed.next()).text(), "e");
    await Promise.all([consumer.end(), fixed.end()]);
  },
  async worker({ server, streamer, cut, whole }) {
    const shared = { group: "g", autoStreamReset: "earliest", maxDeliveries: 2, deadLetter: "orders-failed" } as const;
    const claims = {
      autoClaimInterval: 50,
      autoClaimIdle: 200,
      consumerExpiry: 100,
      shardDiscoveryInterval: 50,
    } as const;
    await server.command("XGROUP", "CREATE", "orders", "g", "0", "MKSTREAM");
    await server.command("XGROUP", "CREATECONSUMER", "orders", "g", "gone");
    await add(server, "orders", "claimed", "a", "b", "c");
    await server.command("XREADGROUP", "GROUP", "g", "lost", "COUNT", 1, "STREAMS", "orders", ">");
    const consumer = await streamer.createConsumer("orders", {
      mode: "load-balanced",
      ...shared,
      ...claims,
      autoCommit: "rolling",
      autoCommitInterval: 20,
    });
    const stop = new AbortController();
    const handled = new Set<string>();
    const running = process(consumer, (message) => {
      const text = message.text();
      handled.add(text);
      if (text === "b" || (text === "c" && message.deliveries === 1)) throw new Error(text);
    }, { retryDelay: 10, signal: stop.signal });
    const failed = async () => await server.command("XLEN", "orders-failed") === 1;
    await until(async () => handled.size === 4 && await failed());
    await cut();
    await add(server, "orders", "d");
    await until(() => handled.has("d"));
    stop.abort();
    await running;
    if (whole) {
      const members = await server.command("XINFO", "CONSUMERS", "orders", "g");
      await until(async () =>
        !JSON.stringify(await server.command("XINFO", "CONSUMERS", "orders", "g")).includes("gone")
      );
      assert(members !== null);
    }
    await consumer.rewind("beginning", { group: true });
    assertEquals((await consumer.next()).text(), "claimed");
    await consumer.seek(new Date(), { group: true });
    await consumer.end();
    const resumable = await streamer.createConsumer("orders", { mode: "resumable", ...shared, autoCommit: "disabled" });
    await add(server, "orders", "e");
    const message = await resumable.next();
    resumable.ack(message);
    await resumable.commit();
    await resumable.rewind("end");
    await resumable.end();
  },
  async viewer({ server, streamer, whole }) {
    await add(server, "orders", "a", "b");
    await server.command("XGROUP", "CREATE", "orders", "g", "0");
    const manager = await streamer.createManager();
    assertEquals((await manager.info("orders")).groups[0].lag, 2);
    assertEquals(await manager.length("orders"), 2);
    assertEquals((await manager.range("orders", "-", "+", { reverse: true })).length, 2);
    if (!whole) return void await assertRejects(() => manager.scan(), RedisError, "no permissions");
    for await (const name of manager.streams()) assertEquals(name, "orders");
    assertEquals((await manager.scan()).streams, ["orders"]);
    for await (const message of manager.rangeAll("orders", "-", "+", { sharded: true })) assert(message.id);
  },
  async admin({ server, streamer, whole }) {
    await add(server, "orders", "a", "b", "c", "d");
    const manager = await streamer.createManager();
    await manager.createGroup("orders", "g", "beginning");
    await server.command("XREADGROUP", "GROUP", "g", "c", "COUNT", 1, "STREAMS", "orders", ">");
    await manager.setGroupPosition("orders", "g", "end");
    assertEquals(await manager.trim("orders", { acknowledged: true, exact: true }), 0);
    assertEquals(await manager.trim("orders", { maxLength: 3, exact: true }), 1);
    assertEquals(await manager.delete("orders", ["0-1"]), 0);
    assertEquals(await manager.deleteConsumer("orders", "g", "c", { force: true }), 1);
    if (whole) {
      assertEquals(await manager.deleteConsumer("orders", "g", "c\\x00"), 0);
      assertEquals(await manager.trim("orders", { acknowledged: true, exact: true, sharded: true }), 3);
    }
    assertEquals(await manager.deleteGroup("orders", "g"), true);
    assertEquals(await manager.deleteStream("orders"), true);
  },
};

/** Runs a feature as its user; returns the commands that were refused, and the events. */
async function run(user: string, taken: readonly string[] = []): Promise<{ refused: string[]; events: string[] }> {
  await using server = await startServer();
  const rules = rulesOf.get(user)?.filter((rule) => !taken.includes(rule));
  assert(rules !== undefined, `docs/connection.md lists no user ${user}`);
  const named = server.atLeast("7.2.0") ? ["+client|setinfo"] : [];
  await server.command("ACL", "SETUSER", user, ...rules, ...named);
  const events: string[] = [];
  {
    const url = server.url.replace("redis://", `redis://${user}:secret@`);
    await using streamer = await connect(url, { reconnect: { initialDelay: 10 }, timeout: 5_000 });
    for (const name of ["fence-unavailable", "waiting"] as const) {
      streamer.addEventListener(name, () => events.push(name));
    }
    streamer.addEventListener("shards", ({ detail }) => detail.cause !== undefined && events.push("shards"));
    const cut = async () => void await server.command("CLIENT", "KILL", "USER", user);
    await features[user]({ server, streamer, cut, whole: taken.length === 0 });
  }
  const log = await server.command("ACL", "LOG", 1_000);
  const refused = (Array.isArray(log) ? log : []).map((entry) => {
    const fields = Array.isArray(entry) ? entry.map(String) : [];
    return fields[fields.indexOf("object") + 1];
  });
  return { refused, events };
}

test("the page lists a user for each feature", () => {
  assertEquals([...rulesOf.keys()].sort(), Object.keys(features).sort());
});

for (const user of Object.keys(features)) {
  test(`the user ${user} of the page may do all that its feature needs`, async () => {
    assertEquals(await run(user), { refused: [], events: [] });
  }, { ignore, timeout: 60_000 });
}

const CLIENT = ["+client|info", "+client|kill", "+client|list", "+client|unblock"];
const DISCOVERY = ["+scan", "+type", "+exists"];

const optional: Readonly<
  Record<string, readonly (readonly [what: string, rights: readonly string[], event?: string])[]>
> = {
  producer: [["CLIENT", CLIENT, "fence-unavailable"], ["discovery", DISCOVERY]],
  reader: [["CLIENT", CLIENT], ["XINFO STREAM", ["+xinfo|stream"]], ["discovery", DISCOVERY, "shards"]],
  worker: [
    ["XINFO STREAM", ["+xinfo|stream"]],
    ["CLIENT", CLIENT, "fence-unavailable"],
    ["discovery", DISCOVERY, "shards"],
    ["scripts", ["+eval"]],
  ],
  viewer: [["discovery", DISCOVERY]],
};

for (const [user, cases] of Object.entries(optional)) {
  for (const [what, rights, event] of cases) {
    test(`the feature of ${user} works without the optional rights of ${what}`, async () => {
      const { refused, events } = await run(user, rights);
      if (event === undefined) assertEquals(events, []);
      else assert(events.includes(event), `${events}`);
      assert(refused.length > 0, "the right was used");
    }, { ignore, timeout: 60_000 });
  }
}

test("the feature of admin works with transactions in place of scripts", async () => {
  rulesOf.set("transactions", [...rulesOf.get("admin") ?? [], "+watch", "+multi", "+exec"]);
  const { admin } = features;
  Object.assign(features, { transactions: admin });
  const { refused, events } = await run("transactions", ["+eval"]);
  assertEquals([events, new Set(refused)], [[], new Set(["eval"])]);
}, { ignore });
