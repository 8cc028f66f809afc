// Owns the account of what is held and what is to be acknowledged, by example and against a simple model. Must not need a
// server.

import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import { ACK_IDS, Ledger } from "../../../streamer/consumer/ledger.ts";
import { HELD } from "../../../streamer/consumer/lot.ts";
import { test } from "../../support/runner.ts";
import { idsOf, lotOf, shardOf } from "./lots.ts";

const shard = shardOf("s");
const manual = () => new Ledger({ byTime: false });

function counts({ inHand, nacked, unsent, sending, confirmed }: Ledger): number[] {
  return [inHand, nacked, unsent, sending, confirmed];
}

test("an entry goes from the page to the user, is acked, sent and confirmed, and each count tells of it", () => {
  const ledger = manual();
  const lot = lotOf(shard, ["1-0", "2-0"]);
  ledger.add(lot);
  assertEquals(counts(ledger), [0, 0, 0, 0, 0]);
  assert(ledger.take(lot, 0, 5));
  assertEquals(counts(ledger), [1, 0, 0, 0, 0]);
  assert(ledger.ack(lot, 0));
  assertEquals(counts(ledger), [0, 0, 1, 0, 0]);
  const [batch, ...more] = ledger.collect();
  assertEquals([more.length, batch.count, idsOf(batch.ids)], [0, 1, ["1-0"]]);
  assertEquals(counts(ledger), [0, 0, 0, 1, 0]);
  ledger.confirm(batch);
  assertEquals(counts(ledger), [0, 0, 0, 0, 1]);
  assertEquals(ledger.collect(), []);
});

test("acking twice sends once, whenever the second time is", () => {
  const ledger = manual();
  const lot = lotOf(shard, ["1-0"]);
  ledger.add(lot);
  ledger.take(lot, 0, 5);
  assert(ledger.ack(lot, 0));
  assertEquals(ledger.ack(lot, 0), false);
  const [batch] = ledger.collect();
  assertEquals(ledger.ack(lot, 0), false);
  assertEquals([batch.count, ledger.unsent], [1, 0]);
  ledger.confirm(batch);
  assertEquals(ledger.ack(lot, 0), false);
  assertEquals([counts(ledger), ledger.collect()], [[0, 0, 0, 0, 1], []]);
});

test("nothing is handed out twice, nor once it is acked", () => {
  const ledger = manual();
  const lot = lotOf(shard, ["1-0", "2-0"]);
  ledger.add(lot);
  assert(ledger.take(lot, 0, 5));
  assertEquals(ledger.take(lot, 0, 6), false);
  ledger.ack(lot, 1); // by its identifier, while it is read ahead
  assertEquals(ledger.take(lot, 1, 6), false);
  assertEquals(counts(ledger), [1, 0, 1, 0, 0]);
});

test("a batch that was not sent is to be sent still, and goes the next time", () => {
  const ledger = manual();
  const lot = lotOf(shard, ["1-0", "2-0", "3-0"]);
  ledger.add(lot);
  for (const i of [0, 2]) ledger.ack(lot, i);
  const [batch] = ledger.collect();
  assertEquals(idsOf(batch.ids), ["1-0", "3-0"]);
  ledger.restore(batch);
  assertEquals(counts(ledger), [0, 0, 2, 0, 0]);
  ledger.ack(lot, 1);
  const again = ledger.collect();
  assertEquals(again.map(({ ids }) => idsOf(ids)), [["1-0", "2-0", "3-0"]]);
  ledger.confirm(again[0]);
  assertEquals(counts(ledger), [0, 0, 0, 0, 3]);
});

test("ids of an earlier life are acknowledged as asked, once each", () => {
  const ledger = manual();
  for (const id of ["7-1", "3-18446744073709551615", "7-1"]) ledger.ackForeign(shard, id);
  assertEquals(ledger.unsent, 2);
  const [batch] = ledger.collect();
  assertEquals([batch.count, idsOf(batch.ids).sort()], [2, ["3-18446744073709551615", "7-1"]]);
  ledger.confirm(batch);
  assertEquals(counts(ledger), [0, 0, 0, 0, 2]);
});

test("ids of an earlier life that could not be sent are to be sent still", () => {
  const ledger = manual();
  const lot = lotOf(shard, ["1-0"]);
  ledger.add(lot);
  ledger.ack(lot, 0);
  ledger.ackForeign(shard, "7-1");
  const [batch] = ledger.collect();
  ledger.restore(batch);
  assertEquals(counts(ledger), [0, 0, 2, 0, 0]);
  const [again] = ledger.collect();
  assertEquals(idsOf(again.ids).sort(), ["1-0", "7-1"]);
  ledger.confirm(again);
  assertEquals(counts(ledger), [0, 0, 0, 0, 2]);
});

