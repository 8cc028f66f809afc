// The longest gap between two receipts of a shard while slots move and primaries are replaced.

import type { Outcome } from "../../tests/support/load/outcome.ts";
import { Scene } from "../../tests/support/load/scene.ts";
import { slotOfKey } from "../../streamer/cluster/topology/slot.ts";
import { fixed } from "../table.ts";
import type { Place, Table } from "./place.ts";

/** Slots that are moved. */
const MOVED = 6;

/** The table of each change. */
export async function changesTable({ report }: Pick<Place, "report">): Promise<Table> {
  const rows = [["", "longest gap ms", "≤ mark", "sent", "lost", "twice", "out of order", "rejected"]];
  const add = (name: string, mark: string, outcome: Outcome) => {
    const { gap, sent, lost, repeated, disordered, rejected } = outcome;
    const counts = [sent, lost.length, repeated.length, disordered.length, [...rejected.values()].flat().length];
    rows.push([name, fixed(gap, 0), mark, ...counts.map(String)]);
    report(`${name}: ${fixed(gap, 0)} ms`);
  };
  add(`${MOVED} slots move, one after the other`, "500", await moved());
  add("a graceful failover", "2000", await failedOver());
  add("a primary is killed (cluster-node-timeout 2 s)", "", await killed());
  return { title: "Changes: 2,000 messages a second to 12 shards on three nodes, and receipts of each shard", rows };
}

async function moved(): Promise<Outcome> {
  await using scene = await Scene.start();
  const { cluster, load } = scene;
  for (const key of load.keys.slice(0, MOVED)) {
    const slot = slotOfKey(key);
    const at = cluster.primaries.indexOf(await cluster.ownerOf(slot));
    await cluster.moveSlot(slot, cluster.primaries[(at + 1) % cluster.primaries.length], { askWindow: 100 });
    await load.flowing();
  }
  return await scene.finish();
}

async function failedOver(): Promise<Outcome> {
  await using scene = await Scene.start({ cluster: { replicas: 1 } });
  const { cluster, load } = scene;
  const [primary] = cluster.primaries;
  const [replica] = await cluster.replicasOf(primary);
  await cluster.failOver(replica);
  await load.flowing();
  return await scene.finish();
}

async function killed(): Promise<Outcome> {
  await using scene = await Scene.start({ cluster: { replicas: 1 } });
  const { cluster, load } = scene;
  const [victim] = cluster.primaries;
  await cluster.kill(victim);
  await cluster.untilElected(victim);
  await load.flowing();
  return await scene.finish();
}
