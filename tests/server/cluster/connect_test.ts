// Connects to real clusters: by one seed or several, with nodes away, and to what is no cluster.

import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { connect, RedisError, StreamerError } from "../../../mod.ts";
import { slotOfKey } from "../../../streamer/cluster/topology/slot.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { test } from "../../support/runner.ts";
import { startCluster } from "../../support/servers/cluster.ts";
import { canStartServers, sharedServer } from "../../support/servers/server.ts";

const single = await sharedServer();
const ignore = !await canStartServers();
const options = { ignore, timeout: 120_000 };

test("a cluster is found by one seed, by several, and with cluster: true", async () => {
  await using cluster = await startCluster();
  const hosts = cluster.urls.map((url) => url.replace("redis://", ""));
  for (
    const [uri, more] of [
      [cluster.url, {}],
      [`redis://${hosts.join(",")}`, {}],
      [cluster.urls, { cluster: true }],
      [cluster.urls[1], { cluster: true, protocol: 2 }],
    ] as const
  ) {
    await using streamer = await connect(uri, more);
    const nodes = streamer.stats().nodes;
    assertEquals(nodes.map(({ name }) => name).toSorted(), [...hosts].toSorted());
    assertEquals(nodes.reduce((sum, { slots }) => sum + slots, 0), 16_384);
    const producer = await streamer.createProducer(uniqueKey());
    const receipts = await Promise.all(Array.from({ length: 30 }, (_, i) => producer.sendTo(uniqueKey(), `${i}`)));
    assertEquals(receipts.length, 30);
    assert(streamer.stats().nodes.every(({ connections }) => connections >= 1));
  }
}, options);

test("one seed that serves is enough, and what lives on a node that is away waits alone", async () => {
  await using cluster = await startCluster();
  const [away] = cluster.nodes;
  await cluster.kill(away);
  await using streamer = await connect(cluster.urls, { timeout: 2_000 });
  const producer = await streamer.createProducer("any", { sendTimeout: 800 });
  const sent = await Promise.allSettled(
    Array.from({ length: 40 }, (_, i) => producer.sendTo(`k${i}`, "x")),
  );
  const rejected = sent.filter((one) => one.status === "rejected");
  assert(rejected.length > 0 && rejected.length < 40, `${rejected.length}`);
  for (const { reason } of rejected) assertEquals([reason.code, reason.outcome], ["TIMEOUT", "not-written"]);
}, options);

test("no cluster, no slots, no seed: the errors name every seed", async () => {
  const error = await assertRejects(() => connect(single.url, { cluster: true }), StreamerError);
  assertEquals(error.code, "CONNECT");
  assertStringIncludes(error.message, "not part of a cluster");
  const dead = ["redis://127.0.0.1:1", "redis://127.0.0.1:2"];
  const none = await assertRejects(() => connect(dead), StreamerError);
  assertEquals(none.code, "CONNECT");
  for (const address of ["127.0.0.1:1", "127.0.0.1:2"]) assertStringIncludes(none.message, address);
}, options);

test("with cluster: false one node is used, and redirects reject", async () => {
  await using cluster = await startCluster();
  await using streamer = await connect(cluster.url, { cluster: false, timeout: 1_000 });
  assertEquals(streamer.stats().nodes.length, 1);
  const manager = await streamer.createManager();
  const foreign = Array.from({ length: 20 }, (_, i) => manager.length(`k${i}`));
  const outcomes = await Promise.allSettled(foreign);
  const refused = outcomes.flatMap((one) => one.status === "rejected" ? [one.reason] : []);
  assert(refused.length > 0);
  for (const error of refused) assert(error instanceof RedisError && error.code === "MOVED", String(error));
}, options);

test("a slot that moves is followed, and told once", async () => {
  await using cluster = await startCluster();
  await using streamer = await connect(cluster.url);
  const moved: unknown[] = [];
  streamer.addEventListener("moved", ({ detail }) => moved.push(detail));
  const key = uniqueKey();
  const producer = await streamer.createProducer(key);
  const slot = slotOfKey(key);
  await producer.send("1");
  const from = await cluster.ownerOf(slot);
  const to = cluster.nodes.find((node) => node !== from);
  assert(to !== undefined);
  await cluster.moveSlot(slot, to);
  await producer.send("2");
  const manager = await streamer.createManager();
  assertEquals(await manager.length(key), 2);
  await until(() => moved.length === 1);
  assertEquals(moved, [{ slots: [[slot, slot]], from: hostOf(from.url), to: hostOf(to.url) }]);
}, options);

function hostOf(url: string): string {
  return url.replace("redis://", "");
}
