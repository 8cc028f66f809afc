// Tests slots in unusual states: moves that are cancelled, refusals of one slot, nodes without slots.

import { assert, assertEquals } from "@std/assert";
import { connect } from "../../../mod.ts";
import { slotOfKey } from "../../../streamer/cluster/topology/slot.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { Scene } from "../../support/load/scene.ts";
import { judge } from "../../support/load/verdict.ts";
import { startFilterServer } from "../../support/network/filter_server.ts";
import { test } from "../../support/runner.ts";
import { startCluster } from "../../support/servers/cluster.ts";
import { parseEntries } from "../../support/producer/stream_checks.ts";
import { canStartServers } from "../../support/servers/server.ts";

const options = { ignore: !await canStartServers(), timeout: 120_000 };

test("a move that is cancelled takes its messages back", async () => {
  await using scene = await Scene.start();
  const { cluster, load } = scene;
  for (let round = 0; round < 5; round++) {
    const shard = round % load.keys.length;
    const key = load.keys[shard];
    const slot = slotOfKey(key);
    const from = await cluster.ownerOf(slot);
    const to = cluster.nodes[(cluster.nodes.indexOf(from) + 1) % cluster.nodes.length];
    await to.command("CLUSTER", "SETSLOT", slot, "IMPORTING", from.id);
    await from.command("CLUSTER", "SETSLOT", slot, "MIGRATING", to.id);
    await from.command("MIGRATE", to.server.host, to.port, key, 0, 10_000);
    await load.flowing([shard]); // by ASK
    await from.command("CLUSTER", "SETSLOT", slot, "STABLE"); // or it would answer MIGRATE with ASK
    // In one write, so that no message arrives in between, for which the importing node would create the stream again.
    const replies = await to.server.commands([
      ["MIGRATE", from.server.host, from.port, key, 0, 10_000],
      ["CLUSTER", "SETSLOT", slot, "STABLE"],
    ]);
    assertEquals(replies, ["OK", "OK"]);
    await load.flowing([shard]);
    assertEquals(await cluster.ownerOf(slot), from);
  }
  judge("5 moves that are cancelled", await scene.finish(), []);
}, options);

test(
  "a new key whose slot is being moved is created at the importing node, also if the move is cancelled before it",
  async () => {
    await using cluster = await startCluster();
    await using streamer = await connect(cluster.url);
    const producer = await streamer.createGenericProducer();
    const keys = [uniqueKey(), uniqueKey()];
    for (const [i, key] of keys.entries()) {
      const slot = slotOfKey(key);
      const from = await cluster.ownerOf(slot);
      const to = cluster.nodes[(cluster.nodes.indexOf(from) + 1) % cluster.nodes.length];
      await to.command("CLUSTER", "SETSLOT", slot, "IMPORTING", from.id);
      await from.command("CLUSTER", "SETSLOT", slot, "MIGRATING", to.id);
      if (i === 1) { for (const node of [to, from]) await node.command("CLUSTER", "SETSLOT", slot, "STABLE"); }
      await Promise.all(Array.from({ length: 20 }, (_, number) => producer.sendTo(key, `${number}`)));
      const place = i === 0 ? to : from;
      const [, entries] = await place.server.commands([["ASKING"], ["XRANGE", key, "-", "+"]]);
      assertEquals(parseEntries(entries).map(({ payload }) => payload), Array.from({ length: 20 }, (_, n) => `${n}`));
    }
    assertEquals(producer.stats().failed, 0);
  },
  options,
);

test("TRYAGAIN holds back one key: one message asks at a time, and all are stored in order, once", async () => {
  await using cluster = await startCluster();
  const key = uniqueKey();
  const node = await cluster.ownerOf(slotOfKey(key));
  let refusals = 0;
  let isTrying = true;
  const refusing = await startFilterServer(() => node.server.address, (words) => {
    if (words[0] !== "XADD" || words[1] !== key || !isTrying) return "pass";
    refusals++;
    return { answer: "-TRYAGAIN Multiple keys request during rehashing of slot\r\n" };
  });
  const mapNode = (hostname: string, port: number) => ({ hostname, port: port === node.port ? refusing.port : port });
  {
    await using streamer = await connect(cluster.url, { mapNode });
    const producer = await streamer.createGenericProducer();
    const receipts = Array.from({ length: 50 }, (_, i) => producer.sendTo(key, `${i}`));
    await until(() => refusals >= 55);
    for (let i = 50; i < 100; i++) receipts.push(producer.sendTo(key, `${i}`));
    await Promise.all(Array.from({ length: 50 }, (_, i) => producer.sendTo(uniqueKey(), `${i}`).then()));
    await until(() => refusals >= 60);
    isTrying = false;
    await Promise.all(receipts.map((receipt) => receipt.then()));
    const entries = parseEntries(await cluster.command("XRANGE", key, "-", "+"));
    assertEquals(entries.map(({ payload }) => payload), Array.from({ length: 100 }, (_, i) => `${i}`));
    assert(refusals < 70, `${refusals} messages were refused`); // 50 at first, and then one after another
  }
  await refusing.stop();
}, options);

test("all connections to a node that owns no slots any more are closed", async () => {
  await using cluster = await startCluster({ replicas: 1 });
  await using streamer = await connect(cluster.url, { clientName: "mover" });
  const producer = await streamer.createGenericProducer();
  const keys = Array.from({ length: 30 }, () => uniqueKey());
  await Promise.all(keys.map((key) => producer.sendTo(key, "1").then()));
  const [primary] = cluster.primaries;
  const [replica] = await cluster.replicasOf(primary);
  const connectionsTo = async () => String(await primary.command("CLIENT", "LIST")).match(/ name=mover /g)?.length ?? 0;
  assert(await connectionsTo() > 0);
  await cluster.failOver(replica);
  await Promise.all(keys.map((key) => producer.sendTo(key, "2").then()));
  await until(async () => await connectionsTo() === 0, { what: "no connection is left" });
  assertEquals(streamer.stats().nodes.map(({ name }) => name).includes(primary.name), false);
}, options);
