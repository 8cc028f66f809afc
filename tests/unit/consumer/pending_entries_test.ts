// Tests the pending entries and their acknowledgements, by example and with a simple model.

import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import { ACK_IDS } from "../../../streamer/consumer/pending/ack_batch.ts";
import { PendingEntries } from "../../../streamer/consumer/pending/pending_entries.ts";
import { test } from "../../support/runner.ts";
import { batchOf, idsOf, shardOf } from "../../support/consumer/batches.ts";

const shard = shardOf("s");
const manual = () => new PendingEntries({ byTime: false });

function counts({ inFlight, nacked, unsent, sending, confirmed }: PendingEntries): number[] {
  return [inFlight, nacked, unsent, sending, confirmed];
}

test("an entry is prefetched, returned, acked, sent and confirmed, and each count shows it", () => {
  const pendingEntries = manual();
  const batch = batchOf(shard, ["1-0", "2-0"]);
  pendingEntries.add(batch);
  assertEquals(counts(pendingEntries), [0, 0, 0, 0, 0]);
  assert(pendingEntries.take(batch, 0, 5));
  assertEquals(counts(pendingEntries), [1, 0, 0, 0, 0]);
  assert(pendingEntries.ack(batch, 0));
  assertEquals(counts(pendingEntries), [0, 0, 1, 0, 0]);
  const [acks, ...more] = pendingEntries.collect();
  assertEquals([more.length, acks.count, idsOf(acks.ids)], [0, 1, ["1-0"]]);
  assertEquals(counts(pendingEntries), [0, 0, 0, 1, 0]);
  pendingEntries.confirm(acks);
  assertEquals(counts(pendingEntries), [0, 0, 0, 0, 1]);
  assertEquals(pendingEntries.collect(), []);
});

test("acking twice sends once, at any time", () => {
  const pendingEntries = manual();
  const batch = batchOf(shard, ["1-0"]);
  pendingEntries.add(batch);
  pendingEntries.take(batch, 0, 5);
  assert(pendingEntries.ack(batch, 0));
  assertEquals(pendingEntries.ack(batch, 0), false);
  const [acks] = pendingEntries.collect();
  assertEquals(pendingEntries.ack(batch, 0), false);
  assertEquals([acks.count, pendingEntries.unsent], [1, 0]);
  pendingEntries.confirm(acks);
  assertEquals(pendingEntries.ack(batch, 0), false);
  assertEquals([counts(pendingEntries), pendingEntries.collect()], [[0, 0, 0, 0, 1], []]);
});

test("no entry is returned twice, or after it was acked", () => {
  const pendingEntries = manual();
  const batch = batchOf(shard, ["1-0", "2-0"]);
  pendingEntries.add(batch);
  assert(pendingEntries.take(batch, 0, 5));
  assertEquals(pendingEntries.take(batch, 0, 6), false);
  pendingEntries.ack(batch, 1); // by its identifier, while it is prefetched
  assertEquals(pendingEntries.take(batch, 1, 6), false);
  assertEquals(counts(pendingEntries), [1, 0, 1, 0, 0]);
});

test("an ack whose command failed is sent the next time", () => {
  const pendingEntries = manual();
  const batch = batchOf(shard, ["1-0", "2-0", "3-0"]);
  pendingEntries.add(batch);
  for (const i of [0, 2]) pendingEntries.ack(batch, i);
  const [acks] = pendingEntries.collect();
  assertEquals(idsOf(acks.ids), ["1-0", "3-0"]);
  pendingEntries.restore(acks);
  assertEquals(counts(pendingEntries), [0, 0, 2, 0, 0]);
  pendingEntries.ack(batch, 1);
  const again = pendingEntries.collect();
  assertEquals(again.map(({ ids }) => idsOf(ids)), [["1-0", "2-0", "3-0"]]);
  pendingEntries.confirm(again[0]);
  assertEquals(counts(pendingEntries), [0, 0, 0, 0, 3]);
});

test("ids of an earlier run are acknowledged as requested, once each", () => {
  const pendingEntries = manual();
  for (const id of ["7-1", "3-18446744073709551615", "7-1"]) pendingEntries.ackById(shard, id);
  assertEquals(pendingEntries.unsent, 2);
  const [acks] = pendingEntries.collect();
  assertEquals([acks.count, idsOf(acks.ids).sort()], [2, ["3-18446744073709551615", "7-1"]]);
  pendingEntries.confirm(acks);
  assertEquals(counts(pendingEntries), [0, 0, 0, 0, 2]);
});

test("ids of an earlier run whose command failed are sent the next time", () => {
  const pendingEntries = manual();
  const batch = batchOf(shard, ["1-0"]);
  pendingEntries.add(batch);
  pendingEntries.ack(batch, 0);
  pendingEntries.ackById(shard, "7-1");
  const [acks] = pendingEntries.collect();
  pendingEntries.restore(acks);
  assertEquals(counts(pendingEntries), [0, 0, 2, 0, 0]);
  const [again] = pendingEntries.collect();
  assertEquals(idsOf(again.ids).sort(), ["1-0", "7-1"]);
  pendingEntries.confirm(again);
  assertEquals(counts(pendingEntries), [0, 0, 0, 0, 2]);
});

