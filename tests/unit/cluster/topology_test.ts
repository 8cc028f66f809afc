// Owns the proof of how the map of a cluster changes: by redirects, by views, and by both at the same time.

import { assertEquals } from "@std/assert";
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
  assertEquals([made.ownerOf(0), made.owners().size, made.view], [undefined, 0, undefined]);
  const { slots, moves } = made.apply(first, made.serial);
  assertEquals([slots.length, moves], [16_384, []]);
  assertEquals([made.ownerOf(8_000), made.ownerOf(8_001)], ["a:7000", "b:7000"]);
  assertEquals([...made.owners()], [["a:7000", 8_001], ["b:7000", 8_383]]);
});

test("a redirect moves one slot, and says so once", () => {
  const made = topology();
  const change = made.patch(5, { host: "b", port: 7000 });
  assertEquals(change, { slots: [5], moves: [{ slots: [[5, 5]], from: "a:7000", to: "b:7000" }] });
  assertEquals(made.patch(5, { host: "b", port: 7000 }), { slots: [], moves: [] });
  assertEquals([4, 5, 6].map((slot) => made.ownerOf(slot)), ["a:7000", "b:7000", "a:7000"]);
});

test("a view is one move for each pair of nodes, with ranges", () => {
  const made = topology();
  const later = view(["b", 0, 9], ["a", 10, 19], ["b", 20, 20], ["a", 21, 8_000], ["c", 8_001, 16_383]);
  const { slots, moves } = made.apply(later, made.serial);
  assertEquals(slots.length, 11 + 8_383);
  assertEquals(moves, [
    { slots: [[0, 9], [20, 20]], from: "a:7000", to: "b:7000" },
    { slots: [[8_001, 16_383]], from: "b:7000", to: "c:7000" },
  ]);
});

test("slots that lose their owner, or get one, are changes and no moves", () => {
  const made = topology();
  const { slots, moves } = made.apply(view(["a", 0, 8_000], ["b", 8_001, 16_000]), made.serial);
  assertEquals([slots.length, slots[0], slots.at(-1), moves], [383, 16_001, 16_383, []]);
  assertEquals(made.ownerOf(16_383), undefined);
  assertEquals(made.apply(first, made.serial).moves, []);
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
  assertEquals(made.patch(3, { host: "10.0.0.1", port: 7000 }), { slots: [], moves: [] });
});

test("names of IPv6 addresses have brackets", () => {
  assertEquals(new Topology().nameOf("::1", 7000), "[::1]:7000");
});
