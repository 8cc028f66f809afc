// Owns the proof of how the map of a cluster changes: by redirects, by views, and by both at the same time.

import { assertEquals } from "@std/assert";
import { MoveReport } from "../../../streamer/cluster/topology/moves.ts";
import { Topology } from "../../../streamer/cluster/topology/topology.ts";
import { viewOf } from "../../../streamer/cluster/topology/view.ts";
import { announced, view } from "../../support/routing/views.ts";
import { test } from "../../support/runner.ts";

const first = view(["a", 0, 8_000], ["b", 8_001, 16_383]);

function topology(): Topology {
  const made = new Topology();
  made.apply(first, made.serial);
  return made;
}

test("at first nobody owns a slot, and the first view moves none", () => {
  const made = new Topology();
  const report = new MoveReport();
  assertEquals([made.ownerOf(0), made.owners.size, made.view], [undefined, 0, undefined]);
  assertEquals(made.apply(first, made.serial).length, 16_384);
  assertEquals(report.take(made), []);
  assertEquals([made.ownerOf(8_000), made.ownerOf(8_001)], ["a:7000", "b:7000"]);
  assertEquals([...made.owners], [["a:7000", 8_001], ["b:7000", 8_383]]);
});

test("a redirect moves one slot, and says so once", () => {
  const made = topology();
  const report = new MoveReport();
  report.take(made);
  assertEquals(made.patch(5, { host: "b", port: 7000 }), [5]);
  assertEquals(made.patch(5, { host: "b", port: 7000 }), []);
  assertEquals([4, 5, 6].map((slot) => made.ownerOf(slot)), ["a:7000", "b:7000", "a:7000"]);
  assertEquals([...made.owners], [["a:7000", 8_000], ["b:7000", 8_384]]);
  assertEquals(report.take(made), [{ slots: [[5, 5]], from: "a:7000", to: "b:7000" }]);
  assertEquals(report.take(made), []);
});

test("a view is one move for each pair of nodes, with ranges, also after redirects of some of its slots", () => {
  const made = topology();
  const report = new MoveReport();
  report.take(made);
  for (const slot of [3, 20]) made.patch(slot, { host: "b", port: 7000 });
  const later = view(["b", 0, 9], ["a", 10, 19], ["b", 20, 20], ["a", 21, 8_000], ["c", 8_001, 16_383]);
  assertEquals(made.apply(later, made.serial).length, 9 + 8_383);
  assertEquals(report.take(made), [
    { slots: [[0, 9], [20, 20]], from: "a:7000", to: "b:7000" },
    { slots: [[8_001, 16_383]], from: "b:7000", to: "c:7000" },
  ]);
});

test("slots that lose their owner are changes, and moves once they have another one", () => {
  const made = topology();
  const report = new MoveReport();
  report.take(made);
  const slots = made.apply(view(["a", 0, 8_000], ["b", 8_001, 16_000]), made.serial);
  assertEquals([slots.length, slots[0], slots.at(-1)], [383, 16_001, 16_383]);
  assertEquals([made.ownerOf(16_383), report.take(made)], [undefined, []]);
  made.apply(first, made.serial);
  assertEquals(report.take(made), []);
  made.apply(view(["a", 0, 8_000], ["b", 8_001, 16_000]), made.serial);
  made.apply(view(["a", 0, 8_000], ["b", 8_001, 16_000], ["a", 16_001, 16_383]), made.serial);
  assertEquals(report.take(made), [{ slots: [[16_001, 16_383]], from: "b:7000", to: "a:7000" }]);
});

test("the replicas of an owner are known, and none of a node that owns nothing", () => {
  const made = new Topology();
  made.apply(view(["a x y", 0, 99], ["b", 100, 199], ["a x y", 200, 299]), 0);
  assertEquals(["a:7000", "b:7000", "x:7000"].map((name) => made.replicasOf(name)), [["x:7000", "y:7000"], [], []]);
});

test("a redirect that came after a view was asked for wins over it, and an earlier one does not", () => {
  const made = topology();
  made.patch(1, { host: "b", port: 7000 });
  const since = made.serial;
  made.patch(2, { host: "b", port: 7000 });
  made.apply(first, since);
  assertEquals([made.ownerOf(1), made.ownerOf(2)], ["a:7000", "b:7000"]);
  made.apply(first, made.serial); // asked for after both
  assertEquals(made.ownerOf(2), "a:7000");
});

test("a redirect to a node that no view has named makes it known until a view that was asked for later", () => {
  const made = topology();
  const since = made.serial;
  made.patch(7, { host: "new", port: 7001 });
  assertEquals(made.node("new:7001")?.host, "new");
  made.apply(first, since);
  assertEquals([made.ownerOf(7), made.node("new:7001")?.port], ["new:7001", 7001]);
  made.apply(first, made.serial);
  assertEquals([made.ownerOf(7), made.node("new:7001")], ["a:7000", undefined]);
});

