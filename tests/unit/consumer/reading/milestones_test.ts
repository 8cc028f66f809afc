// Tests which ids are remembered of the entries that were read: few, and so that a lost tail repeats at most as many as were lost.

import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import { Milestones, neededAges } from "../../../../streamer/consumer/shards/milestones.ts";
import { freshSeed, Random } from "../../../support/resp/drive.ts";
import { test } from "../../../support/runner.ts";

const seed = freshSeed();
const idOf = (number: number) => `${number}-0`;
const numbers = (milestones: Milestones) => milestones.latestFirst.map((id) => Number(id.split("-")[0]));

/** The milestones after pages with so many entries, which are numbered from 1. */
function after(...pages: readonly number[]): Milestones {
  return afterAll(pages);
}

function afterAll(pages: Iterable<number>): Milestones {
  const milestones = new Milestones();
  let read = 0;
  for (const count of pages) {
    const before = read;
    milestones.add({ count, idAt: (index) => idOf(before + index + 1) });
    read += count;
  }
  return milestones;
}

test("of a page the last entry is remembered, and those 1, 2, 4, 8 … before it", () => {
  assertEquals(numbers(after(100)), [100, 99, 98, 96, 92, 84, 68, 36]);
  assertEquals([numbers(after(1)), numbers(after(2)), numbers(after(3))], [[1], [2, 1], [3, 2, 1]]);
  assertEquals([numbers(after()), numbers(after(0))], [[], []]);
});

test("each age that is needed is at most twice the one before, if there is one", () => {
  assertEquals(neededAges([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]).map(String).join(" "), "0 1 2 4 8 9");
  assertEquals(neededAges([0, 5, 6, 7, 20, 90]), [0, 1, 3, 4, 5], "where there is none, the next one is kept");
  assertEquals([neededAges([0]), neededAges([0, 1])], [[0], [0, 1]]);
});

test(`at most as many entries are read twice as were lost, from few milestones (seed ${seed})`, () => {
  const random = new Random(seed);
  for (let round = 0; round < 40; round++) {
    const pages = Array.from({ length: 1 + random.below(400) }, () => random.once(3) ? 1 : 1 + random.below(1_000));
    const read = pages.reduce((sum, count) => sum + count, 0);
    const milestones = numbers(after(...pages));
    assertLessOrEqual(milestones.length, 64);
    assertEquals(milestones[0], read);
    for (let i = 0; i < 50; i++) {
      const lost = 1 + random.below(Math.max(1, Math.floor(read / 2)));
      const resumed = milestones.find((number) => number <= read - lost);
      if (resumed === undefined) assert(read - lost < 1 || lost * 2 > read, `${lost} of ${read}`);
      else assertLessOrEqual(read - lost - resumed, lost, `${lost} of ${read}`);
    }
  }
});

test("millions of single entries leave few milestones, the farthest about a million entries ago", () => {
  const milestones = afterAll(Array.from({ length: 3_000_000 }, () => 1));
  const ages = numbers(milestones).map((number) => 3_000_000 - number);
  assertLessOrEqual(ages.length, 64);
  const farthest = ages[ages.length - 1];
  assert(farthest > 500_000 && farthest < 2_200_000, `${farthest}`);
});

test("if reading goes back, later milestones are forgotten", () => {
  const milestones = after(100);
  milestones.dropAfter("90-0");
  assertEquals(numbers(milestones), [84, 68, 36]);
  milestones.add({ count: 2, idAt: (index) => idOf(91 + index) });
  assertEquals(numbers(milestones), [92, 91, 84, 68, 36]);
  milestones.dropAfter("0-0");
  assertEquals(numbers(milestones), []);
});
