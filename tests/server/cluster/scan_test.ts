// Tests that scans of all keys of a cluster miss nothing that stands still, while slots move and nodes fail over.

import { assert, assertEquals } from "@std/assert";
import { setTimeout as sleep } from "node:timers/promises";
import { connect, type Manager } from "../../../mod.ts";
import { shardFinder } from "../../../streamer/streamer.ts";
import { shardsIn } from "../../../streamer/cluster/shards.ts";
import { slotOfKey } from "../../../streamer/cluster/topology/slot.ts";
import { uniqueKey } from "../../support/keys.ts";
import { test } from "../../support/runner.ts";
import { type Cluster, startCluster } from "../../support/servers/cluster.ts";
import { addStreams, SlotMill } from "../../support/servers/cluster_keys.ts";
import { canStartServers } from "../../support/servers/server.ts";

const options = { ignore: !await canStartServers(), timeout: 120_000 };
const KEYS = 20_000;

/** Names in so many slots, with as many in each. */
function namesOver(tags: readonly string[], count = KEYS): string[] {
  return Array.from({ length: count }, (_, at) => `{${tags[at % tags.length]}}:s${at}`);
}

/** So many tags of different slots that a node of three owns at first: 0, 1, or 2. */
function tagsOf(node: number, count: number): string[] {
  const tags = new Map<number, string>();
  for (let at = 0; tags.size < count; at++) {
    const slot = slotOfKey(`t${at}`);
    if (Math.min(2, Math.floor(slot / 5_462)) === node && !tags.has(slot)) tags.set(slot, `t${at}`);
  }
  return [...tags.values()];
}

/** Iterates over all streams; calls `seen` with each name before the next page may be requested. */
async function listAll(manager: Manager, seen: (name: string) => Promise<void> | void): Promise<string[]> {
  const names: string[] = [];
  for await (const name of manager.streams()) {
    names.push(name);
    await seen(name);
  }
  return names;
}

function checkAll(names: readonly string[], expected: readonly string[]): void {
  const found = new Set(names);
  const missing = expected.filter((name) => !found.has(name));
  assertEquals(missing.length, 0, `${missing.length} of ${expected.length} are missing, as ${missing.slice(0, 3)}`);
  assertEquals(names.length, found.size, "names are remembered");
}

/** Three nodes with their own tags, and streams in all of them. */
async function filled(replicas = 0): Promise<{ cluster: Cluster; tags: string[][]; names: string[] }> {
  const cluster = await startCluster({ replicas, nodeTimeout: 1_000 });
  const tags = [0, 1, 2].map((node) => tagsOf(node, 20));
  const names = namesOver(tags.flat());
  await addStreams(cluster, names);
  return { cluster, tags, names };
}

const none = () => Promise.resolve();

/** Calls `work` when the first name of each node's own slots comes, before the next page is requested. */
function atNodes(
  tags: readonly string[][],
  work: readonly (() => Promise<unknown>)[],
): (name: string) => Promise<void> {
  const reached = new Set<number>();
  return async (name) => {
    const tag = name.slice(1, name.indexOf("}"));
    const node = tags.findIndex((own) => own.includes(tag));
    if (reached.has(node)) return;
    reached.add(node);
    await work[node]?.();
  };
}

test("streams of a slot that moves to a node that was scanned before are listed", async () => {
  const { cluster, tags, names } = await filled();
  await using _ = cluster;
  await using streamer = await connect(cluster.url);
  const manager = await streamer.createManager();
  const slot = slotOfKey(tags[2][0]);
  const move = () => cluster.moveSlot(slot, cluster.nodes[0]);
  checkAll(await listAll(manager, atNodes(tags, [none, move])), names);
  const another = slotOfKey(tags[2][1]);
  const moveInOneStep = () => cluster.moveSlotsAtomically(another, another, cluster.nodes[0]);
  checkAll(await listAll(manager, atNodes(tags, [none, moveInOneStep])), names);
}, options);

test("streams of a slot that moves are listed by a user who must not ask nodes for their slots", async () => {
  const { cluster, tags, names } = await filled();
  await using _ = cluster;
  for (const node of cluster.nodes) {
    await node.command("ACL", "SETUSER", "limited", "on", ">secret", "~*", "+@all", "-cluster|nodes");
  }
  await using streamer = await connect(cluster.url, { username: "limited", password: "secret" });
  const manager = await streamer.createManager();
  const move = () => cluster.moveSlot(slotOfKey(tags[2][0]), cluster.nodes[0]);
  checkAll(await listAll(manager, atNodes(tags, [none, move])), names);
}, options);