test("no command is larger than its bound, and together they have exactly the acked ids, shard by shard", () => {
  const other = shardOf("t");
  const pendingEntries = manual();
  const idsFrom = (first: number) => Array.from({ length: 1_700 }, (_, i) => `${first}-${i}`);
  const batches = [batchOf(shard, idsFrom(1)), batchOf(other, idsFrom(2)), batchOf(shard, idsFrom(3))];
  const expected = new Map<string, string[]>([["s", []], ["t", []]]);
  for (const batch of batches) {
    pendingEntries.add(batch);
    for (let i = 0; i < batch.size; i++) {
      if (i % 7 === 3) continue;
      pendingEntries.ack(batch, i);
      expected.get(batch.shard.redisKey)?.push(batch.idAt(i));
    }
  }
  pendingEntries.ackById(shard, "9-9");
  expected.get("s")?.push("9-9");
  const ackBatches = pendingEntries.collect();
  const sent = new Map<string, string[]>([["s", []], ["t", []]]);
  for (const acks of ackBatches) {
    const ids = idsOf(acks.ids);
    assertLessOrEqual(acks.count, ACK_IDS);
    assertEquals(ids.length, acks.count);
    sent.get(acks.shard.redisKey)?.push(...ids);
  }
  assertLessOrEqual(ACK_IDS, 1_000);
  for (const [key, ids] of expected) assertEquals(sent.get(key)?.sort(), ids.sort(), key);
  for (const acks of ackBatches) pendingEntries.confirm(acks);
  assertEquals(counts(pendingEntries), [0, 0, 0, 0, expected.get("s")!.length + expected.get("t")!.length]);
});

test("time-based acknowledgement covers messages returned by then, of any page, and no others", () => {
  const pendingEntries = new PendingEntries({ byTime: true });
  const [one, two] = [batchOf(shard, ["1-0", "2-0", "3-0"]), batchOf(shard, ["4-0", "5-0"])];
  pendingEntries.add(one);
  pendingEntries.add(two);
  assertEquals(pendingEntries.oldestDelivery, undefined);
  pendingEntries.take(one, 0, 10);
  pendingEntries.take(one, 1, 20);
  pendingEntries.take(two, 0, 20);
  pendingEntries.take(one, 2, 30);
  assertEquals(pendingEntries.oldestDelivery, 10);
  pendingEntries.ackDelivered(9);
  assertEquals(pendingEntries.unsent, 0);
  pendingEntries.ackDelivered(20);
  assertEquals([pendingEntries.unsent, pendingEntries.oldestDelivery], [3, 30]);
  assertEquals(pendingEntries.collect().flatMap(({ ids }) => idsOf(ids)).sort(), ["1-0", "2-0", "4-0"]);
  pendingEntries.ackDelivered(Infinity);
  assertEquals(pendingEntries.collect().flatMap(({ ids }) => idsOf(ids)), ["3-0"]);
  assertEquals([pendingEntries.inFlight, pendingEntries.oldestDelivery], [0, undefined]);
});

test("an entry is found by its id until it is settled", () => {
  const pendingEntries = manual();
  const batch = batchOf(shard, ["1-0", "2-0"]);
  pendingEntries.add(batch);
  assertEquals(pendingEntries.find(shard, "2-0"), { batch, index: 1 });
  assertEquals(pendingEntries.find(shardOf("s"), "2-0"), undefined, "another consumer's shard of that key");
  pendingEntries.ack(batch, 1);
  assertEquals(pendingEntries.find(shard, "2-0"), { batch, index: 1 });
  pendingEntries.confirm(pendingEntries.collect()[0]);
  assertEquals(pendingEntries.find(shard, "2-0"), undefined);
  assertEquals([...pendingEntries.batchesOf(shard)], [batch]);
  pendingEntries.finish(batch, 0);
  assertEquals([...pendingEntries.batchesOf(shard)], []);
});

test("an entry that is released or nacked is no longer in flight, and can be acked unless it is settled", () => {
  const pendingEntries = manual();
  const batch = batchOf(shard, ["1-0", "2-0", "3-0", "4-0"]);
  pendingEntries.add(batch);
  for (let i = 0; i < 4; i++) pendingEntries.take(batch, i, 5);
  assert(pendingEntries.nack(batch, 0));
  pendingEntries.release(batch, 1, 5);
  assert(pendingEntries.settle(batch, 2));
  assertEquals(counts(pendingEntries), [1, 1, 0, 0, 0]);
  assertEquals(pendingEntries.nack(batch, 0), false, "twice");
  assert(pendingEntries.ack(batch, 0));
  assertEquals(pendingEntries.ack(batch, 1), false, "it is not acknowledged as an entry in flight");
  assertEquals(pendingEntries.find(shard, "2-0"), undefined);
  assertEquals(pendingEntries.ack(batch, 2), false);
  assertEquals(pendingEntries.nack(batch, 0), false, "a nack of an acked entry");
  assertEquals(counts(pendingEntries), [1, 0, 1, 0, 0]);
  pendingEntries.acknowledged(batch, 2);
  assertEquals(counts(pendingEntries), [1, 0, 1, 0, 1]);
});
