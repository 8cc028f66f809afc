// Tests the data kept of a page: its exact ids, and the place of each entry.

import { assert, assertEquals } from "@std/assert";
import { ENTRY_STATE } from "../../../streamer/consumer/pending/entry_state.ts";
import { Random } from "../../support/resp/drive.ts";
import { test } from "../../support/runner.ts";
import { batchOf, idsOf, shardOf } from "../../support/consumer/batches.ts";

const shard = shardOf("s");

const LENGTHS = [
  "0-1", // a length of one digit
  "1-0",
  "999-9999", // eight bytes
  "9999-9999", // nine: the last length of one digit
  "99999-9999", // ten: the first of two
  "1700000000000-0",
  "1700000000000-65535",
  "1700000000000-65536",
  "9007199254740993-0", // beyond the range of a number
  "18446744073709551615-18446744073709551615",
];

test("ids of every length are returned unchanged, alone and together", () => {
  const batch = batchOf(shard, LENGTHS);
  assertEquals(batch.size, LENGTHS.length);
  assertEquals(LENGTHS.map((_, i) => batch.idAt(i)), LENGTHS);
  for (let from = 0; from < LENGTHS.length; from++) {
    for (let to = from + 1; to <= LENGTHS.length; to++) {
      assertEquals(idsOf(batch.encodedIds(from, to)), LENGTHS.slice(from, to));
    }
  }
});

test("each entry is found by its id, and no other is", () => {
  const batch = batchOf(shard, LENGTHS);
  LENGTHS.forEach((id, i) => assertEquals(batch.find(id), i, id));
  for (const id of ["0-0", "0-2", "1-1", "1700000000000-1", "9007199254740992-0", "18446744073709551615-0"]) {
    assertEquals(batch.find(id), -1, id);
  }
});

test("a batch has its first and its last id", () => {
  const batch = batchOf(shard, ["5-0", "5-1", "7-0"]);
  assertEquals([batch.first, batch.last], [{ id: "5-0", time: 5 }, { id: "7-0", time: 7 }]);
  assertEquals(["4-9", "5-0", "6-0", "7-0", "8-0"].map((id) => batch.find(id)), [-1, 0, -1, 2, -1]);
  const one = batchOf(shard, ["5-0"]);
  assertEquals([one.first, one.last, one.find("5-0"), one.find("5-1")], [one.last, one.first, 0, -1]);
});

test("the deliveries of each entry are kept, and are 1 by default", () => {
  const said = batchOf(shard, ["1-0", "2-0", "3-0"], [3, 1, 1_000_000]);
  assertEquals([0, 1, 2].map((i) => said.deliveriesOf(i)), [3, 1, 1_000_000]);
  assertEquals(batchOf(shard, ["1-0", "2-0"]).deliveriesOf(1), 1);
});

test("the time of each return is known to the millisecond, hours after the page was read", () => {
  const batch = batchOf(shard, ["1-0", "2-0", "3-0"]);
  const hours = 4 * 3_600_000;
  batch.markDelivered(0, 1_000);
  batch.markDelivered(1, 1_001);
  batch.markDelivered(2, 1_000 + hours);
  assertEquals([0, 1, 2].map((i) => Math.round(batch.deliveredAt(i))), [1_000, 1_001, 1_000 + hours]);
});

test("all entries are prefetched and open at first", () => {
  const batch = batchOf(shard, ["1-0", "2-0"]);
  assertEquals([...batch.states], [ENTRY_STATE.queued, ENTRY_STATE.queued]);
  assertEquals([batch.open, batch.groupLost], [2, false]);
});

test("the data kept of a page does not keep the page", () => {
  const ids = Array.from({ length: 1_000 }, (_, i) => `1700000000000-${i}`);
  const batch = batchOf(shard, ids);
  const { byteLength } = batch.encodedIds(0, 1_000).buffer;
  assert(byteLength < 1_000 * 26, `${byteLength} bytes`);
});

test("ids of random lengths are returned unchanged (seed 21)", () => {
  const random = new Random(21);
  for (let round = 0; round < 200; round++) {
    const ids: string[] = [];
    let first = 0n;
    for (let i = 1 + random.below(40); i > 0; i--) {
      first += BigInt(1 + random.below(10 ** random.below(9)));
      ids.push(`${first}-${random.below(10 ** random.below(9))}`);
    }
    const batch = batchOf(shard, ids);
    assertEquals(idsOf(batch.encodedIds(0, ids.length)), ids);
    for (let i = 0; i < ids.length; i++) {
      assertEquals(batch.idAt(i), ids[i]);
      assertEquals(batch.find(ids[i]), i);
    }
  }
});
