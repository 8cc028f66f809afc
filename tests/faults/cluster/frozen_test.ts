// Tests a primary that is suspended until its replica has taken its place, and then goes on as if it still were the primary.

import { assert, assertEquals } from "@std/assert";
import { setTimeout as sleep } from "node:timers/promises";
import { slotOfKey } from "../../../streamer/cluster/topology/slot.ts";
import { election } from "../../support/load/election.ts";
import { notInFlight, resumedAfter } from "../../support/load/outcome.ts";
import { Scene } from "../../support/load/scene.ts";
import { judge } from "../../support/load/verdict.ts";
import { test } from "../../support/runner.ts";
import { canStartServers } from "../../support/servers/server.ts";

const options = { ignore: !await canStartServers(), timeout: 120_000 };

for (const delivery of ["at-least-once", "at-most-once"] as const) {
  test(`a primary is suspended past the election (${delivery}): only its shards wait, until the election`, async () => {
    await using scene = await Scene.start({
      // Otherwise the other primaries refuse messages until the election.
      cluster: { replicas: 1, args: ["--cluster-require-full-coverage", "no"] },
      producer: { delivery },
    });
    const { cluster, load } = scene;
    const [victim] = cluster.primaries;
    const replicas = await cluster.replicasOf(victim);
    const mine = await scene.shardsAt(victim);
    const others = load.keys.map((_, shard) => shard).filter((shard) => !mine.includes(shard));
    await cluster.inStep(victim).catch(() => {}); // while messages come, that is a matter of luck
    const { from } = await load.during(() => victim.freeze());
    const { at } = await election(replicas);
    await load.flowing();
    const span = { from, to: performance.now() };
    await victim.continue();
    await cluster.untilOk(); // it is a replica now
    await load.flowing();
    const outcome = await scene.finish();
    const inFlight = (payload: string) => notInFlight([payload], load, [span]).length === 0;
    judge(`a primary is suspended (${delivery})`, outcome, [
      { what: "its shards resumed after the election", time: Math.max(...resumedAfter(load, at, mine)), mark: 1_000 },
      { what: "longest gap of the others", time: Math.max(...others.map((shard) => outcome.gaps[shard])), mark: 500 },
    ], {
      mayRepeat: (payload) => delivery === "at-least-once" && inFlight(payload),
      mayFail: (error, payload) => delivery === "at-most-once" && error === "AMBIGUOUS unknown" && inFlight(payload),
    });
    for (const shard of mine) assert((await cluster.ownerOf(slotOfKey(load.keys[shard]))) !== victim);
  }, options);
}

test(
  "a primary is suspended for a moment: its shards wait, nothing is sent twice, and no connection is closed",
  async () => {
    await using scene = await Scene.start({ cluster: { replicas: 1, nodeTimeout: 15_000 } });
    const { cluster, load } = scene;
    const [victim] = cluster.primaries;
    const mine = await scene.shardsAt(victim);
    await victim.freeze();
    await sleep(4_000);
    await victim.continue();
    await load.flowing();
    const outcome = await scene.finish();
    const others = load.keys.map((_, shard) => shard).filter((shard) => !mine.includes(shard));
    judge("a primary is suspended for four seconds", outcome, [
      { what: "longest gap of the others", time: Math.max(...others.map((shard) => outcome.gaps[shard])), mark: 500 },
    ]);
    assertEquals(scene.ofType("disconnect"), []);
    assertEquals(scene.producer.stats().resent, 0);
  },
  options,
);
