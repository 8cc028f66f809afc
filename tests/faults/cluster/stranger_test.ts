// Addresses that belong to another server by now: nothing is written there, and the cluster is found again.

import { assert, assertEquals } from "@std/assert";
import { StreamerError } from "../../../mod.ts";
import { slotOfKey } from "../../../streamer/cluster/topology/slot.ts";
import { evenly, FakeCluster } from "../../support/cluster/fake_cluster.ts";
import { FakeNet } from "../../support/cluster/fake_net.ts";
import { close, follow, streamerOver } from "../../support/cluster/fake_streamer.ts";
import { test } from "../../support/runner.ts";

const NAMES = ["a:1", "b:1", "c:1"];

/** A cluster with a producer, a pending send to the first node, and that node's address given to another cluster. */
async function world({ isFirstSeed = false } = {}) {
  const net = new FakeNet();
  const cluster = new FakeCluster(net, NAMES);
  const [a, b, c] = cluster.nodes;
  const seeds = isFirstSeed ? "redis://a:1" : ["redis://b:1", "redis://c:1"];
  const streamer = await streamerOver(net, seeds, { timeout: 5_000, cluster: true });
  const producer = await streamer.createGenericProducer({ sendTimeout: 60_000 });
  const manager = await streamer.createManager();
  const key = cluster.keyOf(a);
  const warm = [producer.sendTo(key, "first"), manager.length(key)].map((one) => follow<unknown>(net, one));
  await net.clock.pass(0);
  assertEquals(warm.map(({ error }) => error), [undefined, undefined]);
  a.host.die();
  const stranger = new FakeCluster(net, ["a:1", "x:1", "y:1"], { firstId: 70 });
  return { net, cluster, a, b, c, streamer, producer, manager, key, stranger };
}

test("a learnt address that another cluster has now gets no command, and what waits for it waits for the cluster", async () => {
  const { net, cluster, b, streamer, producer, manager, key, stranger } = await world();
  const send = follow(net, producer.sendTo(key, "second"));
  const verb = follow(net, manager.length(key));
  for (let i = 0; i < 20; i++) {
    const other = follow(net, producer.sendTo(cluster.keyOf(b), "x"));
    await net.clock.pass(100);
    assertEquals(other.after, 0);
  }
  assertEquals([send.after, verb.after], [undefined, undefined]);
  cluster.rows = evenly([b.name, cluster.nodes[2].name]); // the cluster has given it up
  await net.clock.pass(20_000);
  assert(send.value !== undefined);
  assertEquals(stranger.nodes.map(({ keyed }) => keyed), [0, 0, 0]);
  assertEquals(stranger.nodes.map(({ host }) => host.count("CLUSTER", "SLOTS")), [0, 0, 0]);
  assertEquals(net.dialled.filter((name) => name === "x:1" || name === "y:1"), []);
  assert(verb.value === 2 || (verb.error instanceof StreamerError && verb.error.code === "DISCONNECTED"));
  await close(net, streamer);
});

test("a seed that the user gave is believed, also if it is part of another cluster now, once nothing of the old one answers", async () => {
  const { net, b, c, streamer, producer, manager, key, stranger } = await world({ isFirstSeed: true });
  await net.clock.pass(2_000);
  assertEquals(stranger.nodes.map(({ keyed }) => keyed), [0, 0, 0]); // b and c still say what the cluster is
  for (const { host } of [b, c]) host.die();
  const send = follow(net, producer.sendTo(key, "second"));
  await net.clock.pass(30_000);
  assert(send.value !== undefined, String(send.error));
  const verb = follow(net, manager.length(key));
  await net.clock.pass(0);
  assertEquals(verb.value, 1);
  assertEquals(streamer.stats().nodes.map(({ name }) => name).sort(), ["a:1", "x:1", "y:1"]);
  await close(net, streamer);
});

test("a node that was replaced by a new one of the same cluster at its address is used once the cluster names it", async () => {
  const net = new FakeNet();
  const cluster = new FakeCluster(net, NAMES);
  const [a, b] = cluster.nodes;
  const streamer = await streamerOver(net, cluster.urls, { timeout: 5_000 });
  const producer = await streamer.createGenericProducer({ sendTimeout: 60_000 });
  const key = cluster.keyOf(a);
  const first = follow(net, producer.sendTo(key, "1"));
  await net.clock.pass(0);
  assert(first.value !== undefined);
  a.host.die();
  const id = "f".repeat(40);
  const replaced = new FakeCluster(net, ["a:1"], { firstId: 99 }).nodes[0];
  const send = follow(net, producer.sendTo(key, "2"));
  replaced.script = (words) => {
    if (words[1] === "MYID") return `$40\r\n${id}\r\n`;
    return words[0] === "XADD" ? cluster.serve(words) : undefined;
  };
  await net.clock.pass(5_000);
  assertEquals([replaced.keyed, send.after], [0, undefined]);
  cluster.rows = cluster.rows.map(([first, last, node]) => [first, last, node === a.name ? { ...node, id } : node]);
  await net.clock.pass(30_000);
  assertEquals([send.value?.id.toString(), replaced.keyed, b.keyed], ["2-0", 1, 0]);
  await close(net, streamer);
});

test("a node that redirects to a stranger is followed for that slot alone: the stranger's view changes nothing", async () => {
  const net = new FakeNet();
  const cluster = new FakeCluster(net, NAMES);
  const [a] = cluster.nodes;
  const [s, t] = new FakeCluster(net, ["s:1", "t:1"], { firstId: 70 }).nodes;
  const streamer = await streamerOver(net, cluster.urls, { timeout: 5_000 });
  const key = cluster.keyOf(a);
  a.script = (words) => words[0] === "XLEN" && words[1] === key ? `-MOVED ${slotOfKey(key)} s:1\r\n` : undefined;
  const manager = await streamer.createManager();
  const verb = follow(net, manager.length(key));
  await net.clock.pass(10_000);
  assertEquals([verb.after, s.keyed, s.host.count("CLUSTER", "SLOTS"), t.host.dials], [0, 1, 1, 0]);
  assertEquals(streamer.stats().nodes.map(({ name, slots }) => [name, slots]), [
    ["a:1", 5_461],
    ["b:1", 5_462],
    ["c:1", 5_461],
  ]);
  await close(net, streamer);
});
