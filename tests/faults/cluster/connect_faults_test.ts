// Connecting to a cluster while its seeds are slow, dead, of other kinds, or refuse.

import { assert, assertEquals, assertInstanceOf, assertStringIncludes } from "@std/assert";
import { type ConnectOptions, StreamerError } from "../../../mod.ts";
import { FakeCluster, type FakeNode, slotsReply } from "../../support/cluster/fake_cluster.ts";
import { FakeNet } from "../../support/cluster/fake_net.ts";
import { close, follow, streamerOver } from "../../support/cluster/fake_streamer.ts";
import { HELLO3 } from "../../support/network/fake_server.ts";
import { test } from "../../support/runner.ts";

const SEEDS = ["redis://a:1", "redis://b:2", "redis://c:3"];

function world() {
  const net = new FakeNet();
  net.clock.chance = 0; // seeds in their order
  const cluster = new FakeCluster(net, ["a:1", "b:2", "c:3"]);
  const connecting = (options: ConnectOptions = {}, uri: string | readonly string[] = SEEDS) =>
    follow(net, streamerOver(net, uri, { timeout: 5_000, ...options }));
  return { net, cluster, nodes: cluster.nodes, connecting };
}

/** What a seed that is no use does, and what the error says of it. */
const USELESS: Readonly<Record<string, readonly [make: (node: FakeNode) => void, text: string, code?: string]>> = {
  "dead": [({ host }) => host.condition = "refusing", "the connection was refused"],
  "frozen": [({ host }) => host.condition = "silent", "no reply arrived within 5000 ms", "TIMEOUT"],
  "no cluster": [(node) => node.script = ([name]) => name === "HELLO" ? HELLO3 : undefined, "not part of a cluster"],
  "a Sentinel": [
    (node) =>
      node.script = ([name]) => name === "HELLO" ? HELLO3.replace("$10\r\nstandalone", "$8\r\nsentinel") : undefined,
    "redis+sentinel://",
  ],
  "without cluster support": [
    (node) =>
      node.script = ([name]) => name === "CLUSTER" ? "-ERR This instance has cluster support disabled\r\n" : undefined,
    "not part of a cluster",
  ],
  "a user that may not ask": [
    (node) => node.script = ([name]) => name === "CLUSTER" ? "-NOPERM this user has no permissions\r\n" : undefined,
    "The user must be allowed to run CLUSTER SLOTS",
  ],
  "a wrong password": [
    (node) => node.script = ([name]) => name === "HELLO" ? "-WRONGPASS invalid username-password pair\r\n" : undefined,
    "the user name or password is wrong",
    "AUTH",
  ],
  "loading": [
    (node) => node.script = ([name]) => name === "CLUSTER" ? "-LOADING Redis is loading\r\n" : undefined,
    "LOADING",
  ],
  "a node that knows nobody": [(node) => node.view = () => slotsReply([]), "no node of its cluster owns a slot"],
  "a node that contradicts itself": [
    (node) => node.view = () => slotsReply([[0, 2 ** 31, node.name]]),
    "its answer to CLUSTER SLOTS contradicts itself",
  ],
  "nonsense": [(node) => node.view = () => "+OK\r\n", "it did not answer CLUSTER SLOTS"],
  "another program": [
    (node) => node.host.handler = () => "HTTP/1.1 400 Bad Request\r\n\r\n",
    "an HTTP server answers on this port",
  ],
};

for (const [what, [make, text, code = "CONNECT"]] of Object.entries(USELESS)) {
  test(`a seed that is useless does not keep connect from the next one: ${what}`, async () => {
    const { net, nodes, connecting } = world();
    make(nodes[0]);
    const outcome = connecting();
    await net.clock.pass(0);
    if (what === "frozen") await net.clock.pass(500);
    assert(outcome.value !== undefined, String(outcome.error));
    assertEquals(outcome.after, what === "frozen" ? 500 : 0);
    await net.clock.settle();
    assertEquals([nodes[0].host.links.size, net.open], [0, 1]);
    await close(net, outcome.value);
  });

  test(`if all seeds are useless, the error says why of each: ${what}`, async () => {
    const { net, nodes, connecting } = world();
    nodes.forEach(make);
    const outcome = connecting({ username: "user", password: "canary" });
    await net.clock.pass(20_000);
    assertInstanceOf(outcome.error, StreamerError);
    assertEquals(outcome.error.code, code);
    for (const name of ["a:1", "b:2", "c:3"]) assertStringIncludes(outcome.error.message, name);
    assertEquals(outcome.error.message.split(text).length, 4, outcome.error.message);
    assertEquals([net.open, net.clock.running], [0, 0]);
    assert(!`${outcome.error.message}${outcome.error.stack}${outcome.error.cause}`.includes("canary"));
  });
}

test("seeds that fail in different ways are all in the error, each with its reason", async () => {
  const { net, nodes, connecting } = world();
  const kinds = ["dead", "a wrong password", "no cluster"];
  nodes.forEach((node, i) => USELESS[kinds[i]][0](node));
  const outcome = connecting();
  await net.clock.pass(0);
  assertInstanceOf(outcome.error, StreamerError);
  kinds.forEach((kind, i) => {
    const { message } = outcome.error as StreamerError;
    assertStringIncludes(message, `${["a:1", "b:2", "c:3"][i]}: ${""}`);
    assertStringIncludes(message, USELESS[kind][1]);
  });
  assertEquals(net.open, 0);
});

