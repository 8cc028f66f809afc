// Tests that the manager's methods cover the shards of all nodes of a real cluster, while slots move and primaries fail.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { connect, type Manager, type Message, RedisError, StreamerError } from "../../../mod.ts";
import { slotOfKey } from "../../../streamer/cluster/topology/slot.ts";
import { nextEvent } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { test } from "../../support/runner.ts";
import { type Cluster, startCluster } from "../../support/servers/cluster.ts";
import { addStreams, SlotMill } from "../../support/servers/cluster_keys.ts";
import { canStartServers } from "../../support/servers/server.ts";

const options = { ignore: !await canStartServers(), timeout: 120_000 };
const SHARDS = 12;
const sharded = true;

const shardsOf = (key: string) => Array.from({ length: SHARDS }, (_, shard) => `${key}:${shard}`);

/** A stream of 12 shards over all nodes, with 10 entries in each, and ids that are the same in all of them. */
async function addShards(cluster: Cluster, key: string): Promise<void> {
  await addStreams(cluster, shardsOf(key), Array.from({ length: 10 }, (_, i) => [`${i + 1}-0`, "msg", `${i}`]));
}

const positions = (messages: readonly Message[]) => messages.map(({ id, shardId }) => `${id} ${shardId}`);

/** All methods for a stream, one after another, with their results. The stream is deleted by the end. */
async function everything(manager: Manager, key: string): Promise<unknown[]> {
  const results: unknown[] = [];
  await manager.createGroup(key, "g", "beginning", { sharded });
  results.push(await manager.length(key, { sharded }));
  results.push(positions(await manager.range(key, "3-0", "+", { sharded, count: 20 })));
  results.push(positions(await manager.range(key, "-", "+", { sharded, count: 3, reverse: true })));
  const all: Message[] = [];
  for await (const message of manager.rangeAll(key, "-", "9-0", { sharded, pageSize: 4 })) all.push(message);
  results.push(positions(all));
  const info = await manager.info(key, { sharded });
  results.push([
    info.length,
    info.firstId,
    info.lastId,
    info.groups.map(({ name, lag, pending }) => [name, lag, pending]),
  ]);
  await manager.setGroupPosition(key, "g", "5-0", { sharded });
  results.push(await manager.trim(key, { acknowledged: true, exact: true, sharded }));
  results.push(await manager.delete(key, ["6-0", "8-0", "9-9"], { sharded }));
  results.push((await manager.info(key, { shardId: 3 })).firstId);
  results.push(await manager.deleteConsumer(key, "g", "nobody", { sharded }));
  results.push(await manager.deleteGroup(key, "g", { sharded }), await manager.deleteGroup(key, "g", { sharded }));
  results.push(await manager.deleteStream(key, { sharded }), await manager.deleteStream(key, { sharded }));
  return results;
}

/** The order of ids and, for the same id, of shards. */
function merged(first: number, last: number): string[] {
  return Array.from({ length: (last - first + 1) * SHARDS }, (_, at) => {
    return `${first + Math.floor(at / SHARDS)}-0 ${at % SHARDS}`;
  });
}

const EXPECTED: readonly unknown[] = [
  120,
  merged(3, 10).slice(0, 20),
  merged(1, 10).toReversed().slice(0, 3),
  merged(1, 9),
  [120, "1-0", "10-0", [["g", 120, 0]]],
  60,
  24,
  "7-0",
  0,
  true,
  false,
  true,
  false,
];

test("every method covers the shards of all nodes, at rest and while their slots move all the time", async () => {
  await using cluster = await startCluster();
  await using streamer = await connect(cluster.url, { timeout: 20_000 });
  const manager = await streamer.createManager();
  const keys = Array.from({ length: 6 }, () => uniqueKey());
  for (const key of keys) await addShards(cluster, key);
  assertEquals(await everything(manager, keys[0]), EXPECTED);
  const mill = new SlotMill(cluster, keys.slice(1).flatMap(shardsOf).map(slotOfKey));
  for (const key of keys.slice(1)) assertEquals(await everything(manager, key), EXPECTED);
  await mill.stop();
  assert(mill.moves > 20, `${mill.moves} moves`);
}, options);

test("every method works while a slot is half moved", async () => {
  await using cluster = await startCluster();
  await using streamer = await connect(cluster.url, { timeout: 20_000 });
  const manager = await streamer.createManager();
  const key = uniqueKey();
  await addShards(cluster, key);
  const slot = slotOfKey(`${key}:3`);
  const owner = await cluster.ownerOf(slot);
  const to = cluster.nodes[(cluster.nodes.indexOf(owner) + 1) % 3];
  const [half, over] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const askWindow = () => {
    half.resolve();
    return over.promise;
  };
  const moving = cluster.moveSlot(slot, to, { askWindow });
  await half.promise;
  const outcome = everything(manager, key);
  assertEquals(await outcome.finally(over.resolve), EXPECTED);
  await moving;
}, options);

