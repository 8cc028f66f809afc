// Tests the search for an id among many batches: pages that overlap, that are out of order, and that are done
// meanwhile.

import { assertEquals } from "@std/assert";
import { compareIds } from "../../../streamer/model/id.ts";
import type { PendingBatch } from "../../../streamer/consumer/pending/pending_batch.ts";
import { BatchIndex } from "../../../streamer/consumer/pending/batch_index.ts";
import { Random } from "../../support/resp/drive.ts";
import { test } from "../../support/runner.ts";
import { batchOf, shardOf } from "../../support/consumer/batches.ts";

const shard = shardOf("s");

for (const seed of [41, 42, 43, 44, 45, 46]) {
  test(`an id is found in every batch that has it, however they overlap (seed ${seed})`, () => {
    const random = new Random(seed);
    const index = new BatchIndex();
    const batches = new Set<PendingBatch>();
    const times = seed % 2 === 0 ? 400 : 4; // many batches of one millisecond, or few
    const idBelow = () => `${random.below(times)}-${random.below(400)}`;
    for (let step = 0; step < 600; step++) {
      const [some] = batches;
      if (random.below(3) === 0 && some !== undefined) {
        const gone = random.of([...batches]);
        index.delete(gone);
        index.delete(gone);
        batches.delete(gone);
      } else {
        const ids = new Set(Array.from({ length: random.once(2) ? 1 : 1 + random.below(8) }, idBelow));
        const batch = batchOf(shard, [...ids].toSorted(compareIds));
        index.add(batch);
        batches.add(batch);
      }
      assertEquals([index.size, [...index]], [batches.size, [...batches]]);
      for (const id of [idBelow(), some?.idAt(0) ?? idBelow(), some?.idAt(some.size - 1) ?? idBelow()]) {
        const expected = [...batches].map((batch) => ({ batch, index: batch.find(id) })).filter((place) =>
          place.index >= 0
        );
        const found = [...index.find(id)];
        assertEquals(found.length, expected.length, id);
        for (const { batch, index } of expected) {
          assertEquals(found.some((place) => place.batch === batch && place.index === index), true, id);
        }
      }
    }
  });
}

test("of many pages only the one that may have an id is searched, in any order of the pages", () => {
  const index = new BatchIndex();
  let looked = 0;
  const firsts = Array.from({ length: 2_000 }, (_, i) => (i * 7) % 2_000);
  for (const first of firsts) {
    const batch = batchOf(shard, [`${first}-1`, `${first}-5`, `${first}-9`]);
    const find = batch.find.bind(batch);
    batch.find = (id) => {
      looked++;
      return find(id);
    };
    index.add(batch);
  }
  for (const first of firsts) assertEquals([...index.find(`${first}-5`)].map((place) => place.index), [1]);
  for (const first of firsts) assertEquals([...index.find(`${first}-10`)], []);
  assertEquals(looked, firsts.length);
});

test("batches that are done are no longer found", () => {
  const index = new BatchIndex();
  const kept = batchOf(shard, ["1-0"]);
  index.add(kept);
  for (let i = 2; i < 1_000; i++) {
    const batch = batchOf(shard, [`${i}-0`]);
    index.add(batch);
    assertEquals([...index.find(`${i}-0`)], [{ batch, index: 0 }]);
    index.delete(batch);
    assertEquals([...index.find("1-0")], [{ batch: kept, index: 0 }]);
  }
  assertEquals([...index], [kept]);
  assertEquals([...index.find("999-0")], []);
});
