// Tests that the manager's methods find the node that has a key: over two nodes, while slots move, and when a node is
// lost.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { StreamerError } from "../../../mod.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { otherNode } from "../../support/routing/slot_table.ts";
import { toySlotOf } from "../../support/routing/slots.ts";
import { streamerOver } from "../../support/routing/two_node_streamer.ts";
import { TwoNodes } from "../../support/routing/two_nodes.ts";
import { test } from "../../support/runner.ts";

const SHARDS = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];

/** Adds entries `0`, `1` … to a key, with ids of their own, each at the node that has it. */
async function fill(both: TwoNodes, key: string, count: number): Promise<void> {
  const words = Array.from({ length: count }, (_, i) => ["XADD", key, `${i + 1}-0`, "msg", `${i}`]);
  await both.at(key).commands(words);
}

/** A stream of 12 shards over both nodes, with so many entries in each. */
async function shardedStream(both: TwoNodes, count: number): Promise<string> {
  const key = uniqueKey();
  await Promise.all(SHARDS.map((shard) => fill(both, `${key}:${shard}`, count)));
  return key;
}

const slotOf = (key: string, shard: number) => toySlotOf(`${key}:${shard}`);

test("every method of the manager uses the node that has the key, and follows it after a move", async () => {
  await using both = await TwoNodes.start();
  await using routed = streamerOver(both);
  const manager = await routed.streamer.createManager();
  for (const key of [both.keyAt(0), both.keyAt(1)]) {
    await fill(both, key, 5);
    const slot = toySlotOf(key);
    const everything = async () => {
      await manager.createGroup(key, "g", "beginning");
      const texts = (await manager.range(key, "-", "+")).map((message) => message.text());
      for await (const message of manager.rangeAll(key, "-", "+", { pageSize: 2 })) texts.push(message.text());
      const { length, groups } = await manager.info(key);
      await manager.setGroupPosition(key, "g", "end");
      return {
        texts: texts.join(""),
        counts: [length, groups.length, await manager.length(key)],
        trimmed: await manager.trim(key, { acknowledged: true, exact: true }),
        deleted: [await manager.deleteConsumer(key, "g", "c"), await manager.deleteGroup(key, "g")],
      };
    };
    const expected = { texts: "0123401234", counts: [5, 1, 5], trimmed: 5, deleted: [0, true] };
    const refused = both.refusals("MOVED");
    assertEquals(await everything(), expected);
    assertEquals(both.refusals("MOVED"), refused, "nothing goes astray while nothing moves");
    await both.at(key).command("DEL", key);
    await fill(both, key, 5);
    await both.move(slot);
    assertEquals(await everything(), expected);
    assertEquals(both.refusals("MOVED"), refused + 1, "one redirect shows where the slot is");
  }
  assertEquals(both.faults, []);
});

test("the methods cover the shards of both nodes together", async () => {
  await using both = await TwoNodes.start();
  await using routed = streamerOver(both);
  const manager = await routed.streamer.createManager();
  const key = await shardedStream(both, 10);
  const sharded = true;
  assertEquals(await manager.length(key, { sharded }), 120);
  await manager.createGroup(key, "g", "end", { sharded });
  const { length, groups: [{ lag }] } = await manager.info(key, { sharded });
  assertEquals([length, lag], [120, 0]);
  const read: number[] = [];
  for await (const { shardId } of manager.rangeAll(key, "-", "+", { sharded, pageSize: 3 })) read.push(shardId);
  assertEquals(SHARDS.map((shard) => read.filter((id) => id === shard).length), SHARDS.map(() => 10));
  assertEquals(await manager.trim(key, { sharded, acknowledged: true, exact: true }), 120);
  assertEquals(await manager.deleteGroup(key, "g", { sharded }), true);
  assertEquals([both.refusals("MOVED"), both.faults], [0, []]);
});

for (const scripts of [true, false]) {
  test(`streams of both nodes are deleted after they have moved, ${scripts ? "by" : "without"} scripts`, async () => {
    await using both = await TwoNodes.start();
    await using routed = streamerOver(both);
    const manager = await routed.streamer.createManager();
    const key = await shardedStream(both, 3);
    if (!scripts) {
      for (const { server } of both.nodes) await server.command("ACL", "SETUSER", "default", "-eval");
    }
    assertEquals(await manager.delete(key, ["1-0", "3-0"], { sharded: true }), 24);
    await both.move(slotOf(key, 0));
    assertEquals(await manager.deleteStream(key, { shardId: 0 }), true);
    await both.move(slotOf(key, 1), { notice: "at-once" });
    assertEquals(await manager.deleteStream(key, { sharded: true }), true);
    assertEquals(await manager.deleteStream(key, { sharded: true }), false);
    const left = await Promise.all(
      SHARDS.map((shard) => both.at(`${key}:${shard}`).command("EXISTS", `${key}:${shard}`)),
    );
    assertEquals([left, both.faults], [SHARDS.map(() => 0), []]);
  });
}

