// Tests that the clusters of the tests are real ones, do on demand what clusters do, and leave nothing.

import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { stat } from "node:fs/promises";
import { slotOfKey } from "../../../streamer/cluster/topology/slot.ts";
import { uniqueKey } from "../keys.ts";
import { certificates } from "../network/tls.ts";
import { test } from "../runner.ts";
import { type ClusterNode, startCluster } from "./cluster.ts";
import { ask } from "./raw_client.ts";
import { canStartServers } from "./server.ts";

const ignore = !(await canStartServers());

/** The reply or the error's text. */
function replyOf(node: ClusterNode, ...words: string[]): Promise<unknown> {
  return node.command(...words).catch((error) => error.message);
}

test("a cluster of three serves each key at one node, and commands are sent to it", async () => {
  await using cluster = await startCluster();
  assertEquals(cluster.nodes.map(({ role }) => role), ["primary", "primary", "primary"]);
  assertEquals(new Set(cluster.urls).size, 3);
  assertEquals(cluster.url, cluster.urls[0]);
  const served = new Set<ClusterNode>();
  for (let i = 0; i < 20; i++) {
    const key = uniqueKey();
    const owner = await cluster.ownerOf(slotOfKey(key));
    served.add(owner);
    assertEquals(await cluster.command("XADD", key, "1-1", "msg", "m"), "1-1");
    assertEquals(await replyOf(owner, "XLEN", key), 1);
    const other = cluster.nodes.find((node) => node !== owner);
    assert(other);
    assertEquals(await replyOf(other, "XLEN", key), `MOVED ${slotOfKey(key)} ${owner.name}`);
  }
  assertEquals(served.size, 3);
  await assertRejects(() => cluster.command("EXISTS", "a", "b"), Error, "different slots");
  await assertRejects(() => cluster.command("XLEN"), Error);
}, { ignore });

test("a slot moves with its groups; while it does, the old owner answers ASK for new keys", async () => {
  await using cluster = await startCluster({ primaries: 2 });
  const tag = uniqueKey();
  const [key, fresh] = [`{${tag}}:0`, `{${tag}}:1`];
  const slot = slotOfKey(tag);
  const from = await cluster.ownerOf(slot);
  const to = cluster.nodes[from === cluster.nodes[0] ? 1 : 0];
  await from.server.commands([
    ["XGROUP", "CREATE", key, "g", "0", "MKSTREAM"],
    ["XADD", key, "1-1", "msg", "a"],
    ["XREADGROUP", "GROUP", "g", "c", "STREAMS", key, ">"],
  ]);
  await cluster.moveSlot(slot, to, {
    askWindow: async () => {
      assertEquals(await replyOf(from, "XLEN", fresh), `ASK ${slot} ${to.name}`);
      assertEquals(await replyOf(to, "XLEN", fresh), `MOVED ${slot} ${from.name}`);
      assertEquals(await cluster.command("XADD", fresh, "1-1", "msg", "b"), "1-1");
      assertEquals(await cluster.command("XADD", key, "1-2", "msg", "c"), "1-2");
    },
  });
  assertEquals(await cluster.ownerOf(slot), to);
  assertEquals(await replyOf(from, "XLEN", key), `MOVED ${slot} ${to.name}`);
  assertEquals(await replyOf(to, "XLEN", key), 2);
  assertEquals(await cluster.command("XPENDING", key, "g"), [1, "1-1", "1-1", [["c", "1"]]]);
  await cluster.untilOk();
  await cluster.moveSlot(slot, from, { askWindow: 20 });
  assertEquals(await replyOf(from, "XLEN", fresh), 1);
}, { ignore });

test("all slots of a node move, and it stays a primary", async () => {
  await using cluster = await startCluster({ primaries: 2 });
  const [from, to] = cluster.nodes;
  if (!await cluster.moveSlotsAtomically(0, 8_191, to)) {
    for (const node of [to, from]) {
      for (let slot = 0; slot < 8_192; slot += 512) {
        const list = Array.from({ length: 512 }, (_, at) => ["CLUSTER", "SETSLOT", slot + at, "NODE", to.id]);
        await node.server.commands(list);
      }
    }
  }
  await cluster.untilOk();
  assertEquals([from.role, await cluster.ownerOf(0)], ["primary", to]);
}, { ignore });

