// Tests that group consumers get the messages of two nodes at least once, and acknowledge all of them: while the slots
// move back and forth, and when a node is lost or away.

import { assert, assertEquals } from "@std/assert";
import type { AckConsumer } from "../../../mod.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { freshSeed, Random } from "../../support/resp/drive.ts";
import { Got, together } from "../../support/routing/got.ts";
import { Mover } from "../../support/routing/mover.ts";
import { addThrough, RawWriter } from "../../support/routing/raw_writer.ts";
import { toySlotOf } from "../../support/routing/slots.ts";
import { type Routed, streamerOver } from "../../support/routing/two_node_streamer.ts";
import { type MoveOptions, TwoNodes } from "../../support/routing/two_nodes.ts";
import { test } from "../../support/runner.ts";

const seed = freshSeed();
const SHARDS = 12;
const MODES = ["load-balanced", "resumable"] as const;
type Mode = typeof MODES[number];

/** A group over a stream: two load-balanced consumers, or a resumable one. */
interface Group {
  readonly writer: RawWriter;
  readonly consumers: readonly AckConsumer[];
  readonly gots: readonly Got[];
}

/** Consumers that acknowledge their messages, and have received the first entries. */
async function reading(
  both: TwoNodes,
  { streamer }: Routed,
  mode: Mode,
  { acks = true, shards = SHARDS }: { readonly acks?: boolean; readonly shards?: number } = {},
): Promise<Group> {
  const writer = new RawWriter(both, uniqueKey(), shards);
  await writer.add(10);
  const names = mode === "resumable" ? ["c"] : ["c1", "c2"];
  const shared = { group: "g", autoCommit: "rolling", autoCommitInterval: 50, autoStreamReset: "earliest" } as const;
  const consumers: AckConsumer[] = [];
  for (const consumerId of names) {
    consumers.push(await streamer.createConsumer(writer.streamKey, { mode, consumerId, ...shared }));
  }
  const gots = consumers.map((consumer) => {
    const got = new Got();
    got.take(consumer, (message) => acks && consumer.ack(message));
    return got;
  });
  const group = { writer, consumers, gots };
  await allCame(group);
  return group;
}

/** Each message was delivered at least once. */
async function allCame({ writer, gots }: Group): Promise<void> {
  const wanted = writer.count * writer.shards;
  const came = () => new Set(gots.flatMap(({ all }) => [...all])).size;
  await until(() => gots.every(({ failure }) => failure === undefined) && came() >= wanted, {
    what: `${wanted} messages have come`,
    timeout: 15_000,
  }).catch((cause) => {
    const failures = gots.map(({ failure }) => failure).filter((one) => one !== undefined);
    throw new Error(`${came()} of ${wanted} have come`, { cause: failures[0] ?? cause });
  });
}

/**
 * All messages were delivered, first deliveries in order, all are acknowledged, and nothing is pending. Returns the
 * repeated ones.
 */
async function checkGroup(both: TwoNodes, group: Group): Promise<string[]> {
  await allCame(group);
  const { writer, gots } = group;
  for (const got of gots) got.checkOrder();
  for (const key of writer.keys) {
    await until(async () => {
      const [pending] = [await both.at(key).command("XPENDING", key, "g")].flat();
      return pending === 0;
    }, { what: `nothing is pending in ${key}` });
  }
  const times = together(gots);
  assertEquals(times.size, writer.count * writer.shards);
  assertEquals(both.faults, []);
  return [...times].filter(([, count]) => count > 1).map(([payload]) => payload);
}

/** Without moves no command is redirected, neither reads nor acknowledgements. */
async function checkAtRest(both: TwoNodes, group: Group): Promise<void> {
  for (let round = 0; round < 3; round++) {
    const refused = [both.refusals("MOVED"), both.refusals("ASK")];
    await group.writer.add(1);
    await checkGroup(both, group);
    if (round === 2) assertEquals([both.refusals("MOVED"), both.refusals("ASK")], refused);
  }
}

for (const mode of MODES) {
  test(`the shards of both nodes are read, and acknowledged, each at its node (${mode})`, async () => {
    await using both = await TwoNodes.start();
    await using routed = streamerOver(both);
    const group = await reading(both, routed, mode);
    await group.writer.add(100);
    assertEquals(await checkGroup(both, group), []);
    assertEquals(both.refusals("MOVED"), 0);
    for (const { commands } of both.nodes) assert((commands.get("XREADGROUP") ?? 0) > 0 && commands.has("XACK"));
  });
}

const MOVES: readonly MoveOptions[] = [
  { how: "at-once", notice: "never" },
  { how: "at-once", notice: "early" },
  { how: "at-once", notice: "at-once" },
  { how: "at-once", notice: "after" },
  { how: "trying", notice: "never" },
  { how: "trying", notice: "at-once" },
  { how: "asking", notice: "never", ending: "ASK" },
  { how: "asking", notice: "never", ending: "UNBLOCKED" },
  { how: "asking", notice: "at-once", ending: "ASK" },
];

/** With one shard at each node its reads block. With more the consumers watch them. */
const READS = { "blocked reads": 2, "watching": SHARDS } as const;

