// Tests the decisions about the number of entries in a page, from the sizes seen.

import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import { firstCount, halveCount, nextCount, widthOf } from "../../../streamer/commands/page_count.ts";
import { Random } from "../../support/resp/drive.ts";
import { test } from "../../support/runner.ts";

const roomy = { batchSize: undefined, pageBytes: 32 * 1024 * 1024 };

test("the count starts at 100, doubles while pages are full, and stops at 1000", () => {
  let state = firstCount(undefined);
  const counts = [state.count];
  for (let i = 0; i < 6; i++) {
    const entries = state.count;
    state = nextCount(state, { entries, total: entries, bytes: entries * 100, streams: 1 }, roomy);
    counts.push(state.count);
  }
  assertEquals(counts, [100, 200, 400, 800, 1000, 1000, 1000]);
});

test("a page that is not full does not change the count", () => {
  const state = nextCount(firstCount(undefined), { entries: 99, total: 99, bytes: 9_900, streams: 1 }, roomy);
  assertEquals(state.count, 100);
});

test("a given batch size is the count, never more", () => {
  let state = firstCount(7);
  assertEquals(state.count, 7);
  for (let i = 0; i < 5; i++) {
    state = nextCount(state, { entries: 7, total: 7, bytes: 70, streams: 1 }, { ...roomy, batchSize: 7 });
    assertEquals(state.count, 7);
  }
});

test("large entries lower the count at once, small ones raise it again, and it is never below 1", () => {
  const limits = { batchSize: undefined, pageBytes: 100_000 };
  let state = nextCount(firstCount(undefined), { entries: 100, total: 100, bytes: 1_000_000, streams: 1 }, limits);
  assertEquals(state.count, 10);
  state = nextCount(state, { entries: 1, total: 1, bytes: 5_000_000, streams: 1 }, limits);
  assertEquals(state.count, 1);
  for (let i = 0; i < 40; i++) {
    const { count } = state;
    state = nextCount(state, { entries: count, total: count, bytes: count * 50, streams: 1 }, limits);
  }
  assertEquals(state.count, 1000);
});

test("with a batch size too, large entries lower the count, and it rises again up to the batch size", () => {
  const limits = { batchSize: 50, pageBytes: 100_000 };
  let state = nextCount(firstCount(50), { entries: 50, total: 50, bytes: 500_000, streams: 1 }, limits);
  assertEquals(state.count, 10);
  for (let i = 0; i < 20; i++) state = nextCount(state, { entries: 10, total: 10, bytes: 100, streams: 1 }, limits);
  assertEquals(state.count, 50);
});

test("the count stays within its bounds for any pages (seed 7)", () => {
  const random = new Random(7);
  for (let round = 0; round < 500; round++) {
    const batchSize = random.once(2) ? undefined : 1 + random.below(2_000);
    const pageBytes = 1 + random.below(1_000_000);
    let state = firstCount(batchSize);
    for (let i = 0; i < 20; i++) {
      const total = 1 + random.below(3_000);
      const entries = 1 + random.below(total);
      state = random.once(5)
        ? halveCount(state) ?? state
        : nextCount(state, { entries, total, bytes: total * random.below(10_000), streams: 1 }, {
          batchSize,
          pageBytes,
        });
      assert(Number.isInteger(state.count) && state.count >= 1, `count ${state.count}`);
      assertLessOrEqual(state.count, batchSize ?? 1_000);
    }
  }
});

test("a page over a limit is requested again with half the count, down to a single entry, which is the end", () => {
  let state = firstCount(undefined);
  const counts: number[] = [];
  for (let next = halveCount(state); next !== undefined; next = halveCount(state)) {
    state = next;
    counts.push(state.count);
  }
  assertEquals(counts, [50, 25, 12, 6, 3, 1]);
});

test("with several streams the count is fitted to the sum of their entries", () => {
  const limits = { batchSize: undefined, pageBytes: 100_000 };
  const state = nextCount(firstCount(undefined), { entries: 100, total: 400, bytes: 400_000, streams: 4 }, limits);
  assertEquals(state.count, 25);
});

test("a count that was too large is not tried with the next full page, but later", () => {
  let state = firstCount(undefined);
  const page = () => ({ entries: state.count, total: state.count, bytes: state.count * 100, streams: 1 });
  for (let next = halveCount(state); state.count > 12 && next !== undefined; next = halveCount(state)) state = next;
  assertEquals(state.count, 12);
  const counts: number[] = [];
  for (let i = 0; i < 1_000; i++) {
    state = nextCount(state, page(), roomy);
    counts.push(state.count);
  }
  assertEquals(new Set(counts.slice(0, 20)), new Set([12]));
  assert(counts.at(-1) !== 12, "entries may have become smaller");
});

test("as many streams are read at once as fit into the bytes of a page, and few while the size is unknown", () => {
  const unknown = firstCount(undefined);
  const known = nextCount(unknown, { entries: 100, total: 100, bytes: 10_000, streams: 1 }, roomy);
  assertEquals([widthOf(unknown, 1), widthOf(unknown, 1e9)], [16, 16]);
  assertEquals([known.count, widthOf(known, 200_000), widthOf(known, 60_000), widthOf(known, 1)], [200, 10, 3, 1]);
});