test("seeds that answer at the same time leave one connection", async () => {
  const { net, nodes, connecting } = world();
  for (const { host } of nodes) host.condition = "silent";
  const outcome = connecting();
  await net.clock.pass(1_200); // all three were asked
  for (const { host } of nodes) host.condition = "serving";
  await net.clock.settle();
  assert(outcome.value !== undefined, String(outcome.error));
  await net.clock.settle();
  assertEquals(net.open, 1);
  await close(net, outcome.value);
});

test("the signal ends it at every stage, and leaves neither a connection nor a timer", async () => {
  for (let stage = 0; stage < 60; stage++) {
    for (const wait of [false, true]) {
      for (const uri of [SEEDS, "redis://a:1"]) {
        const { net, nodes, connecting } = world();
        if (stage % 3 === 1) nodes[0].host.condition = "silent";
        if (stage % 3 === 2) { for (const { host } of nodes) host.condition = wait ? "refusing" : "silent"; }
        const aborting = new AbortController();
        const outcome = connecting({ wait, signal: aborting.signal }, uri);
        if (stage % 3 !== 0) await net.clock.pass(stage * 20);
        for (let i = 0; i < stage && outcome.after === undefined; i++) await Promise.resolve();
        const reason = new Error("aborted");
        aborting.abort(reason);
        await net.clock.settle();
        if (outcome.value !== undefined) await close(net, outcome.value);
        else assertEquals(outcome.error, reason, `${stage} ${wait} ${uri}`);
        await net.clock.settle();
        assertEquals([net.open, net.clock.running], [0, 0], `${stage} ${wait} ${uri}`);
      }
    }
  }
});

test("with wait it goes on until a seed serves, and rejects at once if no attempt can ever succeed", async () => {
  const { net, nodes, connecting } = world();
  for (const { host } of nodes) host.condition = "refusing";
  const waiting = connecting({ wait: true });
  await net.clock.pass(20_000);
  assertEquals(waiting.after, undefined);
  nodes[1].host.condition = "serving";
  await net.clock.pass(2_500);
  assert(waiting.value !== undefined);
  await close(net, waiting.value);
  for (const kind of ["a wrong password", "no cluster", "a user that may not ask"]) {
    const { net, nodes, connecting } = world();
    nodes.forEach((node) => USELESS[kind][0](node));
    const outcome = connecting({ wait: true });
    await net.clock.pass(0);
    assertInstanceOf(outcome.error, StreamerError, kind);
  }
});

test("with wait and a number of attempts it ends with the last reasons", async () => {
  const { net, nodes, connecting } = world();
  for (const { host } of nodes) host.condition = "refusing";
  const outcome = connecting({ wait: true, reconnect: { maxAttempts: 3 } });
  await net.clock.pass(60_000);
  assertInstanceOf(outcome.error, StreamerError);
  assertEquals(outcome.error.code, "DISCONNECTED");
  assertStringIncludes(outcome.error.message, "a:1");
  assertStringIncludes(outcome.error.message, "attempts");
});

test("a database other than 0 is refused with CONNECT where a cluster answers", async () => {
  const { net, nodes, connecting } = world();
  nodes[0].script = ([name]) => name === "SELECT" ? "-ERR SELECT is not allowed in cluster mode\r\n" : undefined;
  const outcome = connecting({ db: 1 }, "redis://a:1");
  await net.clock.pass(0);
  assertInstanceOf(outcome.error, StreamerError);
  assertEquals(outcome.error.code, "CONNECT");
  assertStringIncludes(outcome.error.message, "SELECT is not allowed in cluster mode");
  assertEquals(net.open, 0);
});

test("if a node cannot be reached, errors name it, the seed that named it, and mapNode", async () => {
  const { net, nodes, connecting, cluster } = world();
  const lost = nodes[1];
  net.hosts.delete("b:2");
  const outcome = connecting({ timeout: 2_000 }, "redis://a:1");
  await net.clock.pass(0);
  assert(outcome.value !== undefined);
  const manager = await outcome.value.createManager();
  const producer = await outcome.value.createProducer(cluster.keyOf(lost), { sendTimeout: 2_000 });
  const outcomes = [follow(net, manager.length(cluster.keyOf(lost))), follow<unknown>(net, producer.send("x"))];
  await net.clock.pass(2_000);
  for (const { error } of outcomes) {
    assertInstanceOf(error, StreamerError);
    const texts = [];
    for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) texts.push(cause.message);
    const whole = texts.join("; ");
    for (const part of ["b:2", "a:1 answered", "mapNode"]) assertStringIncludes(whole, part);
  }
  await close(net, outcome.value);
});

test("seeds are dialled by the names that the user gave, at each attempt, also for refreshes much later", async () => {
  const { net, nodes, connecting, cluster } = world();
  net.add("entry:9", nodes[0].host.handler);
  const outcome = connecting({}, "redis://entry:9");
  await net.clock.pass(0);
  assert(outcome.value !== undefined);
  const manager = await outcome.value.createManager();
  const first = follow(net, manager.length(cluster.keyOf(nodes[1])));
  await net.clock.pass(0);
  assertEquals(first.value, 0);
  // Later the whole cluster has other addresses.
  for (const { host } of nodes) host.die();
  const moved = new FakeCluster(net, ["x:1", "y:2"], { firstId: 30 });
  net.add("entry:9", moved.nodes[0].host.handler);
  const verb = follow(net, manager.length(cluster.keyOf(nodes[1])));
  await net.clock.pass(2_000);
  assert(net.dialled.filter((name) => name === "entry:9").length >= 2);
  await net.clock.pass(10_000);
  assertEquals([verb.value ?? verb.error, outcome.value.stats().nodes.map(({ name }) => name)], [0, ["x:1", "y:2"]]);
  await close(net, outcome.value);
});
