// Tests real-time consumers after a failover that has lost the last entries of streams: they go back to the last entry that is there, skip
// nothing, and do not read the whole stream again.

import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import type { OnStreamReset, RedisStreamer } from "../../../mod.ts";
import { eventsOf } from "../../support/consumer/grouping.ts";
import { connectAs } from "../../support/consumer/watching.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { Got } from "../../support/routing/got.ts";
import { test } from "../../support/runner.ts";
import { type Cluster, type ClusterNode, startCluster } from "../../support/servers/cluster.ts";
import { startSentinels } from "../../support/servers/sentinel.ts";
import type { OwnServer } from "../../support/servers/server.ts";
import { slotOfKey } from "../../../streamer/cluster/topology/slot.ts";

/** A cluster of which a primary can be lost with its latest entries. */
async function fragileCluster(): Promise<Cluster> {
  const args = ["--cluster-replica-validity-factor", "0"]; // a replica is elected, however old its data are
  return await startCluster({ replicas: 1, nodeTimeout: 1_000, args });
}

/** The replica hears nothing of its primary any more; what is added from now on is lost with the primary. */
async function forsake(cluster: Cluster, primary: ClusterNode): Promise<ClusterNode> {
  const [replica] = await cluster.replicasOf(primary);
  await cluster.inStep(primary);
  await replica.freeze();
  await primary.command("CLIENT", "KILL", "TYPE", "replica");
  return replica;
}

/** The primary is lost, and its replica takes its place. A frozen one comes back as a replica, which redirects. */
async function replace(
  cluster: Cluster,
  primary: ClusterNode,
  replica: ClusterNode,
  how: "killed" | "frozen" = "killed",
) {
  if (how === "killed") await cluster.kill(primary);
  else await primary.freeze();
  await replica.continue();
  assertEquals(await cluster.untilElected(primary), replica);
  if (how === "frozen") {
    await primary.continue();
    await cluster.untilOk(); // until it knows that it is a replica, it takes entries that are lost then
  }
}

/** Numbered entries `<shard>:<number>` in shards that all lie at one node. */
class AtOneNode {
  readonly streamKey = uniqueKey();
  readonly shards: number[] = [];
  readonly counts = new Map<number, number>();
  readonly #cluster: Cluster;

  private constructor(cluster: Cluster) {
    this.#cluster = cluster;
  }

  static async at(cluster: Cluster, node: ClusterNode, shards: number): Promise<AtOneNode> {
    const stream = new AtOneNode(cluster);
    for (let shard = 0; stream.shards.length < shards; shard++) {
      const owner = await cluster.ownerOf(slotOfKey(`${stream.streamKey}:${shard}`));
      if (owner === node) stream.shards.push(shard);
    }
    return stream;
  }

  /** Adds entries; gives their payloads. `times` are their ids, in place of those of the server. */
  async add(count: number, times?: (number: number) => string): Promise<string[]> {
    const added: string[] = [];
    for (const shard of this.shards) {
      const first = this.counts.get(shard) ?? 0;
      for (let number = first; number < first + count; number++) {
        const payload = `${shard}:${number}`;
        await this.#cluster.command("XADD", `${this.streamKey}:${shard}`, times?.(number) ?? "*", "msg", payload);
        added.push(payload);
      }
      this.counts.set(shard, first + count);
    }
    return added;
  }
}

interface Scene {
  readonly cluster: Cluster;
  readonly primary: ClusterNode;
  readonly stream: AtOneNode;
  readonly streamer: RedisStreamer;
  readonly got: Got;
}

async function reading(cluster: Cluster, shards: number, onStreamReset: OnStreamReset): Promise<Scene> {
  const [primary] = cluster.primaries;
  const stream = await AtOneNode.at(cluster, primary, shards);
  await stream.add(20);
  const streamer = await connectAs(stream.streamKey, cluster.nodes[2].url, { timeout: 2_000 });
  const got = new Got();
  const options = { mode: "real-time", autoStreamReset: "earliest", onStreamReset, shards: stream.shards } as const;
  got.take(await streamer.createConsumer(stream.streamKey, options));
  await got.until(20 * shards);
  return { cluster, primary, stream, streamer, got };
}

const WAYS = [
  { reads: "a blocked read", shards: 1, how: "killed" },
  { reads: "watching", shards: 5, how: "killed" },
  { reads: "a blocked read", shards: 1, how: "frozen" },
  { reads: "watching", shards: 5, how: "frozen" },
] as const;

for (const { reads, shards, how } of WAYS) {
  test(
    `a lost tail is gone back behind, and new entries with lower ids are not skipped (${reads}, ${how})`,
    async () => {
      await using cluster = await fragileCluster();
      const { primary, stream, streamer, got } = await reading(cluster, shards, "fail");
      await using _ = streamer;
      const resets = eventsOf(streamer, "stream-reset");
      const replica = await forsake(cluster, primary);
      const ahead = Date.now() + 3_600_000; // of the clock of the next primary
      const lost = await stream.add(3, (number) => `${ahead}-${number}`);
      await got.until(23 * shards);
      await replace(cluster, primary, replica, how);
      const added = await stream.add(2);
      await until(() => added.every((payload) => got.all.has(payload)), { timeout: 20_000 });
      assertEquals(resets.length, shards);
      for (const shard of stream.shards) {
        const all = got.payloads[shard];
        assertEquals(all.slice(0, 23), Array.from({ length: 23 }, (_, number) => `${shard}:${number}`));
        const again = all.slice(23, -2);
        assertLessOrEqual(again.length, 3, "at most as many as were lost come twice");
        assert(again.every((payload) => !lost.includes(payload)));
        assertEquals(all.slice(-2), [`${shard}:23`, `${shard}:24`]);
      }
    },
    { timeout: 90_000 },
  );
}

