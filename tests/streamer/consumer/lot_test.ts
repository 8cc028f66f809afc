// Owns what is kept of a page: its ids, exactly, and where each entry is found. Must not need a server.

import { assert, assertEquals } from "@std/assert";
import { HELD } from "../../../streamer/consumer/lot.ts";
import { Random } from "../../resp/drive.ts";
import { test } from "../../support/runner.ts";
import { idsOf, lotOf, shardOf } from "./lots.ts";

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
  "9007199254740993-0", // beyond what a number holds
  "18446744073709551615-18446744073709551615",
];

test("ids of every length are given as they came, alone and together", () => {
  const lot = lotOf(shard, LENGTHS);
  assertEquals(lot.size, LENGTHS.length);
  assertEquals(LENGTHS.map((_, i) => lot.idAt(i)), LENGTHS);
  for (let from = 0; from < LENGTHS.length; from++) {
    for (let to = from + 1; to <= LENGTHS.length; to++) {
      assertEquals(idsOf(lot.encodedIds(from, to)), LENGTHS.slice(from, to));
    }
  }
});

test("each entry is found by its id, and nothing else is", () => {
  const lot = lotOf(shard, LENGTHS);
  LENGTHS.forEach((id, i) => assertEquals(lot.find(id), i, id));
  for (const id of ["0-0", "0-2", "1-1", "1700000000000-1", "9007199254740992-0", "18446744073709551615-0"]) {
    assertEquals(lot.find(id), -1, id);
  }
});

test("a lot knows where it begins and ends", () => {
  const lot = lotOf(shard, ["5-0", "5-1", "7-0"]);
  assertEquals([lot.first, lot.last], [{ id: "5-0", time: 5 }, { id: "7-0", time: 7 }]);
  assertEquals(["4-9", "5-0", "6-0", "7-0", "8-0"].map((id) => lot.find(id)), [-1, 0, -1, 2, -1]);
  const one = lotOf(shard, ["5-0"]);
  assertEquals([one.first, one.last, one.find("5-0"), one.find("5-1")], [one.last, one.first, 0, -1]);
});

test("the deliveries of each are kept, and are 1 where nothing is said", () => {
  const said = lotOf(shard, ["1-0", "2-0", "3-0"], [3, 1, 1_000_000]);
  assertEquals([0, 1, 2].map((i) => said.deliveriesOf(i)), [3, 1, 1_000_000]);
  assertEquals(lotOf(shard, ["1-0", "2-0"]).deliveriesOf(1), 1);
});

test("when each was returned is known to the millisecond, hours after it was read", () => {
  const lot = lotOf(shard, ["1-0", "2-0", "3-0"]);
  const hours = 4 * 3_600_000;
  lot.returned(0, 1_000);
  lot.returned(1, 1_001);
  lot.returned(2, 1_000 + hours);
  assertEquals([0, 1, 2].map((i) => Math.round(lot.heldSince(i))), [1_000, 1_001, 1_000 + hours]);
});

test("all of them are read ahead and open at first", () => {
  const lot = lotOf(shard, ["1-0", "2-0"]);
  assertEquals([...lot.states], [HELD.queued, HELD.queued]);
  assertEquals([lot.open, lot.acked, lot.orphaned], [2, 0, false]);
});

test("what is kept of a page does not keep the page", () => {
  const ids = Array.from({ length: 1_000 }, (_, i) => `1700000000000-${i}`);
  const lot = lotOf(shard, ids);
  const { byteLength } = lot.encodedIds(0, 1_000).buffer;
  assert(byteLength < 1_000 * 26, `${byteLength} bytes`);
});

test("ids of random lengths come out as they went in (seed 21)", () => {
  const random = new Random(21);
  for (let round = 0; round < 200; round++) {
    const ids: string[] = [];
    let first = 0n;
    for (let i = 1 + random.below(40); i > 0; i--) {
      first += BigInt(1 + random.below(10 ** random.below(9)));
      ids.push(`${first}-${random.below(10 ** random.below(9))}`);
    }
    const lot = lotOf(shard, ids);
    assertEquals(idsOf(lot.encodedIds(0, ids.length)), ids);
    for (let i = 0; i < ids.length; i++) {
      assertEquals(lot.idAt(i), ids[i]);
      assertEquals(lot.find(ids[i]), i);
    }
  }
});
