// Owns where an id is found among many lots: pages that overlap, that come out of order, and that are done meanwhile. Must not need a
// server.

import { assertEquals } from "@std/assert";
import { compareIds } from "../../../streamer/model/id.ts";
import type { Lot } from "../../../streamer/consumer/lot.ts";
import { LotIndex } from "../../../streamer/consumer/lot_index.ts";
import { Random } from "../../resp/drive.ts";
import { test } from "../../support/runner.ts";
import { lotOf, shardOf } from "./lots.ts";

const shard = shardOf("s");

for (const seed of [41, 42, 43, 44, 45, 46]) {
  test(`an id is found in every lot that has it, however they overlap (seed ${seed})`, () => {
    const random = new Random(seed);
    const index = new LotIndex();
    const lots = new Set<Lot>();
    const times = seed % 2 === 0 ? 400 : 4; // many lots of one millisecond, or few
    const idBelow = () => `${random.below(times)}-${random.below(400)}`;
    for (let step = 0; step < 600; step++) {
      const [some] = lots;
      if (random.below(3) === 0 && some !== undefined) {
        const gone = random.of([...lots]);
        index.delete(gone);
        index.delete(gone);
        lots.delete(gone);
      } else {
        const ids = new Set(Array.from({ length: random.once(2) ? 1 : 1 + random.below(8) }, idBelow));
        const lot = lotOf(shard, [...ids].toSorted(compareIds));
        index.add(lot);
        lots.add(lot);
      }
      assertEquals([index.size, [...index]], [lots.size, [...lots]]);
      for (const id of [idBelow(), some?.idAt(0) ?? idBelow(), some?.idAt(some.size - 1) ?? idBelow()]) {
        const expected = [...lots].map((lot) => ({ lot, index: lot.find(id) })).filter((place) => place.index >= 0);
        const found = [...index.find(id)];
        assertEquals(found.length, expected.length, id);
        for (const { lot, index } of expected) {
          assertEquals(found.some((place) => place.lot === lot && place.index === index), true, id);
        }
      }
    }
  });
}

test("of many pages only the one that may have an id is looked into, also when they come in any order", () => {
  const index = new LotIndex();
  let looked = 0;
  const firsts = Array.from({ length: 2_000 }, (_, i) => (i * 7) % 2_000);
  for (const first of firsts) {
    const lot = lotOf(shard, [`${first}-1`, `${first}-5`, `${first}-9`]);
    const find = lot.find.bind(lot);
    lot.find = (id) => {
      looked++;
      return find(id);
    };
    index.add(lot);
  }
  for (const first of firsts) assertEquals([...index.find(`${first}-5`)].map((place) => place.index), [1]);
  for (const first of firsts) assertEquals([...index.find(`${first}-10`)], []);
  assertEquals(looked, firsts.length);
});

test("lots that are done are found no more", () => {
  const index = new LotIndex();
  const kept = lotOf(shard, ["1-0"]);
  index.add(kept);
  for (let i = 2; i < 1_000; i++) {
    const lot = lotOf(shard, [`${i}-0`]);
    index.add(lot);
    assertEquals([...index.find(`${i}-0`)], [{ lot, index: 0 }]);
    index.delete(lot);
    assertEquals([...index.find("1-0")], [{ lot: kept, index: 0 }]);
  }
  assertEquals([...index], [kept]);
  assertEquals([...index.find("999-0")], []);
});