test("a failover that has lost nothing is not noticed", async () => {
  await using cluster = await fragileCluster();
  const { primary, stream, streamer, got } = await reading(cluster, 5, "fail");
  await using _ = streamer;
  const resets = eventsOf(streamer, "stream-reset");
  await cluster.inStep(primary);
  const [replica] = await cluster.replicasOf(primary);
  await cluster.kill(primary);
  assertEquals(await cluster.untilElected(primary), replica);
  await stream.add(5);
  await got.until(25 * 5);
  for (const shard of stream.shards) {
    assertEquals(got.payloads[shard], Array.from({ length: 25 }, (_, number) => `${shard}:${number}`));
  }
  assertEquals(resets, []);
}, { timeout: 90_000 });

test("if all that was read was lost, the policy decides", async () => {
  await using cluster = await fragileCluster();
  const [primary] = cluster.primaries;
  const stream = await AtOneNode.at(cluster, primary, 2);
  await stream.add(1);
  await using streamer = await connectAs(stream.streamKey, cluster.nodes[2].url, { timeout: 2_000 });
  const resets = eventsOf(streamer, "stream-reset");
  const replica = await forsake(cluster, primary);
  const ahead = Date.now() + 3_600_000;
  const options = { mode: "real-time", autoStreamReset: "latest", shards: stream.shards } as const;
  for (const shard of stream.shards) { // what a consumer has found at the end is lost, too
    await primary.command("XADD", `${stream.streamKey}:${shard}`, `${ahead}-0`, "msg", "lost");
  }
  const got = new Got();
  got.take(await streamer.createConsumer(stream.streamKey, options));
  await stream.add(2, (number) => `${ahead}-${number}`);
  await got.until(4);
  await replace(cluster, primary, replica);
  const added = await stream.add(1);
  await until(() => added.every((payload) => got.all.has(payload)), { timeout: 20_000 });
  assertEquals(resets.map(({ position }) => position), ["0-0", "0-0"]);
}, { timeout: 90_000 });

test("a lost tail is gone back behind when Sentinel has promoted a replica, too", async () => {
  await using set = await startSentinels({ downAfter: 1_500 });
  const { primary, replica } = set;
  const key = uniqueKey();
  const add = async (server: OwnServer, first: number, count: number, ahead?: number) => {
    for (let number = first; number < first + count; number++) {
      await server.command("XADD", key, ahead === undefined ? "*" : `${ahead}-${number}`, "msg", `0:${number}`);
    }
  };
  await add(primary, 0, 20);
  await set.inStep();
  await using streamer = await connectAs(key, set.url, { timeout: 2_000 });
  const resets = eventsOf(streamer, "stream-reset");
  const got = new Got();
  const options = { mode: "real-time", autoStreamReset: "earliest", onStreamReset: "fail" } as const;
  got.take(await streamer.createConsumer(key, options));
  await got.until(20);
  await replica.kill("SIGSTOP");
  await primary.command("CLIENT", "KILL", "TYPE", "replica");
  await add(primary, 20, 3, Date.now() + 3_600_000);
  await got.until(23);
  await set.killPrimary();
  await replica.kill("SIGCONT");
  const promoted = await set.untilSwitched();
  await add(promoted, 23, 2);
  await until(() => got.all.has("0:23") && got.all.has("0:24"), { timeout: 20_000 });
  assertEquals([resets.length, got.payloads[0].slice(-2)], [1, ["0:23", "0:24"]]);
  assertLessOrEqual(got.count, 25 + 3, "at most as many as were lost come twice");
}, { timeout: 90_000 });

test("a migration is not taken for a failover", async () => {
  await using cluster = await startCluster();
  const [primary, other] = cluster.primaries;
  const stream = await AtOneNode.at(cluster, primary, 3);
  await stream.add(20);
  await using streamer = await connectAs(stream.streamKey, cluster.url);
  const resets = eventsOf(streamer, "stream-reset");
  const got = new Got();
  const options = {
    mode: "real-time",
    autoStreamReset: "earliest",
    onStreamReset: "fail",
    shards: stream.shards,
  } as const;
  got.take(await streamer.createConsumer(stream.streamKey, options));
  await got.until(60);
  for (const shard of stream.shards) {
    const key = `${stream.streamKey}:${shard}`;
    const entries = await cluster.command("XREVRANGE", key, "+", "-", "COUNT", 3);
    for (const entry of Array.isArray(entries) ? entries : []) {
      await cluster.command("XDEL", key, String(Array.isArray(entry) ? entry[0] : ""));
    }
    await cluster.moveSlot(slotOfKey(key), other);
  }
  await stream.add(2);
  await got.until(66);
  for (const shard of stream.shards) {
    assertEquals(got.payloads[shard], Array.from({ length: 22 }, (_, number) => `${shard}:${number}`));
  }
  assertEquals(resets, []);
}, { timeout: 60_000 });
