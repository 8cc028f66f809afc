// Owns the proof of one refresh: whom it asks, in which order, and whom it believes.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { type RefreshResult, refreshTopology } from "../../../../streamer/cluster/refresh/refresh_topology.ts";
import type { MemberWorldOptions } from "../../../support/cluster/member_world.ts";
import { Topology } from "../../../../streamer/cluster/topology/topology.ts";
import { viewOf } from "../../../../streamer/cluster/topology/view.ts";
import { evenly, FakeCluster, type FakeNode, slotsReply } from "../../../support/cluster/fake_cluster.ts";
import { FakeNet } from "../../../support/cluster/fake_net.ts";
import { memberWorld } from "../../../support/cluster/member_world.ts";
import { test } from "../../../support/runner.ts";

const NAMES = ["a:1", "b:1", "c:1", "d:1", "e:1", "f:1"];

interface Asking {
  readonly hints?: readonly string[];
  readonly lost?: readonly string[];
  readonly isBrief?: boolean;
  readonly signal?: AbortSignal;
}

/** A cluster whose map is known. `refresh` begins one; the outcome is there once time has passed. */
function world(names: readonly string[] = NAMES.slice(0, 3), options: MemberWorldOptions = {}) {
  const net = new FakeNet();
  const cluster = new FakeCluster(net, names);
  const topology = new Topology();
  const rows = cluster.nodes.map(({ name }) => name);
  const first = viewOf(
    evenly(rows).map(([first, last, { host, port, id }]) => {
      return { first, last, nodes: [{ endpoint: host ?? undefined, port, id, metadata: new Map() }] };
    }),
    "seed",
  );
  assert(first !== undefined);
  topology.apply(first, 0);
  const { table, counts } = memberWorld(net, {
    seeds: ["seed:1"],
    idOf: (name) => topology.node(name)?.id,
    ...options,
  });
  const refresh = (asking: Asking = {}) => {
    const { hints = [], lost = [], isBrief = false, signal = new AbortController().signal } = asking;
    const outcome: { result?: RefreshResult; error?: unknown } = {};
    refreshTopology({
      clock: net.clock,
      timeout: 10_000,
      members: table,
      topology,
      hints: hints.map((name) => table.at(name)),
      isOpen: (name) => counts.of(name) > 0,
      isLost: (name) => lost.includes(name),
      isBrief,
      signal,
    }).then((result) => outcome.result = result, (error) => outcome.error = error);
    return outcome;
  };
  return { net, cluster, topology, table, refresh };
}

/** How often each node was asked for its view. */
function asked(nodes: readonly FakeNode[]): number[] {
  return nodes.map(({ host }) => host.count("CLUSTER", "SLOTS"));
}

test("one node is asked, and the hinted one if there is any", async () => {
  const { net, cluster, table, refresh } = world();
  const outcome = refresh({ hints: ["c:1"] });
  await net.clock.pass(0);
  assertEquals([outcome.result, asked(cluster.nodes)], [{ changed: [], isAccepted: true }, [0, 0, 1]]);
  net.clock.chance = 0;
  const next = refresh(); // the connection to c is open
  await net.clock.pass(0);
  assertEquals([next.result?.isAccepted, asked(cluster.nodes)], [true, [0, 0, 2]]);
  table.close();
});

test("moved slots are taken over, but for those of redirects that came after it was sent", async () => {
  const { net, cluster, topology, table, refresh } = world();
  const [a, b, c] = cluster.nodes;
  cluster.move(0, c);
  cluster.move(1, c);
  a.host.condition = "silent";
  const outcome = refresh({ hints: ["a:1"] });
  await net.clock.pass(100);
  topology.patch(1, { host: "b", port: 1 });
  a.host.condition = "serving";
  await net.clock.pass(0);
  assertEquals([outcome.result?.changed, topology.ownerOf(0), topology.ownerOf(1)], [[0], c.address, b.address]);
  table.close();
});

test("a frozen node holds up nothing, dead ones hold up half a second each, and the questions end with it", async () => {
  const { net, cluster, table, refresh } = world();
  const [a, b, c] = cluster.nodes;
  a.host.condition = "silent";
  b.host.condition = "refusing";
  const outcome = refresh({ hints: ["a:1", "b:1"] });
  await net.clock.pass(999);
  assertEquals([outcome.result, c.host.dials], [undefined, 0]);
  await net.clock.pass(1);
  assertEquals(outcome.result?.isAccepted, true);
  table.tidy(() => false, () => false);
  await net.clock.settle();
  assertEquals([net.open, net.clock.running], [0, 0]);
});

