// Tests that a producer with ids of its own stores each message once in a cluster: while slots move, with ASK, and across failovers.

import { assert, assertEquals } from "@std/assert";
import { slotOfKey } from "../../../streamer/cluster/topology/slot.ts";
import { election } from "../../support/load/election.ts";
import { Scene } from "../../support/load/scene.ts";
import { judge } from "../../support/load/verdict.ts";
import { SINGLE_WRITER } from "../../support/producer/single_writer.ts";
import { test } from "../../support/runner.ts";
import { canStartServers } from "../../support/servers/server.ts";

const options = { ignore: !await canStartServers(), timeout: 60_000 };

/** A message that a node refuses for the time being, and that a later one overtakes, cannot keep its place. */
const claims = { mayFail: (error: string) => error === "CLUSTERDOWN not-written" };

/** Moves the slots of the shards in turn, each to the next node, for so many milliseconds. Returns the number of moves. */
async function moveOften({ cluster, load }: Scene, time: number): Promise<number> {
  const { nodes } = cluster;
  const began = performance.now();
  let moves = 0;
  for (; performance.now() - began < time; moves++) {
    const slot = slotOfKey(load.keys[moves % load.keys.length]);
    const from = nodes.indexOf(await cluster.ownerOf(slot));
    await cluster.moveSlot(slot, nodes[(from + 1) % nodes.length], { askWindow: 100 });
  }
  return moves;
}

test("slots move, with an ASK window of 100 ms: each message is stored once", async () => {
  await using scene = await Scene.start({ producer: SINGLE_WRITER });
  const moves = await moveOften(scene, 4_000);
  judge(`exactly once: ${moves} moves`, await scene.finish(), [], claims);
  assert(moves >= 10, `${moves} moves`);
  assertEquals(scene.producer.stats().conflicts, 0);
}, options);

test("slots move while connections are reset: each message is stored once", async () => {
  await using scene = await Scene.start({ producer: SINGLE_WRITER, proxies: true });
  let cuts = 0;
  const timer = setInterval(() => scene.proxies[cuts++ % scene.proxies.length].cut(), 150);
  const moves = await moveOften(scene, 4_000).finally(() => clearInterval(timer));
  judge(`exactly once: ${moves} moves, ${cuts} resets`, await scene.finish(), [], claims);
  assertEquals(scene.producer.stats().conflicts, 0);
}, options);

test("three graceful failovers: each message is stored once", async () => {
  await using scene = await Scene.start({ producer: SINGLE_WRITER, cluster: { replicas: 1 } });
  const { cluster, load } = scene;
  for (let i = 0; i < 3; i++) {
    const [replica] = await cluster.replicasOf(cluster.primaries[0]);
    await cluster.failOver(replica);
    await load.flowing();
  }
  judge("exactly once: three graceful failovers", await scene.finish(), [], claims);
}, options);

test("a killed primary, whose replica is up to date: each message is stored once", async () => {
  await using scene = await Scene.start({ producer: SINGLE_WRITER, cluster: { replicas: 1 } });
  const { cluster, load } = scene;
  const [victim] = cluster.primaries;
  const replicas = await cluster.replicasOf(victim);
  await cluster.kill(victim);
  await election(replicas);
  await load.flowing();
  judge("exactly once: a killed primary", await scene.finish(), [], claims);
}, options);
