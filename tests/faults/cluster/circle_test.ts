// Redirects in a circle: each node names the other one as the owner.

import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import { RedisError, StreamerError } from "../../../mod.ts";
import { slotOfKey } from "../../../streamer/cluster/topology/slot.ts";
import { FakeCluster } from "../../support/cluster/fake_cluster.ts";
import { FakeNet } from "../../support/cluster/fake_net.ts";
import { close, follow, streamerOver } from "../../support/cluster/fake_streamer.ts";
import { keysOf } from "../../support/routing/command_keys.ts";
import { test } from "../../support/runner.ts";

const TIMEOUT = 10_000;

/** Two nodes that redirect commands of their stream to each other while it is a circle. */
async function world({ of = ["a:1", "b:1"], code = "MOVED" } = {}) {
  const net = new FakeNet();
  const cluster = new FakeCluster(net, ["a:1", "b:1", "c:1"]);
  const [a, , c] = cluster.nodes;
  const key = cluster.keyOf(a);
  const streamer = await streamerOver(net, cluster.urls, { timeout: TIMEOUT });
  const circle = { isOn: true };
  const hops: number[] = []; // milliseconds
  const start = net.clock.now();
  for (const node of cluster.nodes) {
    node.script = (words) => {
      if (!circle.isOn || !/^X/.test(words[0]) || keysOf(words)[0] !== key || !of.includes(node.address)) {
        return undefined;
      }
      hops.push(net.clock.now() - start);
      const next = of[(of.indexOf(node.address) + 1) % of.length];
      return `-${code} ${slotOfKey(key)} ${next}\r\n`;
    };
  }
  return { net, cluster, c, key, streamer, circle, hops };
}

for (const code of ["MOVED", "ASK"]) {
  test(`a verb follows 16 redirects in a circle at once, then at a growing pace, and rejects with the last one (${code})`, async () => {
    const { net, cluster, key, streamer, hops } = await world({ code });
    const manager = await streamer.createManager();
    const verb = follow(net, manager.length(key));
    await net.clock.pass(0);
    assertEquals(hops.length, 17);
    await net.clock.pass(TIMEOUT);
    assertInstanceOf(verb.error, RedisError);
    assertEquals([verb.error.code, verb.after], [code, TIMEOUT]);
    const later = hops.slice(17);
    assertEquals(later.slice(0, 5), [100, 300, 700, 1_500, 2_500]);
    assert(later.length < 16, later.join(" "));
    const questions = cluster.nodes.reduce((sum, { host }) => sum + host.count("CLUSTER", "SLOTS"), 0);
    assert(questions < 15, `${questions} questions for the map`);
    await close(net, streamer);
  });

  test(`a verb succeeds when the circle ends (${code})`, async () => {
    const { net, key, streamer, circle } = await world({ code });
    const manager = await streamer.createManager();
    const verb = follow(net, manager.length(key));
    await net.clock.pass(3_000);
    assertEquals(verb.after, undefined);
    circle.isOn = false;
    await net.clock.pass(1_000);
    assertEquals(verb.value, 0);
    await close(net, streamer);
  });

  test(`sends follow 16 redirects at once, then at the pace of reconnecting, and reject at their time (${code})`, async () => {
    const { net, cluster, c, key, streamer, hops } = await world({ code });
    const producer = await streamer.createGenericProducer({ sendTimeout: TIMEOUT });
    const send = follow(net, producer.sendTo(key, "x"));
    await net.clock.pass(0);
    assertEquals(hops.length, 17);
    for (let i = 0; i < 100; i++) { // meanwhile the others keep their pace
      const other = follow(net, producer.sendTo(cluster.keyOf(c), `${i}`));
      await net.clock.pass(100);
      assertEquals(other.after, 0);
    }
    assertInstanceOf(send.error, StreamerError);
    assertEquals([send.error.code, send.error.outcome, send.after], ["TIMEOUT", "not-written", TIMEOUT]);
    assert(hops.length < 90, `${hops.length} hops`);
    await close(net, streamer);
  });

  test(`sends are stored once, in their order, when the circle ends (${code})`, async () => {
    const { net, cluster, key, streamer, circle } = await world({ code });
    const producer = await streamer.createGenericProducer();
    const sends = Array.from({ length: 20 }, (_, i) => follow(net, producer.sendTo(key, `${i}`)));
    await net.clock.pass(3_000);
    circle.isOn = false;
    const more = Array.from({ length: 20 }, (_, i) => follow(net, producer.sendTo(key, `${20 + i}`)));
    await net.clock.pass(2_000);
    const ids = [...sends, ...more].map(({ value }) => value?.id.toString());
    assertEquals(ids, ids.map((_, i) => `${i + 1}-0`));
    assertEquals(cluster.entries.get(key), 40);
    await close(net, streamer);
  });
}

test("a circle of three nodes, and many verbs in it, cost no more for each", async () => {
  const { net, cluster, key, streamer, hops, circle } = await world({ of: ["a:1", "b:1", "c:1"] });
  const manager = await streamer.createManager();
  const verbs = Array.from({ length: 20 }, () => follow(net, manager.length(key)));
  await net.clock.pass(5_000);
  assert(hops.length <= 20 * 25, `${hops.length} hops`);
  circle.isOn = false;
  await net.clock.pass(1_000);
  assertEquals(verbs.map(({ value }) => value), new Array(20).fill(0));
  assert(cluster.nodes.every(({ host }) => host.dials <= 3));
  await close(net, streamer);
});

test("after the close a verb that waits in a circle rejects at once, and leaves no timer", async () => {
  const { net, key, streamer } = await world();
  const manager = await streamer.createManager();
  const verb = follow(net, manager.length(key));
  await net.clock.pass(3_000);
  const closing = follow(net, streamer.disconnect());
  await net.clock.pass(0);
  assertInstanceOf(verb.error, StreamerError);
  assertEquals([verb.error.code, verb.after, closing.after], ["DISCONNECTED", 3_000, 0]);
  assertEquals([net.open, net.clock.running], [0, 0]);
});