for (const how of ["a graceful failover", "a killed primary"]) {
  test(`every method works across ${how}`, async () => {
    await using cluster = await startCluster({ replicas: 1, nodeTimeout: 1_000 });
    await using streamer = await connect(cluster.urls, { timeout: 20_000 });
    const manager = await streamer.createManager();
    const [before, during] = [uniqueKey(), uniqueKey()];
    for (const key of [before, during]) await addShards(cluster, key);
    assertEquals(await everything(manager, before), EXPECTED);
    for await (const _ of manager.rangeAll(during, "-", "+", { sharded })) break; // also the connections for large replies
    const primary = cluster.nodes[1];
    const [replica] = await cluster.replicasOf(primary);
    await cluster.inStep(primary);
    if (how === "a killed primary") {
      const lost = nextEvent(streamer, "disconnect");
      await cluster.kill(primary);
      await lost; // else a command that must not be repeated may be written once more
      assertEquals(await everything(manager, during), EXPECTED);
    } else {
      const results = everything(manager, during);
      await cluster.failOver(replica);
      assertEquals(await results, EXPECTED);
    }
  }, options);
}

test(
  "without a replica, methods for the shards of a lost node reject after the timeout, and others do not",
  async () => {
    const args = ["--cluster-require-full-coverage", "no"];
    await using cluster = await startCluster({ nodeTimeout: 1_000, args });
    await using streamer = await connect(cluster.urls, { timeout: 1_500 });
    const manager = await streamer.createManager();
    const key = uniqueKey();
    await addShards(cluster, key);
    const lost = cluster.nodes[2];
    const owners = await Promise.all(shardsOf(key).map((name) => cluster.ownerOf(slotOfKey(name))));
    const theirs = owners.findIndex((owner) => owner === lost);
    const ours = owners.findIndex((owner) => owner !== lost);
    await cluster.kill(lost);
    const timed = async (work: () => Promise<unknown>) => {
      const began = performance.now();
      const error = await assertRejects(work, StreamerError);
      const took = performance.now() - began;
      assert(took > 1_000 && took < 6_000, `${took} ms: ${error.message}`);
      return error;
    };
    const shardId = theirs;
    for (
      const work of [
        () => manager.length(key, { shardId }),
        () => manager.range(key, "-", "+", { shardId }),
        () => manager.info(key, { shardId }),
        () => manager.trim(key, { maxLength: 1, shardId }),
        () => manager.deleteStream(key, { shardId }),
        () => manager.createGroup(key, "g", "beginning", { shardId }),
        () => manager.length(key, { sharded }),
      ]
    ) {
      const error = await timed(work);
      assert(error instanceof RedisError ? error.code === "CLUSTERDOWN" : error.code === "DISCONNECTED", `${error}`);
    }
    assertEquals(await manager.length(key, { shardId: ours }), 10);
    assertEquals((await manager.range(key, "-", "+", { shardId: ours })).length, 10);
    assertEquals((await manager.info(key, { shardId: ours })).length, 10);
  },
  options,
);

test("while the whole cluster is down, methods reject with its last answer", async () => {
  await using cluster = await startCluster({ nodeTimeout: 1_000 });
  await using streamer = await connect(cluster.urls, { timeout: 3_000 });
  const manager = await streamer.createManager();
  const key = uniqueKey();
  await addShards(cluster, key);
  const owners = await Promise.all(shardsOf(key).map((name) => cluster.ownerOf(slotOfKey(name))));
  const shardId = owners.findIndex((owner) => owner !== cluster.nodes[2]);
  await cluster.kill(cluster.nodes[2]);
  await assertRejects(() => manager.length(key, { shardId: owners.indexOf(cluster.nodes[2]) }), StreamerError);
  const error = await assertRejects(() => manager.length(key, { shardId }), RedisError);
  assertEquals(error.code, "CLUSTERDOWN");
}, options);

test(
  "streams are deleted by transactions where scripts are forbidden, while slots move and a primary fails",
  async () => {
    await using cluster = await startCluster({ replicas: 1, nodeTimeout: 1_000 });
    for (const node of cluster.nodes) {
      await node.command("ACL", "SETUSER", "limited", "on", ">secret", "~*", "+@all", "-eval", "-evalsha");
    }
    await using streamer = await connect(cluster.urls, { username: "limited", password: "secret", timeout: 20_000 });
    const manager = await streamer.createManager();
    const [moving, failing] = [uniqueKey(), uniqueKey()];
    for (const key of [moving, failing]) await addShards(cluster, key);
    const mill = new SlotMill(cluster, shardsOf(moving).map(slotOfKey));
    for (let shardId = 0; shardId < SHARDS; shardId++) {
      assertEquals(await manager.deleteStream(moving, { shardId }), true, `shard ${shardId}`);
    }
    await mill.stop();
    await cluster.untilOk();
    await cluster.inStep(cluster.nodes[1]);
    const lost = nextEvent(streamer, "disconnect");
    await cluster.kill(cluster.nodes[1]);
    await lost;
    assertEquals(await manager.deleteStream(failing, { sharded }), true);
    assertEquals(await manager.deleteStream(failing, { sharded }), false);
  },
  options,
);
