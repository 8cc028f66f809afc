// Tests that a producer's messages are stored in order, and once, over two nodes: while their slots move back and
// forth, and when a node is lost or away.

import { assert, assertEquals } from "@std/assert";
import { setImmediate as turn } from "node:timers/promises";
import type { GenericProducer } from "../../../mod.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { freshSeed, Random } from "../../support/resp/drive.ts";
import { checkStream, endingsOf, entriesOf } from "../../support/producer/stream_checks.ts";
import { Mover } from "../../support/routing/mover.ts";
import { Numbered, SHARD_COUNT, shardOfPayload } from "../../support/routing/numbered.ts";
import type { NodeIndex } from "../../support/routing/slot_table.ts";
import { otherNode } from "../../support/routing/slot_table.ts";
import { toySlotOf } from "../../support/routing/slots.ts";
import { type Routed, streamerOver } from "../../support/routing/two_node_streamer.ts";
import { TwoNodes } from "../../support/routing/two_nodes.ts";
import { test } from "../../support/runner.ts";

const seed = freshSeed();
const ENOUGH = 20_000;
const LATE = ["TRYAGAIN", "not-written"];
/** Messages in flight at most, so that many moves fall between them. */
const MOST = 600;

function producerOver({ streamer }: Routed, delivery: "at-least-once" | "at-most-once" = "at-least-once") {
  return streamer.createGenericProducer({ sharder: shardOfPayload, delivery });
}

/** Sends until the promise resolves, and until so many were sent, with pauses for other tasks. */
async function sendDuring(numbered: Numbered, producer: GenericProducer, work: Promise<unknown>, least = 0) {
  let over = false;
  const done = work.finally(() => over = true);
  done.catch(() => {}); // asserted below
  while (!over || numbered.count < least) {
    numbered.send(producer, 4);
    await turn();
    if (numbered.count - numbered.settled > MOST) {
      await until(() => numbered.count - numbered.settled < MOST / 2);
    }
  }
  await done;
}

/**
 * Without moves no command is redirected: after one round the producer knows all places, and the next one needs no
 * redirect.
 */
async function checkAtRest(both: TwoNodes, numbered: Numbered, producer: GenericProducer): Promise<void> {
  for (let round = 0; round < 3; round++) {
    const refused = [both.refusals("MOVED"), both.refusals("ASK")];
    numbered.send(producer);
    await producer.flush();
    if (round === 2) assertEquals([both.refusals("MOVED"), both.refusals("ASK")], refused);
  }
  assertEquals(both.faults, []);
}

/** The current shards of a node. */
function shardsAt(both: TwoNodes, numbered: Numbered, node: NodeIndex): number[] {
  return numbered.keys.flatMap((key, shard) => both.table.ownerOf(toySlotOf(key)) === node ? [shard] : []);
}

test("messages go straight to the node of their shard", async () => {
  await using both = await TwoNodes.start();
  await using routed = streamerOver(both);
  const producer = await producerOver(routed);
  const numbered = new Numbered(uniqueKey());
  numbered.send(producer, 100);
  await producer.flush();
  assertEquals(await numbered.checkStored(both, "at-least-once", 0), []);
  for (const { index, commands } of both.nodes) {
    assertEquals(commands.get("XADD"), shardsAt(both, numbered, index).length * 100);
  }
  assertEquals([both.refusals("MOVED"), both.faults], [0, []]);
});

test(`messages are stored in order, and once, while their slots move back and forth (seed ${seed})`, async () => {
  await using both = await TwoNodes.start();
  await using routed = streamerOver(both);
  const producer = await producerOver(routed);
  const numbered = new Numbered(uniqueKey());
  numbered.send(producer);
  await producer.flush();
  const mover = new Mover(both, numbered.keys, new Random(seed));
  const moveOften = async () => {
    for (let move = 0; move < 30; move++) {
      await mover.move(async () => {
        const asked = both.refusals("ASK");
        await until(() => both.refusals("ASK") > asked);
      });
      const { size } = numbered.acked;
      await until(() => numbered.acked.size > size + 100);
    }
  };
  await sendDuring(numbered, producer, moveOften(), ENOUGH);
  await checkAtRest(both, numbered, producer);
  assertEquals(await numbered.checkStored(both, "at-least-once", 0), [], mover.log.join("\n"));
  assert(both.refusals("MOVED") > 0 && both.refusals("ASK") > 0);
});

test(`of slots that arrive late, messages are stored in order, or rejected as not written (seed ${seed})`, async () => {
  await using both = await TwoNodes.start();
  await using routed = streamerOver(both);
  const producer = await producerOver(routed);
  const numbered = new Numbered(uniqueKey());
  numbered.send(producer);
  await producer.flush();
  const mover = new Mover(both, numbered.keys, new Random(seed), ["trying"]);
  const moveOften = async () => {
    for (let move = 0; move < 12; move++) {
      await mover.move(() => Promise.resolve());
      const { size } = numbered.acked;
      await until(() => numbered.acked.size > size + 100);
    }
  };
  await sendDuring(numbered, producer, moveOften());
  await producer.flush();
  for (const [shard, sends] of numbered.sent.entries()) {
    const endings = await endingsOf(sends);
    const key = numbered.keys[shard];
    checkStream(await entriesOf(both.at(key), key), endings, { delivery: "at-most-once" });
    // Messages refused before the slot arrived, while later ones of the same write were not.
    const failed = endings.flatMap((ending) => "error" in ending ? [ending] : []);
    for (const { error, outcome } of failed) assertEquals([Reflect.get(Object(error), "code"), outcome], LATE);
  }
  assertEquals(both.faults, []);
});