for (const [reads, shards] of Object.entries(READS)) {
  for (const options of MOVES) {
    const { how, notice, ending = "MOVED" } = options;
    test(`a group continues where a shard has moved during ${reads} (${how}, ${ending}, notified ${notice})`, async () => {
      await using both = await TwoNodes.start();
      await using routed = streamerOver(both);
      const group = await reading(both, routed, "load-balanced", { shards });
      for (const shard of [0, 1, 0]) {
        const key = `${group.writer.streamKey}:${shard}`;
        await both.move(toySlotOf(key), { ...options, handOver: () => addThrough(both, key, []) });
        await group.writer.add(1);
        assertEquals(await checkGroup(both, group), [], "a redirect delivers nothing twice");
      }
      await checkAtRest(both, group);
    });
  }
}

for (const mode of MODES) {
  test(
    `messages are delivered once, and acknowledged, while slots move to and fro (${mode}, seed ${seed})`,
    async () => {
      await using both = await TwoNodes.start();
      await using routed = streamerOver(both);
      const group = await reading(both, routed, mode);
      const { writer, gots } = group;
      const came = () => gots.reduce((sum, { count }) => sum + count, 0);
      const mover = new Mover(both, writer.keys, new Random(seed), ["at-once", "trying", "asking"]);
      let moving = true;
      const moves = (async () => {
        for (let move = 0; move < 25; move++) {
          const count = came();
          await mover.move(() => until(() => came() > count));
          await until(() => came() > count);
        }
      })().finally(() => moving = false);
      moves.catch(() => {});
      while (moving) {
        await writer.add(10);
        await until(() => writer.count * SHARDS - came() < 3_000, { what: "the consumers keep up" });
      }
      await moves;
      assertEquals(await checkGroup(both, group), [], mover.log.join("\n"));
      await checkAtRest(both, group);
    },
    { timeout: 60_000 },
  );

  test(`when a node is lost, its shards are read at the other one, and nothing stays pending (${mode})`, async () => {
    await using both = await TwoNodes.start();
    await using routed = streamerOver(both);
    const group = await reading(both, routed, mode);
    await both.lose(0, { elected: () => until(() => both.nodes[0].refused > 1) });
    await group.writer.add(100);
    await checkGroup(both, group);
    both.nodes[0].comeBack();
    for (const slot of new Set(group.writer.keys.map(toySlotOf))) await both.move(slot);
    await group.writer.add(100);
    await checkGroup(both, group);
    await checkAtRest(both, group);
  });

  test(`while a node is away the shards of the other one are read, and then its own (${mode})`, async () => {
    await using both = await TwoNodes.start();
    await using routed = streamerOver(both);
    const group = await reading(both, routed, mode);
    const { writer, gots } = group;
    const there = writer.keys.filter((key) => both.table.ownerOf(toySlotOf(key)) === 1).length;
    await both.away(0, async () => {
      await Promise.all(writer.keys.map(async (key, shard) => {
        const words = [10, 11, 12, 13, 14].map((number) => ["XADD", key, "*", "msg", `${shard}:${number}`]);
        await both.at(key).commands(words); // at the server itself, without its filter
      }));
      writer.count += 5;
      await until(() => gots.reduce((sum, { count }) => sum + count, 0) >= 10 * SHARDS + 5 * there);
      await until(() => both.nodes[0].refused > 1);
    });
    await checkGroup(both, group);
    await checkAtRest(both, group);
  });
}

test("messages delivered before a slot moved are acknowledged at its new node", async () => {
  await using both = await TwoNodes.start();
  await using routed = streamerOver(both);
  const { writer, consumers: [consumer], gots: [got] } = await reading(both, routed, "resumable", { acks: false });
  const pending = async (key: string) => [await both.at(key).command("XPENDING", key, "g")].flat()[0];
  for (const key of writer.keys) assertEquals(await pending(key), 10);
  for (const slot of new Set(writer.keys.map(toySlotOf))) await both.move(slot);
  for (const key of writer.keys) {
    const ids = [await both.at(key).command("XRANGE", key, "-", "+")].flat();
    const shardId = Number(key.slice(key.lastIndexOf(":") + 1));
    for (const entry of ids) {
      consumer.ackWith({ streamKey: writer.streamKey, shardId, id: String(Array.isArray(entry) ? entry[0] : entry) });
    }
  }
  for (const key of writer.keys) await until(async () => await pending(key) === 0);
  await writer.add(1);
  await until(() => got.count === 11 * SHARDS);
  assertEquals(both.faults, []);
});

test("idle messages of another consumer are claimed at both nodes, also if their slot has moved", async () => {
  await using both = await TwoNodes.start();
  await using routed = streamerOver(both);
  const writer = new RawWriter(both, uniqueKey(), SHARDS);
  await writer.add(5);
  for (const key of writer.keys) {
    await both.at(key).commands([
      ["XGROUP", "CREATE", key, "g", "0"],
      ["XREADGROUP", "GROUP", "g", "gone", "STREAMS", key, ">"],
    ]);
  }
  await both.move(toySlotOf(writer.keys[0]));
  const times = { autoClaimIdle: 300, autoClaimInterval: 20 } as const;
  const shared = {
    mode: "load-balanced",
    group: "g",
    consumerId: "c",
    autoCommit: "rolling",
    autoCommitInterval: 50,
  } as const;
  const consumer = await routed.streamer.createConsumer(writer.streamKey, { ...shared, ...times });
  const got = new Got();
  got.take(consumer, (message) => consumer.ack(message));
  await until(() => got.all.size >= SHARDS * 2);
  await both.move(toySlotOf(writer.keys[1]));
  await until(() => got.all.size === SHARDS * 5);
  for (const key of writer.keys) {
    await until(async () => [await both.at(key).command("XPENDING", key, "g")].flat()[0] === 0);
  }
  assertEquals(both.faults, []);
});