test("streams of a slot that is half moved until after the scan are listed", async () => {
  const { cluster, tags, names } = await filled();
  await using _ = cluster;
  await using streamer = await connect(cluster.url);
  const manager = await streamer.createManager();
  const over = Promise.withResolvers<void>();
  const keysMoved = Promise.withResolvers<void>();
  const askWindow = () => {
    keysMoved.resolve();
    return over.promise;
  };
  let moving: Promise<void> | undefined;
  const move = async () => {
    moving = cluster.moveSlot(slotOfKey(tags[2][0]), cluster.nodes[0], { askWindow });
    await keysMoved.promise;
  };
  checkAll(await listAll(manager, atNodes(tags, [none, move])), names);
  over.resolve();
  await moving;
}, options);

test("streams of a slot that is away only while its node is scanned are listed", async () => {
  const { cluster, tags, names } = await filled();
  await using _ = cluster;
  await using streamer = await connect(cluster.url);
  const manager = await streamer.createManager();
  const slot = slotOfKey(tags[0][0]);
  const leave = () => cluster.moveSlot(slot, cluster.nodes[2]);
  const comeBack = () => cluster.moveSlot(slot, cluster.nodes[0]);
  checkAll(await listAll(manager, atNodes(tags, [leave, comeBack])), names);
}, options);

test("streams are listed while many slots move all the time", async () => {
  const { cluster, tags, names } = await filled();
  await using _ = cluster;
  const mill = new SlotMill(cluster, tags.flat().map(slotOfKey));
  await using streamer = await connect(cluster.url);
  const manager = await streamer.createManager();
  for (let turn = 0; turn < 3; turn++) {
    let count = 0;
    checkAll(await listAll(manager, () => ++count % 500 === 0 ? sleep(10) : undefined), names);
  }
  await mill.stop();
  assert(mill.moves > 20, `${mill.moves} moves`);
}, options);

test("shards are found among many keys while slots move all the time", async () => {
  const { cluster, tags } = await filled();
  await using _ = cluster;
  const key = uniqueKey();
  const shards = Array.from({ length: 300 }, (_, number) => `${key}:${number}`);
  await addStreams(cluster, shards);
  const mill = new SlotMill(cluster, [...shards, ...tags.flat()].map(slotOfKey));
  await using streamer = await connect(cluster.url);
  const find = shardFinder(streamer);
  for (let turn = 0; turn < 20; turn++) {
    const { numbers, forbidden } = shardsIn(await find([key], undefined), key);
    assertEquals([numbers, forbidden], [shards.map((_, number) => number), undefined], `turn ${turn}`);
  }
  await mill.stop();
  assert(mill.moves > 5, `${mill.moves} moves`);
}, options);

for (const how of ["a graceful failover", "a killed primary"]) {
  test(`streams are listed across ${how} of the node that is being scanned, and of one that was`, async () => {
    for (const reached of [1, 2]) { // when the first names of this node come, node 1 fails over
      const { cluster, tags, names } = await filled(1);
      await using _ = cluster;
      await using streamer = await connect(cluster.urls, { timeout: 20_000 });
      const manager = await streamer.createManager();
      const primary = cluster.nodes[1];
      const [replica] = await cluster.replicasOf(primary);
      await cluster.inStep(primary);
      const work = async () => {
        if (how === "a killed primary") await cluster.kill(primary);
        else await cluster.failOver(replica);
      };
      const works = [0, 1, 2].map((node) => node === reached ? work : none);
      checkAll(await listAll(manager, atNodes(tags, works)), names);
      const shards = await shardFinder(streamer)(["{none}"], undefined);
      assertEquals(shardsIn(shards, "{none}").numbers, []);
    }
  }, options);
}

test("a page of a node that is gone is one of the first node", async () => {
  const { cluster, names } = await filled(1);
  await using _ = cluster;
  await using streamer = await connect(cluster.urls, { timeout: 20_000 });
  const manager = await streamer.createManager();
  const [first, second] = [cluster.nodes[0], cluster.nodes[1]].toSorted((a, b) => a.name < b.name ? -1 : 1);
  const found = new Set<string>();
  let cursor = "0";
  do {
    const page = await manager.scan(cursor, { count: 2_000 });
    for (const name of page.streams) found.add(name);
    cursor = page.cursor;
  } while (!cursor.endsWith(second.name));
  await cluster.inStep(second);
  await cluster.kill(second);
  const restarted = await manager.scan(cursor, { count: 2_000 });
  assertEquals(restarted.cursor.slice(restarted.cursor.indexOf("@") + 1) === second.name, false);
  for (cursor = restarted.cursor; cursor !== "0";) {
    const page = await manager.scan(cursor, { count: 2_000 });
    for (const name of page.streams) found.add(name);
    cursor = page.cursor;
  }
  for (const name of restarted.streams) found.add(name);
  checkAll([...found], names);
  assert(first.running);
}, options);