test("a node is one node by its address and by its host name", () => {
  const made = new Topology();
  const metadata = new Map([["ip", "10.0.0.1"]]);
  const named = viewOf([{ first: 0, last: 16_383, nodes: [announced("a.example", { metadata })] }], "seed");
  if (named !== undefined) made.apply(named, 0);
  assertEquals(made.nameOf("10.0.0.1", 7000), "a.example:7000");
  assertEquals(made.nameOf("10.0.0.1", 7001), "10.0.0.1:7001");
  assertEquals(made.patch(3, { host: "10.0.0.1", port: 7000 }), []);
});

test("names of IPv6 addresses have brackets", () => {
  assertEquals(new Topology().nameOf("::1", 7000), "[::1]:7000");
});

/** A view of three nodes `n1` to `n3`, each announced as the test says. */
function namedView(answeredBy: string, ...names: readonly (readonly [endpoint: string | undefined, ip?: string])[]) {
  const made = viewOf(
    names.map(([endpoint, ip], i) => {
      const metadata = new Map(ip === undefined ? [] : [["ip", ip]]);
      return { first: i, last: i, nodes: [announced("x", { endpoint, metadata, id: `n${i + 1}`, port: 7001 + i })] };
    }),
    answeredBy,
  );
  if (made === undefined) throw new Error("A view that contradicts itself");
  return made;
}

test("a node keeps the host by which it is known while the cluster still gives it, so that it keeps its connections", () => {
  const made = new Topology();
  const report = new MoveReport();
  made.apply(namedView("seed", ["10.0.0.1"], ["10.0.0.2"], ["10.0.0.3"]), 0);
  report.take(made);
  const renamed = namedView("seed", ["a.example", "10.0.0.1"], ["?", "10.0.0.2"], ["c.example", "10.0.0.3"]);
  assertEquals(made.apply(renamed, made.serial), []);
  assertEquals([...made.owners.keys()], ["10.0.0.1:7001", "10.0.0.2:7002", "10.0.0.3:7003"]);
  assertEquals([made.nameOf("a.example", 7001), report.take(made)], ["10.0.0.1:7001", []]);
  const back = namedView("seed", ["10.0.0.1", "10.0.0.1"], ["10.0.0.2"], ["10.0.0.3"]);
  assertEquals(made.apply(back, made.serial), []);
});

test("nodes without hosts keep the one by which they were found, whichever node answers", () => {
  const made = new Topology();
  made.apply(namedView("localhost", [undefined], [""], [undefined, "10.0.0.3"]), 0);
  assertEquals([...made.owners.keys()], ["localhost:7001", "localhost:7002", "localhost:7003"]);
  assertEquals(made.apply(namedView("127.0.0.1", [undefined], [""], [undefined, "10.0.0.3"]), made.serial), []);
  assertEquals(made.apply(namedView("127.0.0.1", ["127.0.0.1"], [""], [undefined]), made.serial), [0]); // it has one now
  assertEquals([...made.owners.keys()], ["127.0.0.1:7001", "localhost:7002", "localhost:7003"]);
});

test("a node whose address has changed gets a new name, also if another one has its old address", () => {
  const made = new Topology();
  made.apply(namedView("seed", ["10.0.0.1"], ["10.0.0.2"], ["10.0.0.3"]), 0);
  assertEquals(made.apply(namedView("seed", ["10.0.0.9"], ["10.0.0.2"], ["10.0.0.3"]), made.serial), [0]);
  const nodes = [
    announced("10.0.0.8", { id: "n1", port: 7001, metadata: new Map([["ip", "10.0.0.9"]]) }),
    announced("10.0.0.9", { id: "n9", port: 7001 }),
  ];
  const reused = viewOf(nodes.map((node, i) => ({ first: i, last: i, nodes: [node] })), "seed");
  if (reused !== undefined) made.apply(reused, made.serial);
  assertEquals([made.ownerOf(0), made.ownerOf(1)], ["10.0.0.8:7001", "10.0.0.9:7001"]);
});

test("a redirect without a host leads to the host that answered, or to the only node with that port", () => {
  const made = new Topology();
  made.apply(namedView("seed", ["a.example"], ["?", "10.0.0.2"], [undefined]), 0);
  const lead = (port: number) => made.addressOf({ host: undefined, port }, "a.example").host;
  assertEquals([7001, 7002, 7003, 7004].map(lead), ["a.example", "10.0.0.2", "seed", "a.example"]);
  assertEquals(made.addressOf({ host: "b", port: 7001 }, "a.example").host, "b");
  made.patch(5, { host: "other", port: 7002 });
  assertEquals(lead(7002), "a.example"); // two of them: nobody can tell
});
