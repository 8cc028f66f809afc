// Real clusters whose nodes freeze, restart, are replaced and leave: the others keep their pace, and everything settles.

import { assert, assertEquals } from "@std/assert";
import { connect, type GenericProducer, type RedisStreamer } from "../../../mod.ts";
import { slotOfKey } from "../../../streamer/cluster/topology/slot.ts";
import { delay } from "../../support/async.ts";
import { exchange, keyInPart } from "../../support/cluster/traffic.ts";
import { until } from "../../support/events.ts";
import { test } from "../../support/runner.ts";
import { type Cluster, type ClusterNode, startCluster } from "../../support/servers/cluster.ts";
import { canStartServers, sharedServer } from "../../support/servers/server.ts";
import { moveSlot } from "../../support/servers/slot_moves.ts";

const single = await sharedServer();
const options = { ignore: !await canStartServers() || !single.atLeast("7.0"), timeout: 180_000 };

/** Sends to one stream all the time, and notes the longest time without a receipt. */
class Flow {
  readonly key: string;
  sent = 0;
  acked = 0;
  failed = 0;
  longest = 0;
  #last = performance.now();
  #isOn = true;
  readonly #done: Promise<unknown>;

  constructor(producer: GenericProducer, key: string) {
    this.key = key;
    this.#done = this.#run(producer);
  }

  /** Forgets the longest gap so far. */
  reset(): void {
    this.longest = 0;
    this.#last = performance.now();
  }

  /** Stops sending. */
  stop(): void {
    this.#isOn = false;
  }

  /** Stops sending, and waits for all receipts. */
  async end(): Promise<void> {
    this.stop();
    await this.#done;
  }

  async #run(producer: GenericProducer): Promise<void> {
    const receipts: Promise<void>[] = [];
    while (this.#isOn) {
      const receipt = producer.sendTo(this.key, `${this.sent++}`);
      receipts.push((async () => {
        try {
          await receipt;
          this.acked++;
        } catch {
          this.failed++;
        }
        const now = performance.now();
        this.longest = Math.max(this.longest, now - this.#last);
        this.#last = now;
      })());
      await delay(5);
    }
    await Promise.all(receipts);
  }
}

/** One for each node. They end with the test, however it ends. */
async function flowsOver(streamer: RedisStreamer): Promise<Flow[] & AsyncDisposable> {
  const producer = await streamer.createGenericProducer();
  const flows = [0, 1, 2].map((part) => new Flow(producer, keyInPart(part)));
  const end = async () => {
    for (const flow of flows) flow.stop();
    await producer.end().catch(() => {});
    await Promise.all(flows.map((flow) => flow.end()));
  };
  return Object.assign(flows, { [Symbol.asyncDispose]: end });
}

/** The entries of a stream. */
async function entries(cluster: Cluster, key: string): Promise<string[]> {
  const list = await cluster.command("XRANGE", key, "-", "+");
  return Array.isArray(list)
    ? list.map((entry) => Array.isArray(entry) && Array.isArray(entry[1]) ? String(entry[1][1]) : "")
    : [];
}

const numbers = (count: number) => Array.from({ length: count }, (_, i) => `${i}`);

test("a frozen node holds up its own slots only, and after it goes on everything settles", async () => {
  await using cluster = await startCluster({ nodeTimeout: 30_000 });
  await using streamer = await connect(cluster.url, { timeout: 2_000 });
  await using flows = await flowsOver(streamer);
  await delay(500);
  for (const flow of flows) flow.reset();
  const [, frozen] = cluster.nodes;
  await frozen.freeze();
  await delay(5_000); // longer than the library waits for a reply
  const [a, b, c] = flows;
  assert(a.longest < 500 && c.longest < 500, `${a.longest} ${c.longest}`);
  const behind = b.sent - b.acked;
  assert(behind > 200, `${behind}`);
  await frozen.continue();
  await until(() => b.sent - b.acked < 50, { timeout: 20_000 });
  for (const flow of flows) await flow.end();
  for (const { key, sent, failed } of flows) {
    assertEquals(failed, 0);
    const stored = await entries(cluster, key);
    assertEquals([...new Set(stored)], numbers(sent)); // none is missing, the first ones in order
    assert(stored.length - sent <= behind + 50, `${stored.length - sent} twice`);
    if (key !== b.key) assertEquals(stored.length, sent);
  }
}, options);

test("verbs and consumers of other nodes keep their pace while one is frozen", async () => {
  await using cluster = await startCluster({ nodeTimeout: 30_000 });
  await using streamer = await connect(cluster.url, { timeout: 2_000 });
  const [frozenKey, otherKey] = [keyInPart(0), keyInPart(1)];
  const manager = await streamer.createManager();
  const consumer = await streamer.createConsumer([frozenKey, otherKey], { mode: "real-time" });
  await Promise.all([manager.length(frozenKey), manager.length(otherKey)]);
  await cluster.nodes[0].freeze();
  const stuck = manager.length(frozenKey).then(() => "answered", () => "rejected");
  let longest = 0;
  for (let i = 0; i < 40; i++) {
    const start = performance.now();
    await cluster.nodes[1].command("XADD", otherKey, "*", "msg", `${i}`);
    assertEquals((await consumer.next()).text(), `${i}`);
    await manager.length(otherKey);
    longest = Math.max(longest, performance.now() - start);
    await delay(100);
  }
  assert(longest < 500, `${longest} ms`);
  assertEquals(await stuck, "rejected");
  await cluster.nodes[0].continue();
  await until(() => manager.length(frozenKey).then((length) => length === 0, () => false));
  await cluster.command("XADD", frozenKey, "*", "msg", "last");
  assertEquals((await consumer.next()).text(), "last");
}, options);

