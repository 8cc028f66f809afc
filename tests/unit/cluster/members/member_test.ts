// Owns the proof of one node of a cluster: where it is dialled, who may answer there, and when it is dialled anew.

import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { valueCommand } from "../../../../resp/connection/command.ts";
import { RedisError, StreamerError } from "../../../../resp/errors.ts";
import type { Member } from "../../../../streamer/cluster/members/member.ts";
import { RecalledError } from "../../../../resp/connection/lane.ts";
import { FakeCluster, nodeId } from "../../../support/cluster/fake_cluster.ts";
import { FakeNet } from "../../../support/cluster/fake_net.ts";
import { memberWorld, type MemberWorldOptions } from "../../../support/cluster/member_world.ts";
import { test } from "../../../support/runner.ts";

const ROLE = valueCommand(["ROLE"], { repeatable: true });
const signal = new AbortController().signal;
const refusal = new RedisError("MOVED 1 a:1", { command: "XADD" });

function world(options: MemberWorldOptions = {}) {
  const net = new FakeNet();
  const cluster = new FakeCluster(net, ["a:1", "b:2"]);
  const { table, counts, troubled } = memberWorld(net, { seeds: ["a:1"], ...options });
  return { net, cluster, table, counts, troubled, member: table.at("a:1") };
}

/** Waits until commands were given to it, and reads the outcome of one. */
function outcomeOf(member: Member): { text: string } {
  const outcome = { text: "waits" };
  member.lanes.run(ROLE).then(() => outcome.text = "answered", (error) => outcome.text = String(error));
  return outcome;
}

test("it is dialled at the address that mapNode gives now", async () => {
  let port = 1;
  const { net, cluster, table } = world({ reach: { mapNode: () => ({ hostname: port === 1 ? "a" : "b", port }) } });
  const member = table.at("announced:9");
  await member.lanes.run(ROLE);
  port = 2;
  for (const { host } of cluster.nodes) host.cut();
  const again = outcomeOf(member);
  await net.clock.pass(1_000);
  assertEquals([again.text, net.dialled, member.name], ["answered", ["a:1", "b:2"], "announced:9"]);
  table.close();
});

test("a node that must not be dialled rejects at once, and is asked about anew each time", async () => {
  let isAllowed = false;
  const { net, table } = world({ reach: { allowNode: () => isAllowed } });
  const member = table.at("a:1");
  for (let i = 0; i < 3; i++) {
    const error = await assertRejects(() => member.lanes.run(ROLE), StreamerError);
    assertEquals(error.code, "CONNECT");
    assertStringIncludes(error.message, "allowNode");
    assert(member.failure === error);
  }
  assertEquals([net.dialled, net.clock.running], [[], 0]);
  isAllowed = true;
  await member.lanes.run(ROLE);
  assertEquals([net.dialled, member.failure], [["a:1"], undefined]);
  table.close();
});

test("another node at its address gets no command, and the right one is found when it is back", async () => {
  const { net, cluster: { nodes: [a] }, member, table, troubled } = world({ idOf: () => nodeId(7) });
  const outcome = outcomeOf(member);
  await net.clock.pass(3_000);
  assertEquals([outcome.text, a.host.count("ROLE"), troubled.length > 0], ["waits", 0, true]);
  assertStringIncludes(String(member.failure), "another node has this address now");
  a.script = (words) => words[1] === "MYID" ? `$40\r\n${nodeId(7)}\r\n` : undefined;
  await net.clock.pass(3_000);
  assertEquals(outcome.text, "answered");
  table.close();
});

test("a server without cluster support at its address gets no command, and one that does not tell its id is believed", async () => {
  for (
    const [answer, expected] of [
      ["-ERR This instance has cluster support disabled\r\n", "waits"],
      ["-NOPERM User x has no permissions to run the 'cluster|myid' command\r\n", "answered"],
      ["-ERR unknown command 'CLUSTER'\r\n", "answered"],
    ]
  ) {
    const { net, cluster: { nodes: [a] }, member, table } = world({ idOf: () => nodeId(1) });
    a.script = (words) => words[1] === "MYID" ? answer : undefined;
    const outcome = outcomeOf(member);
    await net.clock.pass(3_000);
    assertEquals([outcome.text, a.host.count("ROLE")], [expected, expected === "waits" ? 0 : 1], answer);
    table.close();
  }
});

