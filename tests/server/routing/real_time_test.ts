// Tests that a real-time consumer reads the shards of two nodes, each message once and in order: while their slots move
// back and forth, and when a node is lost or away.

import { assert, assertEquals } from "@std/assert";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { freshSeed, Random } from "../../support/resp/drive.ts";
import { Got } from "../../support/routing/got.ts";
import { Mover } from "../../support/routing/mover.ts";
import { addThrough, RawWriter } from "../../support/routing/raw_writer.ts";
import { toySlotOf } from "../../support/routing/slots.ts";
import { type Routed, streamerOver } from "../../support/routing/two_node_streamer.ts";
import { type MoveOptions, TwoNodes } from "../../support/routing/two_nodes.ts";
import { test } from "../../support/runner.ts";

const seed = freshSeed();
const SHARDS = 12;

/** A stream with some entries in each shard, and a consumer that has received them. */
async function reading(
  both: TwoNodes,
  { streamer }: Routed,
  shards: number = SHARDS,
): Promise<{ writer: RawWriter; got: Got }> {
  const writer = new RawWriter(both, uniqueKey(), shards);
  await writer.add(10);
  const got = new Got();
  got.take(await streamer.createConsumer(writer.streamKey, { mode: "real-time", autoStreamReset: "earliest" }));
  await got.until(10 * shards);
  return { writer, got };
}

/** Each message was received, once and in order. */
async function checkGot(got: Got, writer: RawWriter): Promise<void> {
  await got.until(writer.count * writer.shards);
  assertEquals(got.payloads, writer.payloads);
}

/** Without moves no command is redirected. */
async function checkAtRest(both: TwoNodes, got: Got, writer: RawWriter): Promise<void> {
  for (let round = 0; round < 3; round++) {
    const refused = [both.refusals("MOVED"), both.refusals("ASK")];
    await writer.add(1);
    await got.until(writer.count * writer.shards);
    if (round === 2) assertEquals([both.refusals("MOVED"), both.refusals("ASK")], refused);
  }
  assertEquals(both.faults, []);
}

test("the shards of both nodes are read, each at its node", async () => {
  await using both = await TwoNodes.start();
  await using routed = streamerOver(both);
  const { writer, got } = await reading(both, routed);
  await writer.add(100);
  await checkGot(got, writer);
  assertEquals([both.refusals("MOVED"), both.faults], [0, []]);
  for (const { commands } of both.nodes) assert((commands.get("XREAD") ?? 0) > 0);
});

const MOVES: readonly MoveOptions[] = [
  { how: "at-once", notice: "never" },
  { how: "at-once", notice: "early" },
  { how: "at-once", notice: "at-once" },
  { how: "at-once", notice: "after" },
  { how: "trying", notice: "never" },
  { how: "trying", notice: "at-once" },
  { how: "asking", notice: "never" },
  { how: "asking", notice: "early" },
  { how: "asking", notice: "at-once" },
];

/** With one shard at each node its reads block. With more the consumer watches them. */
const READS = { "a blocked read": 2, "watching": SHARDS } as const;

for (const [reads, shards] of Object.entries(READS)) {
  for (const options of MOVES) {
    test(`a shard is read further after a move during ${reads} (${options.how}, notified ${options.notice})`, async () => {
      await using both = await TwoNodes.start();
      await using routed = streamerOver(both);
      const { writer, got } = await reading(both, routed, shards);
      for (const shard of [0, 1, 0]) { // to the other node, from it, and back
        const handOver = () => addThrough(both, `${writer.streamKey}:${shard}`, []);
        await both.move(toySlotOf(`${writer.streamKey}:${shard}`), { ...options, handOver });
        await writer.add(1);
        await checkGot(got, writer);
      }
      await checkAtRest(both, got, writer);
    });
  }
}

test(`messages are received in order, each once, while their slots move back and forth (seed ${seed})`, async () => {
  await using both = await TwoNodes.start();
  await using routed = streamerOver(both);
  const { writer, got } = await reading(both, routed);
  const mover = new Mover(both, writer.keys, new Random(seed), ["at-once", "trying", "asking"]);
  let moving = true;
  const moves = (async () => {
    for (let move = 0; move < 30; move++) {
      const { count } = got;
      await mover.move(() => until(() => got.count > count));
      await until(() => got.count > count);
    }
  })().finally(() => moving = false);
  moves.catch(() => {});
  while (moving) {
    await writer.add(20);
    await until(() => writer.count * SHARDS - got.count < 5_000);
  }
  await moves;
  await checkGot(got, writer);
  await checkAtRest(both, got, writer);
});

test("when a node is lost, its shards are read at the other one, without a gap", async () => {
  await using both = await TwoNodes.start();
  await using routed = streamerOver(both);
  const { writer, got } = await reading(both, routed);
  await both.lose(0, { elected: () => until(() => both.nodes[0].refused > 1) });
  await writer.add(100);
  await checkGot(got, writer);
  both.nodes[0].comeBack();
  for (const slot of new Set(writer.keys.map(toySlotOf))) await both.move(slot);
  await writer.add(100);
  await checkGot(got, writer);
  await checkAtRest(both, got, writer);
});

test("while a node is away the shards of the other one are read, and then its own", async () => {
  await using both = await TwoNodes.start();
  await using routed = streamerOver(both);
  const { writer, got } = await reading(both, routed);
  const there = writer.keys.filter((key) => both.table.ownerOf(toySlotOf(key)) === 1).length;
  await both.away(0, async () => {
    const payloads = [10, 11, 12, 13, 14];
    await Promise.all(writer.keys.map(async (key, shard) => {
      const words = payloads.map((number) => ["XADD", key, "*", "msg", `${shard}:${number}`]);
      await both.at(key).commands(words); // at the server itself, without its filter
    }));
    writer.count += 5;
    await got.until(10 * SHARDS + 5 * there);
    await until(() => both.nodes[0].refused > 1);
  });
  await checkGot(got, writer);
  await checkAtRest(both, got, writer);
});

test("a plain stream is read further after a move, after seek and rewind too", async () => {
  await using both = await TwoNodes.start();
  await using routed = streamerOver(both);
  const [mine, theirs] = [both.keyAt(0), both.keyAt(1)];
  const keys = [mine, theirs];
  for (const key of keys) await addThrough(both, key, ["0", "1"]);
  const consumer = await routed.streamer.createConsumer(keys, { mode: "real-time", autoStreamReset: "earliest" });
  const take = async (count: number) => {
    const texts: Record<string, string[]> = { [mine]: [], [theirs]: [] };
    for (let i = 0; i < count; i++) {
      const message = await consumer.next();
      texts[message.streamKey].push(message.text());
    }
    return keys.map((key) => texts[key].join(""));
  };
  assertEquals(await take(4), ["01", "01"]);
  await both.move(toySlotOf(mine));
  for (const key of keys) await addThrough(both, key, ["2"]);
  assertEquals(await take(2), ["2", "2"]);
  await both.move(toySlotOf(theirs));
  await consumer.rewind("beginning");
  assertEquals(await take(6), ["012", "012"]);
  await consumer.seek(0n);
  assertEquals(await take(6), ["012", "012"]);
  await consumer.rewind("end");
  for (const key of keys) await addThrough(both, key, ["3"]);
  assertEquals(await take(2), ["3", "3"]);
  assertEquals(both.faults, []);
});
