// Redirects that name the node that has answered, as a proxy gives whose backend has changed.

import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import { RedisError, StreamerError } from "../../../mod.ts";
import { slotOfKey } from "../../../streamer/cluster/topology/slot.ts";
import { FakeCluster, type FakeNode } from "../../support/cluster/fake_cluster.ts";
import { type FakeLink, FakeNet } from "../../support/cluster/fake_net.ts";
import { close, follow, streamerOver } from "../../support/cluster/fake_streamer.ts";
import { keysOf } from "../../support/routing/command_keys.ts";
import { test } from "../../support/runner.ts";

const TIMEOUT = 10_000;

/** Two nodes, and a streamer. The first answers keyed commands with redirects to itself over the links for which `isOld`. */
async function world(code: "MOVED" | "ASK", isOld: (link: FakeLink) => boolean) {
  const net = new FakeNet();
  const cluster = new FakeCluster(net, ["a:1", "b:1"]);
  const [a, b] = cluster.nodes;
  const streamer = await streamerOver(net, ["redis://a:1", "redis://b:1"], { timeout: TIMEOUT });
  const redirects: number[] = []; // when they were given
  const start = net.clock.now();
  a.script = (words, link) => {
    if (!/^(X|TYPE)/.test(words[0]) || !isOld(link)) return undefined;
    redirects.push(net.clock.now() - start);
    return `-${code} ${slotOfKey(keysOf(words)[0])} a:1\r\n`;
  };
  return { net, cluster, a, b, streamer, redirects };
}

/** Asks a node that has not been asked for long for its view, at most so often. */
function assertFewQuestions(nodes: readonly FakeNode[], most: number): void {
  const asked = nodes.reduce((sum, { host }) => sum + host.count("CLUSTER", "SLOTS"), 0);
  assert(asked <= most, `${asked} questions for the map`);
}

for (const code of ["MOVED", "ASK"] as const) {
  test(`a proxy with a new backend: verbs that got ${code} share one new connection, and succeed`, async () => {
    const old = new Set<FakeLink>();
    const { net, cluster, a, b, streamer, redirects } = await world(code, (link) => old.has(link));
    const manager = await streamer.createManager();
    const key = cluster.keyOf(a);
    assertEquals(await manager.length(key), 0);
    for (const link of a.host.links) old.add(link);
    const before = a.host.dials;
    const verbs = Array.from({ length: 50 }, () => follow(net, manager.length(key)));
    await net.clock.pass(100);
    assertEquals(verbs.map(({ value }) => value), new Array(50).fill(0));
    assertEquals([redirects.length, a.host.dials - before], [50, 1]);
    assertFewQuestions([a, b], 3);
    await close(net, streamer);
  });

  test(`a proxy that leads to its new backend only later gets new connections until then (${code})`, async () => {
    let isLate = true;
    const { net, cluster, a, streamer, redirects } = await world(code, () => isLate);
    const manager = await streamer.createManager();
    const verb = follow(net, manager.length(cluster.keyOf(a)));
    const before = a.host.dials;
    await net.clock.pass(3_000);
    const stuck = new Set(a.host.links); // these lead to the old backend for ever
    assertEquals(verb.value, undefined);
    const dialled = a.host.dials - before;
    assert(dialled >= 3 && dialled <= 30, `${dialled} connections`);
    isLate = false;
    a.script = (words, link) => stuck.has(link) && words[0] === "XLEN" ? `-${code} 0 a:1\r\n` : undefined;
    await net.clock.pass(3_000);
    assertEquals(verb.value, 0);
    assert(redirects.length < 30, `${redirects.length} redirects`);
    await close(net, streamer);
  });

  test(`a node that redirects to itself for ever is asked seldom, and the verb rejects with its answer (${code})`, async () => {
    const { net, cluster, a, b, streamer, redirects } = await world(code, () => true);
    const manager = await streamer.createManager();
    const verb = follow(net, manager.length(cluster.keyOf(a)));
    await net.clock.pass(TIMEOUT - 100);
    assertEquals(verb.after, undefined);
    await net.clock.pass(100);
    assertInstanceOf(verb.error, RedisError);
    assertEquals([verb.error.code, verb.after], [code, TIMEOUT]);
    assert(redirects.length < 40, `${redirects.length} redirects`);
    assert(a.host.dials < 40, `${a.host.dials} connections`);
    assertFewQuestions([a, b], 12);
    assertEquals(net.dialled.filter((name) => name !== "a:1" && name !== "b:1"), []);
    await close(net, streamer);
  });

  test(`sends that got ${code} go over one new connection, in their order, once each`, async () => {
    const old = new Set<FakeLink>();
    const { net, cluster, a, streamer, redirects } = await world(code, (link) => old.has(link));
    const key = cluster.keyOf(a);
    const producer = await streamer.createProducer(key);
    const first = follow(net, producer.send("first"));
    await net.clock.pass(0);
    assertEquals(first.value?.id.toString(), "1-0");
    for (const link of a.host.links) old.add(link);
    const before = a.host.dials;
    const sends = Array.from({ length: 200 }, (_, i) => follow(net, producer.send(`${i}`)));
    await net.clock.pass(200);
    const stored = a.host.commands.filter(([name]) => name === "XADD").slice(-200).map((words) => words.at(-1));
    assertEquals(stored, sends.map((_, i) => `${i}`));
    assertEquals([cluster.entries.get(key), redirects.length], [201, 200]);
    assert(sends.every(({ value }) => value !== undefined));
    assert(a.host.dials - before <= 2, `${a.host.dials - before} connections`); // the producer's, and that for commands
    await close(net, streamer);
  });

  test(`sends to a node that redirects to itself for ever reject at their time, not written (${code})`, async () => {
    const { net, cluster, a, b, streamer, redirects } = await world(code, () => true);
    const producer = await streamer.createGenericProducer({ sendTimeout: 5_000 });
    const stuck = Array.from({ length: 10 }, () => follow(net, producer.sendTo(cluster.keyOf(a), "x")));
    let longest = 0;
    for (let i = 0; i < 50; i++) { // the other node's sends keep their pace
      const other = follow(net, producer.sendTo(cluster.keyOf(b), `${i}`));
      await net.clock.pass(100);
      longest = Math.max(longest, other.after ?? Infinity);
    }
    assertEquals(longest, 0);
    await net.clock.pass(100);
    for (const { error, after } of stuck) {
      assertInstanceOf(error, StreamerError);
      assertEquals([error.code, error.outcome, after], ["TIMEOUT", "not-written", 5_000]);
      assertInstanceOf(error.cause, RedisError);
    }
    assert(redirects.length < 400, `${redirects.length} redirects`); // of ten messages each
    assert(a.host.dials < 40, `${a.host.dials} connections`);
    assertEquals(cluster.entries.get(cluster.keyOf(a)), undefined);
    await close(net, streamer);
  });
}