test("the streams of both nodes are listed, also by a cursor whose node was lost", async () => {
  await using both = await TwoNodes.start();
  await using routed = streamerOver(both);
  const manager = await routed.streamer.createManager();
  const key = await shardedStream(both, 1);
  const expected = SHARDS.map((shard) => `${key}:${shard}`).sort();
  const names: string[] = [];
  for await (const name of manager.streams({ match: `${key}*` })) names.push(name);
  assertEquals(names.sort(), expected);
  const scanned = new Set<string>();
  for (let cursor = "0";;) {
    const page = await manager.scan(cursor, { match: `${key}*`, count: 1 });
    for (const name of page.streams) scanned.add(name);
    if (page.cursor === "0") break;
    cursor = page.cursor;
    const at = both.nodes.find((node) => cursor.endsWith(`@${node.name}`));
    if (at !== undefined && scanned.size > 2 && both.table.slotsOf(at.index).length > 0) await both.lose(at.index);
  }
  assertEquals([...scanned].sort(), expected);
  assert(both.nodes.some(({ index }) => both.table.slotsOf(index).length === 0), "a node was lost on the way");
});

test("a scan restarts if its cursor belonged to the only node of that time", async () => {
  await using both = await TwoNodes.start();
  await using routed = streamerOver(both);
  const manager = await routed.streamer.createManager();
  const first = both.nodes[0].name < both.nodes[1].name ? 0 : 1; // which is scanned first
  const slots = both.table.slotsOf(first);
  await both.lose(first);
  const keys = Array.from({ length: 200 }, () => uniqueKey("listed"));
  await both.nodes[otherNode(first)].server.commands(keys.map((key) => ["XADD", key, "1-1", "msg", "m"]));
  const scanned = new Set<string>();
  let cursor = "0";
  const next = async () => {
    const page = await manager.scan(cursor, { match: "listed*", count: 10 });
    for (const name of page.streams) scanned.add(name);
    cursor = page.cursor;
  };
  while (scanned.size < 100) await next();
  both.nodes[first].comeBack();
  for (const slot of slots) await both.move(slot, { notice: "at-once" });
  while (cursor !== "0") await next();
  assertEquals(keys.filter((key) => !scanned.has(key)), []);
});

test("a range is read to its end while its slot moves to and fro, whether the router is notified or not", async () => {
  await using both = await TwoNodes.start();
  await using routed = streamerOver(both);
  const manager = await routed.streamer.createManager();
  const key = uniqueKey();
  await fill(both, key, 300);
  const moves = [
    () => both.move(toySlotOf(key), { notice: "at-once" }),
    () => both.move(toySlotOf(key)),
    () => both.move(toySlotOf(key), { how: "asking" }),
    () => both.move(toySlotOf(key), { notice: "early" }),
  ];
  const texts: string[] = [];
  for await (const message of manager.rangeAll(key, "-", "+", { pageSize: 10 })) {
    texts.push(message.text());
    if (texts.length % 50 === 0) await moves.shift()?.();
  }
  assertEquals(texts, Array.from({ length: 300 }, (_, i) => `${i}`));
  assertEquals([moves.length, both.faults], [0, []]);
});

test("a command of a slot that is being imported follows an ASKING, and the topology stays", async () => {
  await using both = await TwoNodes.start();
  await using routed = streamerOver(both);
  const manager = await routed.streamer.createManager();
  const key = uniqueKey();
  await fill(both, key, 3);
  const slot = toySlotOf(key);
  const handOver = Promise.withResolvers<void>();
  const moving = both.move(slot, { how: "asking", handOver: () => handOver.promise });
  await until(() => both.table.state(slot).kind === "importing");
  assertEquals([await manager.length(key), await manager.length(key)], [3, 3]);
  assertEquals([both.refusals("ASK"), both.refusals("MOVED")], [2, 0]);
  handOver.resolve();
  await moving;
  assertEquals([await manager.length(key), both.refusals("MOVED")], [3, 1]);
});

test("a method waits for a slot that has not arrived, for a node that is away, and for one that is lost", async () => {
  await using both = await TwoNodes.start();
  await using routed = streamerOver(both);
  const manager = await routed.streamer.createManager();
  const key = await shardedStream(both, 1);
  const slot = slotOf(key, 0);
  const owner = both.table.ownerOf(slot);
  const length = () => manager.length(key, { sharded: true });
  both.table.set(slot, { kind: "arriving", owner });
  const arriving = length();
  await until(() => both.refusals("TRYAGAIN") > 1);
  both.table.set(slot, { kind: "owned", owner });
  assertEquals(await arriving, 12);

  let waiting: Promise<number> | undefined;
  await both.away(owner, async () => {
    waiting = length();
    await until(() => both.nodes[owner].refused > 1);
  });
  assertEquals(await waiting, 12);

  const refused = both.nodes[owner].refused;
  await both.lose(owner, {
    elected: async () => {
      waiting = length();
      await until(() => both.nodes[owner].refused > refused + 1);
    },
  });
  assertEquals(await waiting, 12);
  assertEquals([routed.router.primaries(), both.faults], [[both.nodes[otherNode(owner)].name], []]);
});

test("a method whose node stays away rejects after the timeout, and the others do not", async () => {
  await using both = await TwoNodes.start();
  await using routed = streamerOver(both, { timeout: 500 });
  const manager = await routed.streamer.createManager();
  const [mine, theirs] = [both.keyAt(0), both.keyAt(1)];
  await fill(both, mine, 1);
  await fill(both, theirs, 2);
  await both.nodes[0].lose();
  const late = assertRejects(() => manager.length(mine), StreamerError);
  assertEquals(await manager.length(theirs), 2);
  assertEquals((await late).code, "DISCONNECTED");
});
