// Tests connections that stall with messages on their way, which arrive only after the slots have gone elsewhere.

import { assertEquals } from "@std/assert";
import { setTimeout as sleep } from "node:timers/promises";
import { slotOfKey } from "../../../streamer/cluster/topology/slot.ts";
import { until } from "../../support/events.ts";
import { notInFlight } from "../../support/load/outcome.ts";
import { Scene } from "../../support/load/scene.ts";
import { judge } from "../../support/load/verdict.ts";
import { test } from "../../support/runner.ts";
import { canStartServers } from "../../support/servers/server.ts";

const options = { ignore: !await canStartServers(), timeout: 120_000 };

test(
  "messages whose slot has another owner are sent there at once, without the lost connection being killed",
  async () => {
    await using scene = await Scene.start({ proxies: true });
    const { cluster, cluster: { nodes }, load, proxies, streamer } = scene;
    const slot = slotOfKey(load.keys[0]);
    const from = await cluster.ownerOf(slot);
    const to = nodes[(nodes.indexOf(from) + 1) % nodes.length];
    const proxy = proxies[nodes.indexOf(from)];
    const mine = await scene.shardsAt(from);
    const others = load.keys.map((_, shard) => shard).filter((shard) => !mine.includes(shard));
    const { from: began } = await load.during(async () => {
      proxy.toServer.hold({ swallow: true }); // messages in flight do not reach the node, which outlive their connection
      await sleep(200);
    });
    await cluster.moveSlot(slot, to);
    const manager = await streamer.createManager();
    const length = manager.length(load.keys[0]); // waits at the old owner, too
    length.catch(() => {});
    proxy.refuse();
    await proxy.cutClients();
    await load.flowing([0, ...others]);
    const waiting = mine.find((shard) => shard !== 0);
    if (waiting !== undefined) assertEquals(load.sent[waiting].at(-1)?.settledAt, undefined);
    proxy.toServer.release(); // what arrives now is redirected, and its replies go nowhere
    proxy.refuse(false);
    await load.flowing();
    const span = { from: began, to: performance.now() };
    const outcome = await scene.finish();
    judge("messages of a lost connection go to the new owner", outcome, [], {
      mayRepeat: (payload) => notInFlight([payload], load, [span]).length === 0,
    });
    assertEquals(outcome.repeated.filter((payload) => payload.startsWith("0:")), []);
  },
  options,
);

test(
  "messages that arrive at an old primary when it is the primary again are dropped: their connection was killed",
  async () => {
    await using scene = await Scene.start({ cluster: { replicas: 1 }, proxies: true });
    const { cluster, load, proxies, streamer } = scene;
    const [primary] = cluster.primaries;
    const [replica] = await cluster.replicasOf(primary);
    const proxy = proxies[cluster.nodes.indexOf(primary)];
    const span = await load.during(async () => {
      proxy.toServer.hold({ swallow: true });
      await until(() => scene.producer.stats().inFlight > 50);
      proxy.refuse();
      await proxy.cutClients();
    });
    await cluster.failOver(replica);
    await load.flowing();
    await until(() => streamer.stats().nodes.every(({ name }) => name !== primary.name));
    scene.bypassed.add(primary.port);
    await cluster.failOver(primary);
    await load.flowing();
    proxy.toServer.release();
    await sleep(300);
    // Messages whose replies were lost are sent again, in order. Messages that arrive late would be out of order.
    judge("messages arrive after two failovers", await scene.finish(), [], {
      mayRepeat: (payload) => notInFlight([payload], load, [span]).length === 0,
    });
    assertEquals(scene.ofType("fence-unavailable"), []);
  },
  options,
);
