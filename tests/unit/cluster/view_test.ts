// Owns the proof of what is read out of a node's view of its cluster, from the bytes of real servers to hostile ones.

import { assert, assertEquals, assertThrows } from "@std/assert";
import { StreamerError } from "../../../resp/errors.ts";
import { clusterSlots, MAX_NODES } from "../../../streamer/commands/cluster_slots.ts";
import { NO_OWNER, viewOf } from "../../../streamer/cluster/topology/view.ts";
import { announced, ranges } from "../../support/routing/views.ts";
import { test } from "../../support/runner.ts";
import { array, bulk, standing } from "../commands/frames.ts";

const ID = "5ca66eb672473f0fb76a81344da50c4b475fae53";

function row(first: number, last: number, ...nodes: readonly string[]): string {
  return array(`:${first}\r\n`, `:${last}\r\n`, ...nodes);
}

function node(endpoint: string, port: number, ...more: readonly string[]): string {
  return array(endpoint, `:${port}\r\n`, ...more);
}

test("CLUSTER SLOTS is read in RESP2 and RESP3, with and without ids and metadata", () => {
  const old = node(bulk("10.0.0.1"), 7000);
  const with4 = node(bulk("10.0.0.1"), 7000, bulk(ID));
  const resp2 = node(bulk("10.0.0.1"), 7000, bulk(ID), array(bulk("hostname"), bulk("a.example")));
  const resp3 = node(bulk("10.0.0.1"), 7000, bulk(ID), `%1\r\n${bulk("hostname")}${bulk("a.example")}`);
  const reply = array(row(0, 1, old), row(2, 3, with4, resp2), row(4, 4, resp3));
  const read = clusterSlots().read(standing(reply));
  const host = { endpoint: "10.0.0.1", port: 7000 };
  const named = { ...host, id: ID, metadata: new Map([["hostname", "a.example"]]) };
  assertEquals(read, [
    { first: 0, last: 1, nodes: [{ ...host, id: undefined, metadata: new Map() }] },
    { first: 2, last: 3, nodes: [{ ...host, id: ID, metadata: new Map() }, named] },
    { first: 4, last: 4, nodes: [named] },
  ]);
});

test("a null endpoint is read as one that the client has to know", () => {
  for (const nothing of ["$-1\r\n", "_\r\n"]) {
    const [range] = clusterSlots().read(standing(array(row(0, 1, node(nothing, 7000, bulk(ID))))));
    assertEquals(range.nodes[0].endpoint, undefined);
  }
});

for (
  const reply of [
    "+OK\r\n",
    ":1\r\n",
    array("+x\r\n"),
    array(row(0, 1)),
    array(row(0, 1, "+a\r\n")),
    array(row(0, 1, node(":1\r\n", 1))),
  ]
) {
  test(`another shape of CLUSTER SLOTS is a violation: ${JSON.stringify(reply)}`, () => {
    assertEquals(assertThrows(() => clusterSlots().read(standing(reply)), StreamerError).code, "PROTOCOL");
  });
}

test("slots get their owners, replicas are known, and each node counts once", () => {
  const view = viewOf(ranges(["a x", 0, 99], ["b", 100, 199], ["a x", 300, 16_383]), "seed");
  assert(view !== undefined);
  assertEquals(view.nodes.map(({ host }) => host), ["a", "x", "b"]);
  assertEquals([0, 99, 100, 199, 200, 299, 300, 16_383].map((slot) => view.owners[slot]), [
    ...[0, 0, 2, 2],
    ...[NO_OWNER, NO_OWNER],
    ...[0, 0],
  ]);
  assertEquals(view.covered, 16_384 - 100);
});

const hosts: readonly (readonly [string, Parameters<typeof announced>[1], string | undefined])[] = [
  ["an address is dialled as it is", { endpoint: "10.0.0.1" }, "10.0.0.1"],
  ["no endpoint is the host that has answered", { endpoint: undefined }, "seed"],
  ["an empty one too", { endpoint: "" }, "seed"],
  ["? is a node's address, if it says that", { endpoint: "?", metadata: new Map([["ip", "10.0.0.9"]]) }, "10.0.0.9"],
  ["? is else the host that has answered", { endpoint: "?" }, "seed"],
  ["a port of 0 cannot be dialled", { port: 0 }, undefined],
  ["nor one above 65,535", { port: 65_536 }, undefined],
  ["a host with a blank cannot be dialled", { endpoint: "a b" }, undefined],
  ["nor one with credentials", { endpoint: "user@a" }, undefined],
];

for (const [what, more, host] of hosts) {
  test(`endpoints: ${what}`, () => {
    const view = viewOf([{ first: 0, last: 16_383, nodes: [announced("a", more)] }], "seed");
    assertEquals(view?.nodes[0]?.host, host);
    assertEquals(view?.covered, host === undefined ? 0 : 16_384);
  });
}

test("the other hosts of a node are its aliases", () => {
  const metadata = new Map([["ip", "10.0.0.1"], ["hostname", "a.example"], ["other", "b"]]);
  const view = viewOf([{ first: 0, last: 1, nodes: [announced("a.example", { metadata })] }], "seed");
  assertEquals(view?.nodes[0].aliases, ["10.0.0.1"]);
});

const hostile: readonly (readonly [string, number, number])[][] = [
  [["a", 0, 2 ** 31]],
  [["a", -1, 5]],
  [["a", 5, 4]],
  [["a", 0, 1.5]],
  [["a", 0, 10], ["b", 10, 20]],
  [["a", 16_384, 16_384]],
];

for (const list of hostile) {
  test(`a view that contradicts itself is none: ${JSON.stringify(list)}`, () => {
    assertEquals(viewOf(ranges(...list), "seed"), undefined);
  });
}

test(`more than ${MAX_NODES} nodes are refused`, () => {
  const names = Array.from({ length: MAX_NODES + 1 }, (_, i) => `n${i}`).join(" ");
  assertEquals(viewOf(ranges([names, 0, 1]), "seed"), undefined);
});