for (const delivery of ["at-least-once", "at-most-once"] as const) {
  test(`when a node is lost, its messages continue at the other one, in order (${delivery})`, async () => {
    await using both = await TwoNodes.start();
    await using routed = streamerOver(both);
    const producer = await producerOver(routed, delivery);
    const numbered = new Numbered(uniqueKey());
    numbered.send(producer);
    await producer.flush();
    let ackedBefore = new Set<string>();
    const lose = async () => {
      await until(() => numbered.acked.size > ENOUGH / 4);
      ackedBefore = new Set(numbered.acked);
      const losing = both.lose(0, { elected: () => until(() => both.nodes[0].refused > 2) });
      ackedBefore = new Set(numbered.acked); // its connections are cut by now
      await losing;
      const { size } = numbered.acked;
      await until(() => numbered.acked.size > size + 1_000);
      both.nodes[0].comeBack();
      for (const slot of new Set(numbered.keys.map(toySlotOf))) await both.move(slot, { notice: "never" });
    };
    await sendDuring(numbered, producer, lose(), ENOUGH);
    await checkAtRest(both, numbered, producer);
    const twice = await numbered.checkStored(both, delivery, 1);
    assertEquals(twice.filter((payload) => ackedBefore.has(payload)), [], "only messages in flight are stored twice");
    if (delivery === "at-most-once") assertEquals(twice, []);
    assert(shardsAt(both, numbered, 0).length === SHARD_COUNT, "all is at the node that was lost and has come back");
  }, { timeout: 60_000 });
}

test("while a node is away its shards wait, and the others do not", async () => {
  await using both = await TwoNodes.start();
  await using routed = streamerOver(both);
  const producer = await producerOver(routed);
  const numbered = new Numbered(uniqueKey());
  numbered.send(producer, 10);
  await producer.flush();
  const away = 0;
  const [waiting, going] = [shardsAt(both, numbered, away), shardsAt(both, numbered, otherNode(away))];
  const ackedOf = (shards: number[]) =>
    [...numbered.acked].filter((payload) => shards.includes(Number(payload.split(":")[0]))).length;
  await both.away(away, async () => {
    await until(() => both.nodes[away].refused > 0);
    const before = ackedOf(waiting);
    numbered.send(producer, 100);
    await until(() => ackedOf(going) === going.length * 110);
    await until(() => both.nodes[away].refused > 3);
    assertEquals(ackedOf(waiting), before);
  });
  await producer.flush();
  assertEquals(await numbered.checkStored(both, "at-least-once", 1), []);
  await checkAtRest(both, numbered, producer);
});

test(`slots move while their previous node is away, with messages in flight (seed ${seed})`, async () => {
  await using both = await TwoNodes.start();
  await using routed = streamerOver(both);
  const producer = await producerOver(routed);
  const numbered = new Numbered(uniqueKey());
  numbered.send(producer);
  await producer.flush();
  const random = new Random(seed);
  const cutOften = async () => {
    for (let cut = 0; cut < 6; cut++) {
      const node = random.of([0, 1] as const);
      await both.away(node, async () => {
        const mine = [...new Set(shardsAt(both, numbered, node).map((shard) => toySlotOf(numbered.keys[shard])))];
        const notice = random.of(["at-once", "after"] as const);
        for (const slot of mine.filter(() => random.below(2) === 0)) await both.move(slot, { notice });
        await until(() => both.nodes[node].refused > cut);
      });
      const { size } = numbered.acked;
      await until(() => numbered.acked.size > size + 500);
    }
  };
  await sendDuring(numbered, producer, cutOften());
  await checkAtRest(both, numbered, producer);
  await numbered.checkStored(both, "at-least-once", 6);
}, { timeout: 60_000 });

test("plain streams are routed like shards, and a permanent refusal of one stops no other", async () => {
  await using both = await TwoNodes.start();
  await using routed = streamerOver(both);
  const producer = await routed.streamer.createGenericProducer();
  const [mine, theirs, wrong] = [both.keyAt(0), both.keyAt(1), both.keyAt(1)];
  await both.at(wrong).command("SET", wrong, "no stream");
  const failing = producer.sendTo(wrong, "x").then(() => "stored", ({ code }) => code);
  const sends = [mine, theirs].flatMap((key) => [1, 2, 3].map((i) => producer.sendTo(key, `${i}`)));
  await Promise.all(sends);
  assertEquals(await failing, "WRONGTYPE");
  await both.move(toySlotOf(mine), { notice: "never" });
  await Promise.all([mine, theirs].flatMap((key) => [4, 5].map((i) => producer.sendTo(key, `${i}`))));
  for (const key of [mine, theirs]) assertEquals(await both.at(key).command("XLEN", key), 5);
  assertEquals(both.faults, []);
});
