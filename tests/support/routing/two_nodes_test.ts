// Tests of the two nodes that imitate a cluster: their replies, the order of replies, and the remains of a moved slot.

import { assert, assertEquals } from "@std/assert";
import { until } from "../events.ts";
import { uniqueKey } from "../keys.ts";
import { ask, toText } from "../servers/raw_client.ts";
import { test } from "../runner.ts";
import type { NodeFilter } from "./node_filter.ts";
import { otherNode } from "./slot_table.ts";
import { toySlotOf } from "./slots.ts";
import { TwoNodes } from "./two_nodes.ts";

/** Asks a node through its filter, all in one write. */
async function through(node: NodeFilter, ...commands: string[][]): Promise<unknown[]> {
  const replies = await ask({ host: "127.0.0.1", port: node.port }, commands);
  return replies.map((reply) => reply instanceof Error ? reply.message : toText(reply));
}

function place(both: TwoNodes, key: string) {
  const slot = toySlotOf(key);
  const owner = both.table.ownerOf(slot);
  return { slot, owner: both.nodes[owner], other: both.nodes[otherNode(owner)] };
}

/** Resolves when so many reads are blocked on a node. */
async function blocked(node: NodeFilter, count: number): Promise<void> {
  const clients = async () => String(await node.server.command("INFO", "clients"));
  await until(async () => (await clients()).includes(`blocked_clients:${count}\r`));
}

test("a node serves its own keys and redirects the others, in the order of the commands", async () => {
  await using both = await TwoNodes.start();
  const [mine, theirs] = [both.keyAt(0), both.keyAt(1)];
  const { owner, other } = place(both, mine);
  const moved = `MOVED ${toySlotOf(theirs)} ${other.name}`;
  const add = (key: string) => ["XADD", key, "1-*", "msg", "m"];
  assertEquals(await through(owner, add(mine), add(theirs), ["PING"], add(mine), ["XLEN", theirs], ["XLEN", mine]), [
    "1-0",
    moved,
    "PONG",
    "1-1",
    moved,
    2,
  ]);
  assertEquals([other.commands.size, owner.refusals.get("MOVED")], [0, 2]);
});

test("a slot moves with its groups and pending entries; until then the new owner replies TRYAGAIN", async () => {
  await using both = await TwoNodes.start();
  const key = uniqueKey();
  const { slot, owner, other } = place(both, key);
  await owner.server.commands([
    ["XGROUP", "CREATE", key, "g", "0", "MKSTREAM"],
    ["XADD", key, "1-1", "msg", "a"],
    ["XREADGROUP", "GROUP", "g", "c", "STREAMS", key, ">"],
  ]);
  both.table.set(slot, { kind: "arriving", owner: other.index });
  assertEquals(await through(other, ["XLEN", key]), ["TRYAGAIN Multiple keys request during rehashing of slot"]);
  both.table.set(slot, { kind: "owned", owner: owner.index });
  await both.move(slot);
  assertEquals(await through(owner, ["XLEN", key]), [`MOVED ${slot} ${other.name}`]);
  assertEquals(await through(other, ["XPENDING", key, "g"]), [[1, "1-1", "1-1", [["c", "1"]]]]);
  assertEquals(await owner.server.command("EXISTS", key), 0);
});

test("blocked reads of a slot end when it moves, and the commands after them are judged then", async () => {
  await using both = await TwoNodes.start();
  const key = uniqueKey();
  const { slot, owner, other } = place(both, key);
  await owner.server.command("XGROUP", "CREATE", key, "g", "$", "MKSTREAM");
  const moved = `MOVED ${slot} ${other.name}`;
  const plain = through(owner, ["XREAD", "BLOCK", "0", "STREAMS", key, "$"], ["XLEN", key]);
  const group = through(owner, ["XREADGROUP", "GROUP", "g", "c", "BLOCK", "0", "STREAMS", key, ">"]);
  await blocked(owner, 2);
  await both.move(slot);
  assertEquals([await plain, await group], [[moved, moved], [moved]]);
});

test("with ASK, a blocked XREADGROUP ends when its key moves, and a blocked XREAD when the slot has moved", async () => {
  await using both = await TwoNodes.start();
  const key = uniqueKey();
  const { slot, owner, other } = place(both, key);
  await owner.server.command("XGROUP", "CREATE", key, "g", "$", "MKSTREAM");
  const plain = through(owner, ["XREAD", "BLOCK", "0", "STREAMS", key, "$"]);
  const group = through(owner, ["XREADGROUP", "GROUP", "g", "c", "BLOCK", "0", "STREAMS", key, ">"]);
  await blocked(owner, 2);
  const handOver = Promise.withResolvers<void>();
  const moving = both.move(slot, { how: "asking", ending: "UNBLOCKED", handOver: () => handOver.promise });
  assertEquals(await group, ["UNBLOCKED the stream key no longer exists"]);
  await until(() => both.table.state(slot).kind === "importing");
  const add = ["XADD", key, "1-1", "msg", "a"];
  assertEquals(await through(owner, add), [`ASK ${slot} ${other.name}`]);
  assertEquals(await through(other, add, ["ASKING"], add, ["XLEN", key]), [
    `MOVED ${slot} ${owner.name}`,
    "OK",
    "1-1",
    `MOVED ${slot} ${owner.name}`,
  ]);
  handOver.resolve();
  await moving;
  const moved = [`MOVED ${slot} ${other.name}`];
  assertEquals([await plain, await through(owner, add)], [moved, moved]);
  assertEquals(await through(other, ["XLEN", key]), [1]);
});

test("the slots of a lost node come up at the other one, with all that it had stored", async () => {
  await using both = await TwoNodes.start();
  const key = uniqueKey();
  const { owner, other } = place(both, key);
  const storm = Array.from({ length: 1_000 }, (_, i) => ["XADD", key, "*", "msg", `${i}`]);
  const cut = through(owner, ...storm).catch((error) => error);
  await until(() => owner.commands.get("XADD") !== undefined);
  await both.lose(owner.index);
  assert(await cut instanceof Error || Array.isArray(await cut));
  assertEquals((await through(owner, ["PING"]).catch((error) => error)) instanceof Error, true);
  assertEquals(both.table.slotsOf(owner.index), []);
  assert(Number((await through(other, ["XLEN", key]))[0]) > 0);
  assertEquals(await owner.server.command("KEYS", "*"), []);
});

test("a node that was away serves its data again", async () => {
  await using both = await TwoNodes.start();
  const key = uniqueKey();
  const { owner } = place(both, key);
  assertEquals(await through(owner, ["XADD", key, "1-1", "msg", "a"]), ["1-1"]);
  await both.away(owner.index, async () => {
    assert(await through(owner, ["PING"]).then(() => false, () => true));
  });
  assertEquals(await through(owner, ["XLEN", key]), [1]);
  assertEquals(both.faults, []);
});
