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
