// Tests that messages follow slots that move to and fro under load: none is lost, repeated, out of order or rejected.

import { assert, assertEquals } from "@std/assert";
import { slotOfKey } from "../../../streamer/cluster/topology/slot.ts";
import { until } from "../../support/events.ts";
import { Scene } from "../../support/load/scene.ts";
import { judge } from "../../support/load/verdict.ts";
import { test } from "../../support/runner.ts";
import type { ClusterNode } from "../../support/servers/cluster.ts";
import { canStartServers } from "../../support/servers/server.ts";

const options = { ignore: !await canStartServers(), timeout: 120_000 };

/** Milliseconds of load. */
const LONG = 8_000;

/** Moves the slots of all shards in turn, each to the next node. Returns the number of moves. */
async function moveOften(scene: Scene, move: (slot: number, to: ClusterNode) => Promise<unknown>): Promise<number> {
  const { cluster: { nodes }, cluster, load } = scene;
  const began = performance.now();
  let moves = 0;
  for (; performance.now() - began < LONG; moves++) {
    const slot = slotOfKey(load.keys[moves % load.keys.length]);
    const from = nodes.indexOf(await cluster.ownerOf(slot));
    await move(slot, nodes[(from + 1) % nodes.length]);
  }
  return moves;
}

for (const [what, askWindow] of [["an ASK window of 100 ms", 100], ["no ASK window", 0]] as const) {
  test(`slots move key by key under 2,000 messages a second, with ${what}`, async () => {
    await using scene = await Scene.start();
    const moves = await moveOften(scene, (slot, to) => scene.cluster.moveSlot(slot, to, { askWindow }));
    const outcome = await scene.finish();
    const timing = { what: "longest gap", time: outcome.gap, mark: 500 };
    judge(`${moves} moves with ${what}`, outcome, [timing]);
    assert(moves >= 20, `${moves} moves`);
  }, options);
}

test("slots move in one step under 2,000 messages a second, where the server can do that", async () => {
  await using scene = await Scene.start();
  const { cluster, load } = scene;
  const slot = slotOfKey(load.keys[0]);
  const from = await cluster.ownerOf(slot);
  const other = cluster.nodes.find((node) => node !== from);
  assert(other !== undefined);
  if (!await cluster.moveSlotsAtomically(slot, slot, other)) return;
  const moves = await moveOften(scene, (slot, to) => cluster.moveSlotsAtomically(slot, slot, to));
  const outcome = await scene.finish();
  judge(`${moves} atomic moves`, outcome, [{ what: "longest gap", time: outcome.gap, mark: 500 }]);
  assertEquals(scene.ofType("fence-unavailable"), []);
}, options);

test(
  "after a move with an ASK window the owner is known soon: it is told, and no ASKING is sent any more",
  async () => {
    await using scene = await Scene.start({ load: { shards: 3, rate: 300 } });
    const { cluster, load } = scene;
    const slot = slotOfKey(load.keys[0]);
    const from = await cluster.ownerOf(slot);
    const to = cluster.nodes[(cluster.nodes.indexOf(from) + 1) % cluster.nodes.length];
    const asked = async () =>
      Number(/cmdstat_asking:calls=(\d+)/.exec(String(await to.command("INFO", "commandstats")))?.[1] ?? 0);
    await cluster.moveSlot(slot, to, { askWindow: () => load.flowing([0]) });
    await until(() => scene.ofType("moved").length > 0, { timeout: 60_000, what: "the move is told" });
    const moves = scene.ofType("moved").map(({ detail }) => detail);
    assertEquals(moves, [{ slots: [[slot, slot]], from: from.name, to: to.name }]);
    assert(await asked() > 0);
    await load.flowing([0]); // messages that were written before are answered
    const before = await asked();
    await load.flowing([0]);
    assertEquals(await asked(), before);
    judge("one move that is told", await scene.finish(), []);
  },
  options,
);