test("a node that is killed and started again on its port goes on, with its slots", async () => {
  await using cluster = await startCluster({ args: ["--cluster-require-full-coverage", "no"] });
  await using streamer = await connect(cluster.url);
  await using flows = await flowsOver(streamer);
  await delay(300);
  const [a, b, c] = flows;
  for (let round = 0; round < 2; round++) {
    for (const flow of flows) flow.reset();
    await cluster.kill(cluster.nodes[1]);
    await delay(1_500);
    assert(a.longest < 500 && c.longest < 500, `${a.longest} ${c.longest}`);
    await cluster.nodes[1].restart();
    await until(() => b.sent - b.acked < 50, { timeout: 20_000 });
  }
  for (const flow of flows) await flow.end();
  assertEquals(flows.map(({ failed }) => failed), [0, 0, 0]);
  assertEquals(await entries(cluster, a.key), numbers(a.sent));
  const stored = await entries(cluster, b.key); // what was stored before the last kill is lost with the server
  assertEquals(stored.slice(-100), numbers(b.sent).slice(-100));
}, options);

test("a node that is replaced by a new one at its address, with a new id, is used once it has the slots", async () => {
  await using cluster = await startCluster({ args: ["--cluster-require-full-coverage", "no"] });
  await using streamer = await connect(cluster.urls[1]);
  await using flows = await flowsOver(streamer);
  await delay(300);
  const [node, ...others] = cluster.nodes;
  await cluster.kill(node);
  await node.restart();
  await node.command("FLUSHALL");
  await node.command("CLUSTER", "RESET", "HARD");
  const id = String(await node.command("CLUSTER", "MYID"));
  assert(id !== node.id);
  await Promise.all(others.map((other) => other.command("CLUSTER", "FORGET", node.id)));
  await delay(1_000); // an empty cluster of one node has the address now
  await node.command("CLUSTER", "ADDSLOTSRANGE", 0, 5_460);
  await node.command("CLUSTER", "MEET", "127.0.0.1", others[0].port);
  for (const flow of flows) flow.reset();
  const [a, b, c] = flows;
  await until(() => a.sent - a.acked < 50, { timeout: 30_000 });
  assert(b.longest < 500 && c.longest < 500, `${b.longest} ${c.longest}`);
  for (const flow of flows) await flow.end();
  assertEquals(flows.map(({ failed }) => failed), [0, 0, 0]);
  await until(async () => JSON.stringify(await others[0].command("CLUSTER", "SLOTS")).includes(id), {
    what: "the others know the slots of the new node",
  });
}, options);

test("a node that has given all its slots away and left is connected to no more, once it is idle", async () => {
  await using cluster = await startCluster();
  await using streamer = await connect(cluster.url);
  await using flows = await flowsOver(streamer);
  const [leaving, ...others] = cluster.nodes;
  const manager = await streamer.createManager();
  await manager.length(flows[0].key);
  await until(() => flows.every(({ acked }) => acked > 20));
  assert(await clientsOf(leaving) >= 2);
  await drain(cluster, leaving, flows[0].key);
  await manager.length(flows[0].key);
  // Without a redirect, the regular refresh notices it.
  await until(async () => await clientsOf(leaving) === 0, { timeout: 90_000, what: "no connection is left" });
  assertEquals(streamer.stats().nodes.map(({ name }) => name).sort(), others.map(({ name }) => name).sort());
  for (const other of others) await other.command("CLUSTER", "FORGET", leaving.id);
  await leaving.command("CLUSTER", "RESET");
  await delay(1_000);
  assertEquals(await clientsOf(leaving), 0);
  for (const flow of flows) await flow.end();
  for (const { key, sent, failed } of flows) {
    assertEquals(failed, 0);
    assertEquals(await entries(cluster, key), numbers(sent));
  }
}, options);

test("connections go to what is needed, and no further", async () => {
  await using cluster = await startCluster({ replicas: 1 });
  await using streamer = await connect(cluster.urls);
  const connections = () => streamer.stats().nodes.reduce((sum, node) => sum + node.connections, 0);
  assert(connections() <= 1, `${connections()}`);
  await exchange(streamer, cluster);
  await until(() => connections() <= 3, { what: "one for commands of each node" });
  assertEquals(streamer.stats().nodes.length, 3);
  let counts: number[] = [];
  await until(async () => {
    counts = await Promise.all(cluster.nodes.map(clientsOf)); // a server lists what was closed a moment ago
    return counts.slice(3).every((count) => count === 0);
  }, { what: "none to replicas" });
  assertEquals(counts.reduce((sum, count) => sum + count, 0), connections());
}, options);

/** Connections of the library to a node: nobody else speaks RESP3. */
async function clientsOf(node: ClusterNode): Promise<number> {
  const list = String(await node.command("CLIENT", "LIST", "TYPE", "normal"));
  return list.split("\n").filter((line) => / resp=3/.test(line)).length;
}

/** Gives all slots of a node to the others. Only the slot of this key has any. */
async function drain(cluster: Cluster, node: ClusterNode, key: string): Promise<void> {
  const [to, ...others] = cluster.nodes.filter((other) => other !== node);
  await moveSlot(slotOfKey(key), { from: node, to, others }, {});
  const slots = Array.from({ length: 5_461 }, (_, slot) => slot).filter((slot) => slot !== slotOfKey(key));
  const commands = slots.map((slot) => ["CLUSTER", "SETSLOT", slot, "NODE", to.id]);
  for (const one of [to, node, ...others]) {
    for (const reply of await one.server.commands(commands)) if (reply instanceof Error) throw reply;
  }
}
