// Commands that wait for a node, or that a node refuses for the time being: they go where their slot is, as soon as it is known.

import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import { type Manager, RedisError, type RedisStreamer, StreamerError } from "../../../mod.ts";
import { slotOfKey } from "../../../streamer/cluster/topology/slot.ts";
import { evenly, FakeCluster, type FakeNode, type SlotRow } from "../../support/cluster/fake_cluster.ts";
import { FakeNet } from "../../support/cluster/fake_net.ts";
import { close, follow, streamerOver } from "../../support/cluster/fake_streamer.ts";
import { test } from "../../support/runner.ts";

const TIMEOUT = 10_000;

interface World {
  readonly net: FakeNet;
  readonly cluster: FakeCluster;
  readonly nodes: readonly FakeNode[];
  readonly key: string;
  readonly streamer: RedisStreamer;
  readonly manager: Manager;
}

/** Three primaries; the fourth node is a replica of the first, which owns the key. */
async function world(): Promise<World> {
  const net = new FakeNet();
  const cluster = new FakeCluster(net, ["a:1", "b:1", "c:1", "r:1"]);
  const { nodes } = cluster;
  const [a, b, c, r] = nodes;
  const [first, ...rest] = evenly([a, b, c].map(({ name }) => name));
  cluster.rows = [[first[0], first[1], a.name, r.name], ...rest];
  const key = cluster.keyOf(a);
  const streamer = await streamerOver(net, "redis://b:1", { timeout: TIMEOUT });
  const manager = await streamer.createManager();
  const warm = follow(net, manager.length(key));
  await net.clock.pass(0);
  assertEquals(warm.value, 0);
  return { net, cluster, nodes, key, streamer, manager };
}

/** The replica takes the slots of the first node. */
function elect({ cluster, nodes: [a, , , r] }: World): void {
  cluster.rows = cluster.rows.map(([from, to, node]): SlotRow => [from, to, node === a.name ? r.name : node]);
}

test("commands that wait for a lost node go to the new owner soon after the election", async () => {
  const made = await world();
  const { net, nodes: [a, b, , r], key, manager, streamer } = made;
  a.host.die();
  const verbs = Array.from({ length: 50 }, () => follow(net, manager.length(key)));
  for (let i = 0; i < 30; i++) { // meanwhile others keep their pace
    const other = follow(net, manager.length(made.cluster.keyOf(b)));
    await net.clock.pass(100);
    assertEquals(other.after, 0);
  }
  assertEquals(verbs.filter(({ after }) => after !== undefined).length, 0);
  elect(made);
  await net.clock.pass(1_000);
  assertEquals(verbs.map(({ value }) => value), new Array(50).fill(0));
  assertEquals([a.host.count("XLEN"), r.host.count("XLEN")], [1, 50]);
  await close(net, streamer);
});

test("commands in flight on a frozen node are sent to the new owner once it counts as lost", async () => {
  const made = await world();
  const { net, nodes: [a, , , r], key, manager, streamer } = made;
  a.host.condition = "silent";
  const verb = follow(net, manager.length(key));
  await net.clock.pass(3_000);
  elect(made);
  await net.clock.pass(8_000);
  assert(verb.value === 0 || verb.error instanceof StreamerError, String(verb.error));
  const next = follow(net, manager.length(key));
  await net.clock.pass(0);
  assertEquals([next.value, r.host.count("XLEN") > 0], [0, true]);
  await close(net, streamer);
});

test("a command that was asked to go to an importing node goes back to the owner if that node is away", async () => {
  for (const condition of ["refusing", "silent"] as const) {
    const { net, nodes: [a, b], key, manager, streamer } = await world();
    let isMigrating = true;
    a.script = (words) => isMigrating && words[0] === "XLEN" ? `-ASK ${slotOfKey(key)} b:1\r\n` : undefined;
    b.host.condition = condition;
    if (condition === "refusing") b.host.cut();
    const verb = follow(net, manager.length(key));
    await net.clock.pass(2_000);
    assertEquals(verb.after, undefined);
    const asked = a.host.count("XLEN");
    assert(asked < 25, `${asked} questions`);
    isMigrating = false; // the migration was cancelled
    await net.clock.pass(condition === "silent" ? TIMEOUT : 1_500);
    if (condition === "refusing") assertEquals(verb.value, 0);
    else assert(verb.value === 0 || verb.error instanceof StreamerError);
    await close(net, streamer);
  }
});