test("seeds are asked soon, also if the whole cluster has other addresses by now", async () => {
  const { net, cluster, table, refresh, topology } = world(NAMES);
  for (const { host } of cluster.nodes) host.condition = "silent";
  const moved = new FakeCluster(net, ["seed:1", "x:1", "y:1"], { firstId: 100 });
  const outcome = refresh();
  await net.clock.pass(2_000); // four nodes were silent
  assert(moved.nodes[0].host.dials === 1);
  assertEquals(outcome.result, undefined); // the owners of now may answer yet
  await net.clock.pass(10_500);
  assertEquals(outcome.result?.isAccepted, true); // they did not
  assertEquals([...topology.owners.keys()], ["seed:1", "x:1", "y:1"]);
  table.close();
});

test("nodes that cannot be reached are asked last", async () => {
  const { net, cluster, table, refresh } = world(NAMES);
  const lost = NAMES.slice(0, 5);
  for (const { host } of cluster.nodes.slice(0, 5)) host.condition = "silent";
  const outcome = refresh({ lost });
  await net.clock.pass(0);
  assertEquals([outcome.result?.isAccepted, asked(cluster.nodes)], [true, [0, 0, 0, 0, 0, 1]]);
  table.close();
});

test("views that cover less, or in which owners have no slots, are put aside, and another node is asked at once", async () => {
  const { net, cluster, topology, table, refresh } = world(NAMES.slice(0, 4));
  const [a, b, c, d] = cluster.nodes;
  a.view = () => slotsReply([[0, 100, a.name]]);
  b.view = () => slotsReply(evenly([b.name, c.name]));
  c.view = () => slotsReply([]);
  const outcome = refresh({ hints: ["a:1", "b:1", "c:1", "d:1"] });
  await net.clock.pass(0); // no time passes
  assertEquals([outcome.result, asked(cluster.nodes)], [{ changed: [], isAccepted: true }, [1, 1, 1, 1]]);
  assertEquals([topology.owners.size, topology.ownerOf(0), d.host.dials], [4, "a:1", 1]);
  table.close();
});

test("a node that owns no slots any more is believed to when two say so", async () => {
  const { net, cluster, topology, table, refresh } = world();
  const [, b, c] = cluster.nodes;
  cluster.rows = evenly([b.name, c.name]);
  const outcome = refresh({ hints: ["b:1", "c:1"] });
  await net.clock.pass(0);
  assertEquals([outcome.result?.isAccepted, [...topology.owners.keys()]], [true, ["b:1", "c:1"]]);
  table.close();
});

test("a node that owns no slots and cannot be reached is given up at the first word", async () => {
  const { net, cluster, topology, table, refresh } = world();
  const [a, b, c] = cluster.nodes;
  a.host.condition = "refusing";
  cluster.rows = evenly([b.name, c.name]);
  const outcome = refresh({ hints: ["b:1"], lost: ["a:1"] });
  await net.clock.pass(0);
  assertEquals([outcome.result?.isAccepted, asked([b, c])], [true, [1, 0]]);
  assertEquals([...topology.owners.keys()], ["b:1", "c:1"]);
  table.close();
});

test("when all have answered, and none better than what is known, the map stays as it is", async () => {
  const { net, cluster, topology, table, refresh } = world();
  for (const node of cluster.nodes) node.view = () => slotsReply([]);
  const outcome = refresh();
  await net.clock.pass(60_000);
  assertEquals([outcome.result, topology.owners.size], [{ changed: [], isAccepted: false }, 3]);
  table.close();
});

test("a brief refresh is over after two answers", async () => {
  const { net, cluster, table, refresh } = world(NAMES);
  cluster.nodes.forEach((node, i) => node.view = () => slotsReply([[0, 100 + i, node.name]]));
  const outcome = refresh({ isBrief: true });
  await net.clock.pass(0);
  assertEquals(outcome.result, { changed: [], isAccepted: false });
  assertEquals(asked(cluster.nodes).reduce((sum, count) => sum + count, 0), 2);
  table.close();
});

/** Answers that no cluster gives. */
const NONSENSE: Readonly<Record<string, (a: FakeNode, b: FakeNode) => string>> = {
  "slots up to 2^31": (a) => slotsReply([[0, 2 ** 31, a.name]]),
  "a slot below 0": (a) => slotsReply([[-1, 16_383, a.name]]),
  "a range that ends before it begins": (a) => slotsReply([[16_383, 0, a.name]]),
  "two owners of a slot": (a, b) => slotsReply([[0, 9_000, a.name], [9_000, 16_383, b.name]]),
  "fewer than four, and text in place of numbers": () => "*1\r\n*2\r\n$1\r\n0\r\n$1\r\n1\r\n",
  "no list": () => "+OK\r\n",
  "numbers beyond all bounds": () => "*1\r\n*3\r\n:0\r\n:9223372036854775807\r\n*2\r\n$1\r\na\r\n:1\r\n",
  "100,000 nodes": (a) => {
    const nodes = Array.from({ length: 100_000 }, (_, i) => ({ ...a.name, host: `n${i}`, id: `${i}` }));
    return slotsReply([[0, 16_383, a.name, ...nodes]]);
  },
  "16,384 nodes with a slot each": (a) =>
    slotsReply(
      evenly(Array.from({ length: 16_384 }, () => a.name)).map(
        ([slot], i) => [slot, slot, { ...a.name, host: `n${i}`, id: `${i}` }] as const,
      ),
    ),
  "an error": () => "-ERR no\r\n",
};