test("slots move in one step with their keys, or the servers do not know how", async () => {
  await using cluster = await startCluster({ primaries: 2 });
  const key = uniqueKey();
  const slot = slotOfKey(key);
  const from = await cluster.ownerOf(slot);
  const to = cluster.nodes[from === cluster.nodes[0] ? 1 : 0];
  await cluster.command("XADD", key, "1-1", "msg", "a");
  const { isValkey, version } = from.server;
  const [major, minor] = version.split(".").map(Number);
  const able = isValkey ? major >= 9 : major > 8 || (major === 8 && minor >= 4);
  assertEquals(await cluster.moveSlotsAtomically(slot, slot, to), able);
  assertEquals(await cluster.ownerOf(slot), able ? to : from);
  assertEquals(await cluster.command("XLEN", key), 1);
  assertEquals(await replyOf(from, "XLEN", key), able ? `MOVED ${slot} ${to.name}` : 1);
}, { ignore });

test("a replica takes over: by request without loss, and by election when its primary is killed", async () => {
  await using cluster = await startCluster({ replicas: 1, nodeTimeout: 1_000 });
  const key = uniqueKey();
  const slot = slotOfKey(key);
  const first = await cluster.ownerOf(slot);
  const [second] = await cluster.replicasOf(first);
  await cluster.command("XADD", key, "1-1", "msg", "a");
  await cluster.failOver(second);
  assertEquals([first.role, second.role, await cluster.ownerOf(slot)], ["replica", "primary", second]);
  assertEquals(await cluster.command("XLEN", key), 1);
  assertEquals(await cluster.command("XADD", key, "1-2", "msg", "b"), "1-2");
  await cluster.inStep(second);
  await cluster.kill(second);
  await assertRejects(() => second.command("PING"));
  assertEquals(await cluster.untilElected(second), first);
  assertEquals([first.role, await cluster.command("XLEN", key)], ["primary", 2]);
  await second.restart();
  await cluster.untilOk();
  assertEquals([second.role, await cluster.replicasOf(first)], ["replica", [second]]);
}, { ignore, timeout: 60_000 });

test("a node that is suspended answers when it is continued", async () => {
  await using cluster = await startCluster({ primaries: 1 });
  const [node] = cluster.nodes;
  await node.freeze();
  assertEquals([node.running, await cluster.views()], [false, []]);
  await assertRejects(() => ask(node.server.address, [["PING"]], { silence: 50 }), Error, "sent nothing for 50 ms");
  await node.continue();
  assertEquals([await node.command("PING"), (await cluster.views()).length], ["PONG", 1]);
}, { ignore });

test("nodes take a password and further arguments, each its own", async () => {
  await using cluster = await startCluster({
    replicas: 1,
    primaries: 1,
    password: "secret",
    args: (node) => ["--cluster-announce-hostname", `node-${node}.test`],
  });
  const [primary, replica] = cluster.nodes;
  assertStringIncludes(primary.url, ":secret@");
  assertEquals((await cluster.replicasOf(primary)).map(({ id }) => id), [replica.id]);
  assertStringIncludes(String(await replica.command("CLUSTER", "NODES")), ",node-0.test");
  await cluster.failOver(replica);
  assertEquals([primary.role, replica.role], ["replica", "primary"]);
}, { ignore });

test("nodes speak TLS alone, also with each other", async () => {
  const { ca, server } = await certificates();
  await using cluster = await startCluster({ primaries: 2, tls: { ca, ...server } });
  assert(cluster.urls.every((url) => url.startsWith("rediss://")));
  const key = uniqueKey();
  assertEquals(await cluster.command("XADD", key, "1-1", "msg", "a"), "1-1");
  const slot = slotOfKey(key);
  const from = await cluster.ownerOf(slot);
  const to = cluster.nodes[from === cluster.nodes[0] ? 1 : 0];
  await cluster.moveSlot(slot, to);
  assertEquals([await replyOf(from, "XLEN", key), await replyOf(to, "XLEN", key)], [`MOVED ${slot} ${to.name}`, 1]);
}, { ignore });

test("a cluster that is stopped leaves no process and no folder", async () => {
  const cluster = await startCluster({ primaries: 2 });
  const folders = await Promise.all(cluster.nodes.map((node) => node.command("CONFIG", "GET", "dir")));
  await cluster.stop();
  for (const node of cluster.nodes) await assertRejects(() => node.command("PING"));
  for (const reply of folders) {
    assert(Array.isArray(reply));
    await assertRejects(() => stat(String(reply[1])));
  }
  await cluster.stop();
}, { ignore });
