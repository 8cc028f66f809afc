// Tests slots that move while the connections of their messages are cut at any byte.

import { assert } from "@std/assert";
import { slotOfKey } from "../../../streamer/cluster/topology/slot.ts";
import type { Span } from "../../support/load/load.ts";
import { notInFlight } from "../../support/load/outcome.ts";
import { Scene } from "../../support/load/scene.ts";
import { judge } from "../../support/load/verdict.ts";
import { freshSeed, Random } from "../../support/resp/drive.ts";
import { test } from "../../support/runner.ts";
import { canStartServers } from "../../support/servers/server.ts";

const options = { ignore: !await canStartServers(), timeout: 120_000 };
const seed = freshSeed();

/** Milliseconds of load. */
const LONG = 8_000;
/** Bytes until a cut, at most: what a node gets within about a tenth of a second. */
const MOST = 8_000;

for (const delivery of ["at-least-once", "at-most-once"] as const) {
  test(`slots move while connections are cut at any byte (${delivery}, seed ${seed})`, async () => {
    const random = new Random(seed);
    await using scene = await Scene.start({ proxies: true, producer: { delivery } });
    const { cluster, cluster: { nodes }, load, proxies } = scene;
    const spans: Span[] = [];
    const began = performance.now();
    let moves = 0;
    for (; performance.now() - began < LONG; moves++) {
      const slot = slotOfKey(random.of(load.keys));
      const from = await cluster.ownerOf(slot);
      const to = nodes[(nodes.indexOf(from) + 1 + random.below(nodes.length - 1)) % nodes.length];
      const proxy = proxies[nodes.indexOf(random.of([from, to]))];
      const direction = random.of([proxy.toServer, proxy.toClient]);
      spans.push(
        await load.during(async () => {
          direction.cutAfter(1 + random.below(MOST));
          await cluster.moveSlot(slot, to, { askWindow: random.of([0, 20, 80]) });
          await load.flowing();
          direction.cutAfter(Infinity);
        }),
      );
    }
    const outcome = await scene.finish();
    const inFlight = (payload: string) => notInFlight([payload], load, spans).length === 0;
    const cuts = scene.ofType("disconnect").length;
    judge(`${moves} moves and ${cuts} cuts (${delivery}, seed ${seed})`, outcome, [], {
      mayRepeat: (payload) => delivery === "at-least-once" && inFlight(payload),
      mayFail: (error, payload) => delivery === "at-most-once" && error === "AMBIGUOUS unknown" && inFlight(payload),
    });
    assert(cuts > moves / 10, `${cuts} cuts`);
  }, options);
}