for (const [what, view] of Object.entries(NONSENSE)) {
  test(`a node that answers CLUSTER SLOTS with ${what} is not believed, and another one is asked`, async () => {
    const { net, cluster, topology, table, refresh } = world();
    const [a, b] = cluster.nodes;
    a.view = () => view(a, b);
    const outcome = refresh({ hints: ["a:1", "b:1"] });
    await net.clock.pass(500);
    assertEquals([outcome.result?.isAccepted, topology.owners.size, asked([b])], [true, 3, [1]]);
    assertEquals(net.dialled.filter((name) => !NAMES.includes(name)), []);
    table.close();
  });
}

test("nodes with port 0, port 65,536 or without a usable host own nothing, and are never dialled", async () => {
  const { net, cluster, topology, table, refresh } = world();
  const [a, b, c] = cluster.nodes;
  const broken = [["a", 0], ["a", 65_536], ["a", -1], ["a b", 1], ["\r\nPING", 1], ["", 0], [
    "x".repeat(256),
    1,
  ]] as const;
  a.view = () =>
    slotsReply([
      ...broken.map(([host, port], i) => [i, i, { host, port, id: `z${i}` }] as const),
      [10, 16_383, a.name],
    ]);
  for (const node of [b, c]) node.view = a.view;
  refresh({ hints: ["a:1", "b:1", "c:1"] });
  await net.clock.pass(30_000);
  assertEquals([topology.ownerOf(0), topology.ownerOf(10)], [undefined, "a:1"]); // two nodes said so
  assertEquals(net.dialled.filter((name) => !NAMES.includes(name) && name !== "seed:1"), []);
  table.close();
});

test("a learnt address that is now a node of another cluster is asked nothing", async () => {
  const { net, cluster, topology, table, refresh } = world();
  const [a, b, c] = cluster.nodes;
  const strange = new FakeCluster(net, ["a:1", "s:1"], { firstId: 50 }); // takes the address of `a`
  const outcome = refresh({ hints: ["a:1", "b:1"] });
  await net.clock.pass(1_000);
  assertEquals(outcome.result?.isAccepted, true);
  assertEquals([asked(strange.nodes), topology.ownerOf(0), topology.owners.size], [[0, 0], "a:1", 3]);
  const words = new Set(strange.nodes[0].host.commands.map(([name, sub]) => `${name} ${sub}`));
  assertEquals([...words], ["HELLO 3", "CLUSTER MYID"]);
  assertEquals([a.host.dials, b.host.dials, c.host.dials > 1], [0, 1, false]);
  table.close();
});

test("an address that only a redirect has named is believed if it shares a node with what is known, or a seed says the same", async () => {
  const strangers = ["s:1", "t:1"];
  for (const vouched of [false, true]) {
    const { net, topology, table, refresh, cluster } = world(NAMES.slice(0, 3), { seeds: [vouched ? "t:1" : "b:1"] });
    new FakeCluster(net, strangers, { firstId: 50 });
    for (const { host } of cluster.nodes) host.condition = vouched ? "refusing" : "serving";
    topology.patch(5, { host: "s", port: 1 });
    const outcome = refresh({ hints: ["s:1"], lost: vouched ? NAMES.slice(0, 3) : [] });
    await net.clock.pass(30_000);
    assertEquals(outcome.result?.isAccepted, true);
    assertEquals([...topology.owners.keys()], vouched ? strangers : NAMES.slice(0, 3));
    table.close();
  }
});

test("the signal ends it, and its questions", async () => {
  const { net, cluster, table, refresh } = world();
  for (const { host } of cluster.nodes) host.condition = "silent";
  const aborting = new AbortController();
  const outcome = refresh({ signal: aborting.signal });
  await net.clock.pass(700);
  const reason = new Error("aborted");
  aborting.abort(reason);
  await net.clock.settle();
  assertEquals([outcome.error, outcome.result], [reason, undefined]);
  table.close();
  await net.clock.settle();
  assertEquals(net.open, 0);
  await assertRejects(() => table.at("a:1").lanes.run({ args: ["PING"], repeatable: true, limits: {}, read() {} }));
});
