// Owns the proof of how an election is noticed: by the replicas' word, soon, and at a small price.

import { assert, assertEquals } from "@std/assert";
import { ElectionWatch } from "../../../../streamer/cluster/refresh/election_watch.ts";
import { FakeCluster } from "../../../support/cluster/fake_cluster.ts";
import { FakeNet } from "../../../support/cluster/fake_net.ts";
import { memberWorld } from "../../../support/cluster/member_world.ts";
import { test } from "../../../support/runner.ts";

/** A primary that is lost, and its replicas. */
function world(replicas = 2) {
  const net = new FakeNet();
  const names = Array.from({ length: 1 + replicas }, (_, i) => `n${i}:1`);
  const cluster = new FakeCluster(net, names);
  const [primary, ...rest] = cluster.nodes;
  cluster.rows = [[0, 16_383, primary.name, ...rest.map(({ name }) => name)]];
  const { table } = memberWorld(net);
  const elected: string[] = [];
  const known = [...rest];
  let isLost = true;
  const watch = new ElectionWatch({
    clock: net.clock,
    replicasOf: () => isLost ? known.map(({ address }) => table.at(address)) : undefined,
    onElected: ({ name }) => elected.push(name),
  });
  const elect = (number: number) => {
    cluster.rows = [[0, 16_383, rest[number].name]];
  };
  const roles = () => rest.reduce((sum, { host }) => sum + host.count("ROLE"), 0);
  const found = () => isLost = false;
  return { net, watch, table, primary: table.at(primary.address), replicas: rest, known, elected, elect, roles, found };
}

test("the replicas of a lost primary are asked every 400 milliseconds or so, until it is found", async () => {
  const { net, watch, primary, roles, elected, found, table } = world();
  watch.lost(primary);
  watch.lost(primary); // once is enough
  await net.clock.pass(4_000);
  assertEquals([roles(), elected], [20, []]);
  found();
  await net.clock.pass(60_000);
  assertEquals([roles(), net.clock.running], [20, 0]);
  watch.close();
  table.close();
});

test("a replica that is a primary now is told with each answer", async () => {
  const { net, watch, primary, elect, elected, table } = world();
  watch.lost(primary);
  await net.clock.pass(450);
  elect(1);
  await net.clock.pass(800);
  assertEquals(elected, ["n2:1", "n2:1"]);
  watch.close();
  table.close();
});

test("a replica that becomes known only later is asked, too", async () => {
  const { net, watch, primary, known, elect, elected, table } = world(1);
  const replicas = known.splice(0);
  watch.lost(primary);
  elect(0);
  await net.clock.pass(5_000);
  assertEquals(elected, []);
  known.push(...replicas);
  await net.clock.pass(450);
  assertEquals(elected, ["n1:1"]);
  watch.close();
  table.close();
});

test("a replica that is silent, dead or refuses to tell holds up neither the others nor the next question", async () => {
  for (const condition of ["silent", "refusing", "serving"] as const) {
    const { net, watch, primary, replicas, elect, elected, table } = world();
    replicas[0].host.condition = condition;
    replicas[0].script = () => condition === "serving" ? "-NOPERM no permission\r\n" : undefined;
    watch.lost(primary);
    await net.clock.pass(3_000);
    const asked = replicas[1].host.count("ROLE");
    assert(asked >= 2, `${condition}: ${asked}`);
    elect(1);
    await net.clock.pass(1_500);
    assert(elected.includes("n2:1"), condition);
    watch.close();
    table.close();
    await net.clock.settle();
  }
});

test("a replica that freezes with the question in flight is asked again after a second", async () => {
  const { net, watch, primary, replicas, table } = world(1);
  watch.lost(primary);
  await net.clock.pass(500);
  replicas[0].host.condition = "silent";
  await net.clock.pass(4_400); // 400 ms and a second for each round
  assertEquals(replicas[0].host.count("ROLE"), 1 + 3);
  watch.close();
  table.close();
});

test("where ROLE is not allowed, HELLO tells the role, and ROLE is not tried again", async () => {
  for (const refusal of ["NOPERM User x has no permissions to run the 'role' command", "ERR unknown command 'ROLE'"]) {
    const { net, watch, primary, replicas, elected, table } = world(1);
    const [{ host }] = replicas;
    let role = "replica";
    replicas[0].script = (words) => {
      if (words[0] === "ROLE") return `-${refusal}\r\n`;
      return words[0] === "HELLO" && words.length === 1
        ? `%1\r\n$4\r\nrole\r\n$${role.length}\r\n${role}\r\n`
        : undefined;
    };
    watch.lost(primary);
    await net.clock.pass(2_000);
    assertEquals([host.count("ROLE"), host.count("HELLO"), elected], [1, 1 + 5, []]); // one is the handshake's
    role = "master";
    await net.clock.pass(400);
    assertEquals(elected, ["n1:1"]);
    watch.close();
    table.close();
  }
});

test("after two minutes it ends, and begins again with the next lost connection", async () => {
  const { net, watch, primary, roles, table } = world(1);
  watch.lost(primary);
  await net.clock.pass(150_000);
  const asked = roles();
  assert(asked >= 295 && asked <= 300, `${asked}`);
  watch.lost(primary);
  await net.clock.pass(400);
  assertEquals(roles(), asked + 1);
  watch.close();
  table.close();
});

test("after the close nothing is asked, and no timer is left", async () => {
  const { net, watch, primary, roles, table, replicas } = world();
  replicas[0].host.condition = "silent";
  watch.lost(primary);
  await net.clock.pass(450); // a question is open
  watch.close();
  watch.close();
  table.close();
  await net.clock.settle();
  assertEquals([net.clock.running, net.open], [0, 0]);
  const asked = roles();
  watch.lost(primary);
  await net.clock.pass(10_000);
  assertEquals(roles(), asked);
});