test("a send that was asked to go to an importing node goes back to the owner if that node dies", async () => {
  const { net, nodes: [a, b], key, streamer, cluster } = await world();
  let isMigrating = true;
  a.script = (words) => isMigrating && words[0] === "XADD" ? `-ASK ${slotOfKey(key)} b:1\r\n` : undefined;
  b.host.condition = "refusing";
  b.host.cut();
  const producer = await streamer.createProducer(key, { sendTimeout: 30_000 });
  const sends = [1, 2, 3].map((i) => follow(net, producer.send(`${i}`)));
  await net.clock.pass(3_000);
  assertEquals(cluster.entries.get(key), undefined);
  isMigrating = false;
  await net.clock.pass(5_000);
  assertEquals(sends.map(({ value }) => value?.id.toString()), ["1-0", "2-0", "3-0"]);
  await close(net, streamer);
});

test("READONLY in answer to a script does not reach the caller: it waits for the new owner", async () => {
  const made = await world();
  const { net, nodes: [a, , , r], key, manager, streamer } = made;
  a.script = (words) =>
    words[0] === "EVAL" ? "-READONLY You can't write against a read only replica. script: x\r\n" : undefined;
  const verb = follow(net, manager.deleteStream(key));
  await net.clock.pass(1_000);
  assertEquals(verb.after, undefined);
  elect(made);
  await net.clock.pass(2_500);
  assertEquals([verb.value, r.host.count("EVAL")], [true, 1]);
  assert(a.host.count("EVAL") < 40, `${a.host.count("EVAL")}`);
  await close(net, streamer);
});

test("a node that stays a replica is asked at the pace of reconnecting, and the verb rejects with its answer in the end", async () => {
  const { net, nodes: [a], key, manager, streamer } = await world();
  a.script = (words) => words[0] === "EVAL" ? "-READONLY You can't write against a read only replica.\r\n" : undefined;
  const verb = follow(net, manager.deleteStream(key));
  await net.clock.pass(TIMEOUT + 100);
  assertInstanceOf(verb.error, RedisError);
  assertEquals(verb.error.code, "READONLY");
  assert(a.host.count("EVAL") < 60 && a.host.dials < 60, `${a.host.count("EVAL")} ${a.host.dials}`);
  await close(net, streamer);
});

for (
  const refusal of [
    "TRYAGAIN Multiple keys request during rehashing of slot",
    "CLUSTERDOWN The cluster is down",
    "LOADING Redis is loading the dataset in memory",
  ]
) {
  const [code] = refusal.split(" ");
  test(`${code} waits at the same node, and for its slots alone`, async () => {
    const { net, cluster, nodes: [a, b], key, manager, streamer } = await world();
    let isRefusing = true;
    a.script = (words) => isRefusing && /^X/.test(words[0]) ? `-${refusal}\r\n` : undefined;
    const producer = await streamer.createProducer(key);
    const verb = follow(net, manager.length(key));
    const sends = Array.from({ length: 20 }, (_, i) => follow(net, producer.send(`${i}`)));
    for (let i = 0; i < 30; i++) {
      const other = follow(net, manager.length(cluster.keyOf(b)));
      await net.clock.pass(100);
      assertEquals(other.after, 0);
    }
    assertEquals(verb.after, undefined);
    assertEquals(a.host.dials, 2); // no connection was given up
    isRefusing = false;
    await net.clock.pass(1_000);
    assert(typeof verb.value === "number");
    assertEquals(sends.map(({ value }) => value?.id.toString()), sends.map((_, i) => `${i + 1}-0`));
    await close(net, streamer);
  });
}

test("a slot without an owner is asked for at any node, and found once it has one", async () => {
  const { net, cluster, nodes: [a, b, c], key, manager, streamer } = await world();
  cluster.rows = cluster.rows.filter(([, , node]) => node !== a.name);
  const slots = net.hosts;
  assert(slots.size === 4);
  a.host.die();
  const verb = follow(net, manager.length(key));
  await net.clock.pass(3_000);
  assertEquals(verb.after, undefined);
  cluster.rows = evenly([b.name, c.name]);
  await net.clock.pass(3_000);
  assertEquals(verb.value, 0);
  await close(net, streamer);
});