test("an open connection is taken over if it leads to the same address, with what is known of its server", async () => {
  const { net, table, member } = world();
  const opened = await table.seeds[0].node().open({ signal });
  assert(member.adopt(opened));
  assertEquals(member.server, "redis 7.0.15");
  await member.lanes.run(ROLE);
  assertEquals(net.dialled, ["a:1"]);
  const other = await table.seeds[0].node().open({ signal });
  assertEquals(table.at("b:2").adopt(other), false);
  other.pipeline.end(new StreamerError("DISCONNECTED", "not used"));
  table.close();
});

test("a connection to a node that must not be dialled is not taken over", async () => {
  let isAllowed = true;
  const { table, member } = world({ reach: { allowNode: () => isAllowed } });
  const opened = await table.seeds[0].node().open({ signal });
  isAllowed = false;
  assertEquals(member.adopt(opened), false);
  opened.pipeline.end(new StreamerError("DISCONNECTED", "not used"));
  table.close();
});

test("redialling closes all connections once, after their replies, also one that was taken over", async () => {
  for (const isAdopted of [true, false]) {
    const { net, cluster: { nodes: [a] }, table, member } = world();
    if (isAdopted) assert(member.adopt(await table.seeds[0].node().open({ signal })));
    await Promise.all([member.lanes.run(ROLE), member.lanes.run(ROLE, { large: true })]);
    const answers = Array.from({ length: 100 }, () => member.lanes.run(ROLE));
    for (let i = 0; i < 1_000; i++) member.redial(refusal);
    await Promise.all(answers);
    await net.clock.pass(300);
    assertEquals([a.host.dials, a.host.links.size], [4, 2]);
    await net.clock.pass(60_000);
    assertEquals([a.host.dials, net.clock.running], [4, 0]);
    table.close();
  }
});

test("if the new connections give the same answer, they are dialled again, at the pace of reconnecting", async () => {
  const { net, cluster: { nodes: [a] }, table, member } = world();
  await member.lanes.run(ROLE);
  const times: number[] = [];
  const start = net.clock.now();
  for (let i = 0; i < 60_000 / 20; i++) {
    const before = a.host.dials;
    member.redial(refusal);
    await net.clock.pass(20);
    if (a.host.dials > before) times.push(net.clock.now() - start);
  }
  const gaps = times.slice(1).map((time, i) => time - times[i]);
  assert(times.length > 25 && times.length < 120, times.join(" "));
  assert(gaps.slice(-5).every((gap) => gap >= 1_900 && gap < 2_400), gaps.join(" "));
  table.close();
  await net.clock.settle();
  assertEquals([net.open, net.clock.running], [0, 0]);
});

test("those that wait for its connection to ask over it are recalled, and those that have it are not", async () => {
  const { net, cluster: { nodes: [a] }, table, member } = world();
  a.host.condition = "refusing";
  const waiting = member.holding(signal, () => Promise.resolve("had it")).catch((error) => error);
  await net.clock.pass(1_000);
  member.recall(() => false);
  assert(await waiting instanceof RecalledError);
  a.host.condition = "serving";
  const held = Promise.withResolvers<string>();
  const holding = member.holding(signal, () => held.promise);
  await net.clock.pass(5_000);
  member.recall(() => false);
  member.rest(); // not while it is used
  assert(member.hasLanes);
  held.resolve("had it");
  assertEquals(await holding, "had it");
  member.rest();
  await net.clock.settle();
  assertEquals([member.hasLanes, net.open], [false, 0]);
  table.close();
});

test("it is troubled from a failure until a connection is open again", async () => {
  const { net, cluster: { nodes: [a] }, table, member } = world();
  await member.lanes.run(ROLE);
  assertEquals(member.isTroubled, false);
  a.host.die();
  await net.clock.pass(0);
  assertEquals(member.isTroubled, true);
  a.host.condition = "serving";
  await net.clock.pass(1_000);
  assertEquals(member.isTroubled, false);
  table.close();
});
