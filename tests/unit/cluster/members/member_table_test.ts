// Owns the proof of which nodes are remembered, for how long, and which of their connections stay open.

import { assert, assertEquals } from "@std/assert";
import { valueCommand } from "../../../../resp/connection/command.ts";
import { FakeCluster } from "../../../support/cluster/fake_cluster.ts";
import { FakeNet } from "../../../support/cluster/fake_net.ts";
import { memberWorld } from "../../../support/cluster/member_world.ts";
import { test } from "../../../support/runner.ts";

const ROLE = valueCommand(["ROLE"], { repeatable: true });
const HOUR = 60 * 60 * 1_000;
const none = () => false;
const all = () => true;

test("a node is made when it is first named, and is the same one from then on", () => {
  const { table } = memberWorld(new FakeNet());
  assertEquals([table.find("a:1"), [...table.known].length], [undefined, 0]);
  const made = table.at("a:1");
  assert(table.at("a:1") === made && table.find("a:1") === made);
  assertEquals([made.name, made.host], ["a:1", "a"]);
  assertEquals(table.at("[::1]:7000").host, "::1");
  table.close();
});

test("seeds stay for ever, by the names that the user gave", async () => {
  const net = new FakeNet();
  const { table } = memberWorld(net, { seeds: ["a:1", "b:2"] });
  for (let i = 0; i < 300; i++) table.at(`n${i}:1`);
  table.tidy(none, none);
  net.clock.jump(100 * HOUR);
  table.tidy(none, none);
  assertEquals([table.seeds.map(({ name }) => name), [...table.known]], [["a:1", "b:2"], []]);
  const asked = table.seeds.map((seed) => seed.lanes.run(ROLE, { within: 1 }).catch(() => {}));
  await net.clock.pass(1);
  await Promise.all(asked);
  assertEquals(net.dialled, ["a:1", "b:2"]);
  table.close();
});

test("nodes that have left are remembered for two hours, 256 of them at most, and the oldest go first", () => {
  const net = new FakeNet();
  const { table } = memberWorld(net);
  const names = () => Array.from(table.known, ({ name }) => name);
  for (let i = 0; i < 10; i++) table.at(`old${i}:1`);
  table.tidy(none, none);
  net.clock.jump(HOUR);
  for (let i = 0; i < 250; i++) table.at(`new${i}:1`);
  table.tidy(none, none);
  assertEquals([names().length, names()[0]], [256, "old4:1"]);
  net.clock.jump(HOUR);
  table.tidy(none, none);
  assertEquals([names().length, names()[0]], [250, "new0:1"]);
  net.clock.jump(HOUR);
  table.tidy(none, none);
  assertEquals(names(), []);
});

test("nodes that are part of the cluster are never forgotten, and one that comes back is not old", () => {
  const net = new FakeNet();
  const { table } = memberWorld(net);
  for (let i = 0; i < 1_000; i++) table.at(`n${i}:1`);
  net.clock.jump(10 * HOUR);
  table.tidy(all, none);
  assertEquals([...table.known].length, 1_000);
  table.tidy((name) => name !== "n7:1", none);
  net.clock.jump(1.5 * HOUR);
  table.tidy(all, none); // it is back
  table.tidy((name) => name !== "n7:1", none);
  net.clock.jump(1.5 * HOUR);
  table.tidy((name) => name !== "n7:1", none);
  assert(table.find("n7:1") !== undefined);
  net.clock.jump(HOUR);
  table.tidy((name) => name !== "n7:1", none);
  assertEquals(table.find("n7:1"), undefined);
});

test("connections that are not needed are closed once they are idle, those of seeds too, and the others stay", async () => {
  const net = new FakeNet();
  const cluster = new FakeCluster(net, ["a:1", "b:1", "c:1"]);
  const [a, b, c] = cluster.nodes;
  const { table } = memberWorld(net, { seeds: ["a:1"] });
  const [seed] = table.seeds;
  b.script = (words) => words[0] === "GET" ? "" : undefined; // never an answer
  await Promise.all([seed, ...[a, b, c].map(({ address }) => table.at(address))].map(({ lanes }) => lanes.run(ROLE)));
  const busy = table.at("b:1").lanes.run(valueCommand(["GET", "x"]));
  busy.catch(() => {});
  assertEquals(cluster.nodes.map(({ host }) => host.links.size), [2, 1, 1]);
  table.tidy(all, (name) => name === "a:1");
  await net.clock.settle();
  assertEquals(cluster.nodes.map(({ host }) => host.links.size), [1, 1, 0]); // the seed's is one of its own
  table.close();
  await net.clock.settle();
  assertEquals([net.open, net.clock.running], [0, 0]);
});

test("a node that has left is not forgotten while a command waits for it", async () => {
  const net = new FakeNet();
  const { table } = memberWorld(net);
  const waiting = table.at("away:1").lanes.run(ROLE);
  const outcome = waiting.then(() => "answered", () => "rejected");
  table.tidy(none, none);
  net.clock.jump(3 * HOUR);
  table.tidy(none, none);
  assert(table.find("away:1") !== undefined);
  table.close();
  assertEquals(await outcome, "rejected");
});

test("the close ends all connections and timers, twice is harmless", async () => {
  const net = new FakeNet();
  const cluster = new FakeCluster(net, ["a:1", "b:1"]);
  const { table } = memberWorld(net, { seeds: ["a:1"] });
  const members = [...table.seeds, ...cluster.nodes.map(({ address }) => table.at(address))];
  await Promise.all(members.map(({ lanes }) => lanes.run(ROLE)));
  const late = table.at("nowhere:1").lanes.run(ROLE).then(() => "answered", () => "rejected");
  await net.clock.pass(1_000);
  table.close();
  table.close();
  await net.clock.settle();
  assertEquals([await late, net.open, net.clock.running], ["rejected", 0, 0]);
});