test("no batch is larger than its bound, and together they are exactly what was acked, shard by shard", () => {
  const other = shardOf("t");
  const ledger = manual();
  const idsFrom = (first: number) => Array.from({ length: 1_700 }, (_, i) => `${first}-${i}`);
  const lots = [lotOf(shard, idsFrom(1)), lotOf(other, idsFrom(2)), lotOf(shard, idsFrom(3))];
  const expected = new Map<string, string[]>([["s", []], ["t", []]]);
  for (const lot of lots) {
    ledger.add(lot);
    for (let i = 0; i < lot.size; i++) {
      if (i % 7 === 3) continue;
      ledger.ack(lot, i);
      expected.get(lot.shard.redisKey)?.push(lot.idAt(i));
    }
  }
  ledger.ackForeign(shard, "9-9");
  expected.get("s")?.push("9-9");
  const batches = ledger.collect();
  const sent = new Map<string, string[]>([["s", []], ["t", []]]);
  for (const batch of batches) {
    const ids = idsOf(batch.ids);
    assertLessOrEqual(batch.count, ACK_IDS);
    assertEquals(ids.length, batch.count);
    sent.get(batch.shard.redisKey)?.push(...ids);
  }
  assertLessOrEqual(ACK_IDS, 1_000);
  for (const [key, ids] of expected) assertEquals(sent.get(key)?.sort(), ids.sort(), key);
  for (const batch of batches) ledger.confirm(batch);
  assertEquals(counts(ledger), [0, 0, 0, 0, expected.get("s")!.length + expected.get("t")!.length]);
});

test("what time acknowledges is what was returned by then, of any page, and nothing else", () => {
  const ledger = new Ledger({ byTime: true });
  const [one, two] = [lotOf(shard, ["1-0", "2-0", "3-0"]), lotOf(shard, ["4-0", "5-0"])];
  ledger.add(one);
  ledger.add(two);
  assertEquals(ledger.oldestReturned, undefined);
  ledger.take(one, 0, 10);
  ledger.take(one, 1, 20);
  ledger.take(two, 0, 20);
  ledger.take(one, 2, 30);
  assertEquals(ledger.oldestReturned, 10);
  ledger.ackReturned(9);
  assertEquals(ledger.unsent, 0);
  ledger.ackReturned(20);
  assertEquals([ledger.unsent, ledger.oldestReturned], [3, 30]);
  assertEquals(ledger.collect().flatMap(({ ids }) => idsOf(ids)).sort(), ["1-0", "2-0", "4-0"]);
  ledger.ackReturned(Infinity);
  assertEquals(ledger.collect().flatMap(({ ids }) => idsOf(ids)), ["3-0"]);
  assertEquals([ledger.inHand, ledger.oldestReturned], [0, undefined]);
});

test("an entry is found by its id until nothing is left to do about it", () => {
  const ledger = manual();
  const lot = lotOf(shard, ["1-0", "2-0"]);
  ledger.add(lot);
  assertEquals(ledger.find(shard, "2-0"), { lot, index: 1 });
  assertEquals(ledger.find(shardOf("s"), "2-0"), undefined, "another consumer's shard of that key");
  ledger.ack(lot, 1);
  assertEquals(ledger.find(shard, "2-0"), { lot, index: 1 });
  ledger.confirm(ledger.collect()[0]);
  assertEquals(ledger.find(shard, "2-0"), undefined);
  assertEquals([...ledger.lotsOf(shard)], [lot]);
  ledger.finish(lot, 0);
  assertEquals([...ledger.lotsOf(shard)], []);
});

test("what leaves the user's hands another way is no longer in hand, and can be acked unless it has ended", () => {
  const ledger = manual();
  const lot = lotOf(shard, ["1-0", "2-0", "3-0", "4-0"]);
  ledger.add(lot);
  for (let i = 0; i < 4; i++) ledger.take(lot, i, 5);
  assert(ledger.move(lot, 0, HELD.nacked));
  ledger.release(lot, 1);
  assert(ledger.move(lot, 2, HELD.ending));
  assertEquals(counts(ledger), [1, 1, 0, 0, 0]);
  assertEquals(ledger.move(lot, 0, HELD.nacked), false, "twice");
  assert(ledger.ack(lot, 0));
  assertEquals(ledger.ack(lot, 1), false, "it is not ours to acknowledge as one that is held");
  assertEquals(ledger.find(shard, "2-0"), undefined);
  assertEquals(ledger.ack(lot, 2), false);
  assertEquals(ledger.move(lot, 0, HELD.nacked), false, "a nack of what was acked");
  assertEquals(counts(ledger), [1, 0, 1, 0, 0]);
  ledger.acknowledged(lot, 2);
  assertEquals(counts(ledger), [1, 0, 1, 0, 1]);
});
