// Tests a primary that is killed under load, and is replaced by its replica: what was in flight, and how soon sends go on.

import { assert, assertEquals } from "@std/assert";
import { setTimeout as sleep } from "node:timers/promises";
import { connect, type StreamerError } from "../../../mod.ts";
import { slotOfKey } from "../../../streamer/cluster/topology/slot.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { election } from "../../support/load/election.ts";
import { notInFlight, resumedAfter } from "../../support/load/outcome.ts";
import { Scene } from "../../support/load/scene.ts";
import { judge } from "../../support/load/verdict.ts";
import { test } from "../../support/runner.ts";
import { startCluster } from "../../support/servers/cluster.ts";
import { canStartServers } from "../../support/servers/server.ts";

const options = { ignore: !await canStartServers(), timeout: 120_000 };

for (const delivery of ["at-least-once", "at-most-once"] as const) {
  test(`a primary is killed, its replica is up to date (${delivery})`, async () => {
    await using scene = await Scene.start({ cluster: { replicas: 1 }, producer: { delivery } });
    const { cluster, load } = scene;
    const [victim] = cluster.primaries;
    const replicas = await cluster.replicasOf(victim);
    const mine = await scene.shardsAt(victim);
    const others = load.keys.map((_, shard) => shard).filter((shard) => !mine.includes(shard));
    assert(mine.length > 0 && others.length > 0);
    const isNoticed = () =>
      scene.streamer.stats().nodes.every(({ name, connections }) => name !== victim.name || connections === 0);
    const span = await load.during(async () => {
      await cluster.kill(victim);
      await until(isNoticed, { what: "the lost connections are noticed" });
    });
    const { at } = await election(replicas);
    await load.flowing();
    await sleep(1_000); // a while of load at the new primary
    const outcome = await scene.finish();
    const inFlight = (payload: string) => notInFlight([payload], load, [span]).length === 0;
    judge(`a primary is killed (${delivery})`, outcome, [
      { what: "its shards resumed after the election", time: Math.max(...resumedAfter(load, at, mine)), mark: 1_000 },
      { what: "the others", time: Math.max(...resumedAfter(load, at, others)), mark: 1_000 },
    ], {
      mayRepeat: (payload) => delivery === "at-least-once" && inFlight(payload),
      mayFail: (error, payload) => delivery === "at-most-once" && error === "AMBIGUOUS unknown" && inFlight(payload),
    });
    assertEquals(scene.ofType("fence-unavailable"), []);
  }, options);
}

test("a cluster that was down for long serves again within a second, and gets few messages meanwhile", async () => {
  await using scene = await Scene.start();
  const { cluster, load } = scene;
  const missing = [0, 1, 2, 3].find((slot) => !load.keys.some((key) => slotOfKey(key) === slot)) ?? 0;
  const owner = await cluster.ownerOf(missing);
  const all = (...words: (string | number)[]) => Promise.all(cluster.nodes.map((node) => node.command(...words)));
  const states = async () =>
    (await all("CLUSTER", "INFO")).map((info) => /cluster_state:(\w+)/.exec(String(info))?.[1]);
  const errors = async () => {
    const texts = await all("INFO", "errorstats");
    return texts.reduce<number>(
      (sum, text) => sum + Number(/errorstat_CLUSTERDOWN:count=(\d+)/.exec(String(text))?.[1] ?? 0),
      0,
    );
  };
  await all("CLUSTER", "DELSLOTS", missing);
  await until(async () => (await states()).every((state) => state === "fail"), { what: "the cluster is down" });
  await sleep(1_000);
  const before = await errors();
  await sleep(10_000);
  const refused = await errors() - before;
  await owner.command("CLUSTER", "ADDSLOTS", missing);
  for (const node of cluster.nodes) {
    if (node !== owner) await node.command("CLUSTER", "ADDSLOTS", missing).catch(() => {});
  }
  await until(async () => (await states()).every((state) => state === "ok"), { what: "the cluster is up" });
  const at = performance.now();
  await load.flowing();
  const outcome = await scene.finish();
  const shards = load.keys.map((_, shard) => shard);
  judge(`down for eleven seconds, ${refused} messages refused in the last ten`, outcome, [
    { what: "resumed", time: Math.max(...resumedAfter(load, at, shards)), mark: 1_000 },
  ]);
  // One message for each node and half second, and before five seconds have passed a little more.
  assert(refused <= 150, `${refused} messages were refused`);
}, options);

test("on a node that never comes back sends time out, written or not, and the others go on", async () => {
  await using cluster = await startCluster({ args: ["--cluster-require-full-coverage", "no"] });
  await using streamer = await connect(cluster.url);
  const keys = Array.from({ length: 30 }, () => uniqueKey());
  const [victim] = cluster.nodes;
  const owners = await Promise.all(keys.map((key) => cluster.ownerOf(slotOfKey(key))));
  const mine = keys.filter((_, i) => owners[i] === victim);
  const others = keys.filter((_, i) => owners[i] !== victim);
  const producer = await streamer.createGenericProducer({ sendTimeout: 2_000 });
  await Promise.all(keys.map((key) => producer.sendTo(key, "first")));
  await victim.freeze(); // what is written now gets no reply
  const written = mine.map((key) => producer.sendTo(key, "written"));
  await until(() => producer.stats().inFlight === mine.length);
  await cluster.kill(victim);
  await until(() => streamer.stats().nodes.some(({ name, connections }) => name === victim.name && connections === 0));
  const unwritten = mine.map((key) => producer.sendTo(key, "not written"));
  await Promise.all(others.map((key) => producer.sendTo(key, "second")));
  const endings = await Promise.allSettled([...written, ...unwritten].map((receipt) => receipt.then()));
  const errors = endings.map((ending) => ending.status === "rejected" ? ending.reason as StreamerError : undefined);
  assertEquals(errors.map((error) => error?.code), Array(2 * mine.length).fill("TIMEOUT"));
  assertEquals(written.map(({ outcome }) => outcome), mine.map(() => "unknown"));
  assertEquals(unwritten.map(({ outcome }) => outcome), mine.map(() => "not-written"));
}, options);
