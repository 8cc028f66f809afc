// Tests graceful failovers under load: nothing is lost, rejected or out of order, also while a producer is flushed or ends.

import { assert, assertEquals } from "@std/assert";
import { cpuUsage } from "node:process";
import { connect, type GenericProducer, roundRobinSharder } from "../../../mod.ts";
import { slotOfKey } from "../../../streamer/cluster/topology/slot.ts";
import { uniqueKey } from "../../support/keys.ts";
import { notInFlight } from "../../support/load/outcome.ts";
import type { Span } from "../../support/load/load.ts";
import { Scene } from "../../support/load/scene.ts";
import { judge } from "../../support/load/verdict.ts";
import { test } from "../../support/runner.ts";
import { type Cluster, type ClusterNode, startCluster } from "../../support/servers/cluster.ts";
import { canStartServers } from "../../support/servers/server.ts";

const options = { ignore: !await canStartServers(), timeout: 120_000 };
const REPLICATED = { replicas: 1 };

/** A replica of the first primary. */
async function successorIn(
  cluster: Cluster,
): Promise<{ readonly primary: ClusterNode; readonly replica: ClusterNode }> {
  const [primary] = cluster.primaries;
  const [replica] = await cluster.replicasOf(primary);
  assert(replica !== undefined);
  return { primary, replica };
}

test("three graceful failovers under load", async () => {
  await using scene = await Scene.start({ cluster: REPLICATED });
  const { cluster, load } = scene;
  const spans: Span[] = [];
  for (let i = 0; i < 3; i++) {
    const { replica } = await successorIn(cluster);
    spans.push(await load.during(() => cluster.failOver(replica)));
    await load.flowing();
  }
  const outcome = await scene.finish();
  const late = new Set(notInFlight(outcome.repeated, load, spans));
  const timing = { what: "longest gap", time: outcome.gap, mark: 2_000 };
  judge("three graceful failovers", outcome, [timing], { mayRepeat: (payload) => !late.has(payload) });
}, options);

test("flush and end wait for the messages of a primary that is being replaced", async () => {
  await using cluster = await startCluster(REPLICATED);
  await using streamer = await connect(cluster.url);
  const key = uniqueKey();
  const sharder = roundRobinSharder(12);
  const [flushed, ended] = await Promise.all([1, 2].map(() => streamer.createProducer(key, { sharder })));
  await Promise.all([flushed, ended].flatMap((producer) => Array.from({ length: 12 }, () => producer.send("first"))));
  const { replica } = await successorIn(cluster);
  const failing = cluster.failOver(replica);
  let over = false;
  const done = failing.finally(() => over = true);
  let flushes = 0;
  for (; !over || flushes < 3; flushes++) {
    for (let i = 0; i < 120; i++) flushed.send(`flushed ${flushes}`);
    await flushed.flush();
    assertEquals(flushed.stats().buffered, 0);
  }
  await done;
  for (let i = 0; i < 1_200; i++) ended.send("ended");
  const next = cluster.failOver((await successorIn(cluster)).replica);
  await ended.end();
  await next;
  const lengths = await Promise.all(
    Array.from({ length: 12 }, (_, shard) => cluster.command("XLEN", `${key}:${shard}`)),
  );
  assertEquals(lengths.reduce((sum: number, length) => sum + Number(length), 0), 24 + flushes * 120 + 1_200);
  assertEquals(flushed.stats().failed + ended.stats().failed, 0);
}, options);

test("the work of a failover grows with the number of keys, not with keys times slots", async () => {
  await using cluster = await startCluster(REPLICATED);
  await using streamer = await connect(cluster.url);
  const producer = await streamer.createGenericProducer();
  const prefix = uniqueKey();
  const round = async (count: number) => {
    const before = cpuUsage();
    await Promise.all(Array.from({ length: count }, (_, i) => producer.sendTo(`${prefix}-${i}`, "x")));
    const { user, system } = cpuUsage(before);
    return (user + system) / 1_000;
  };
  const KEYS = 20_000;
  await round(KEYS);
  const usual = await round(KEYS);
  const { replica } = await successorIn(cluster);
  await cluster.failOver(replica);
  const moved = await round(KEYS);
  console.log(
    `CPU of ${KEYS} sends to as many keys: ${Math.round(usual)} ms, after a failover ${Math.round(moved)} ms`,
  );
  assert(moved < 10 * usual + 1_000, `${moved} ms, usually ${usual} ms`);
  assertEquals(producer.stats().failed, 0);
}, options);

test("the streams of one slot go together to a replica that takes over", async () => {
  await using cluster = await startCluster(REPLICATED);
  await using streamer = await connect(cluster.url);
  const tag = uniqueKey();
  const producer: GenericProducer = await streamer.createGenericProducer({ sharder: roundRobinSharder(4) });
  const from = await cluster.ownerOf(slotOfKey(tag));
  const [replica] = await cluster.replicasOf(from);
  const receipts = [];
  for (let i = 0; i < 400; i++) receipts.push(producer.sendTo(`{${tag}}`, `${i}`));
  await Promise.all(receipts);
  await cluster.failOver(replica);
  for (let i = 400; i < 800; i++) receipts.push(producer.sendTo(`{${tag}}`, `${i}`));
  await Promise.all(receipts);
  for (let shard = 0; shard < 4; shard++) {
    const entries = await replica.command("XRANGE", `{${tag}}:${shard}`, "-", "+");
    assert(Array.isArray(entries));
    const expected = Array.from({ length: 200 }, (_, i) => String(4 * i + shard));
    assertEquals(entries.map((entry) => (entry as [string, string[]])[1][1]), expected);
  }
}, options);
