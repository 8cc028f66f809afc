// Owns the consumer's pure decisions: how much to read, which errors pass, where a new stream is taken up.
// Must not need a server.

import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import {
  firstCount,
  halveCount,
  isFatal,
  judgeStream,
  narrowTurn,
  nextCount,
  nextTurn,
  type Turn,
} from "../../../streamer/consumer/policy.ts";
import { Random } from "../../resp/drive.ts";
import { test } from "../../support/runner.ts";

const roomy = { batchSize: undefined, pageBytes: 32 * 1024 * 1024 };

test("the count begins at 100, doubles while pages come back full, and stops at 1000", () => {
  let state = firstCount(undefined);
  const counts = [state.count];
  for (let i = 0; i < 6; i++) {
    const entries = state.count;
    state = nextCount(state, { entries, total: entries, bytes: entries * 100, streams: 1 }, roomy);
    counts.push(state.count);
  }
  assertEquals(counts, [100, 200, 400, 800, 1000, 1000, 1000]);
});

test("a page that is not full leaves the count", () => {
  const state = nextCount(firstCount(undefined), { entries: 99, total: 99, bytes: 9_900, streams: 1 }, roomy);
  assertEquals(state.count, 100);
});

test("a given batch size is what is asked, never more", () => {
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

test("with a batch size too, large entries lower the count, and it comes back up to the batch size", () => {
  const limits = { batchSize: 50, pageBytes: 100_000 };
  let state = nextCount(firstCount(50), { entries: 50, total: 50, bytes: 500_000, streams: 1 }, limits);
  assertEquals(state.count, 10);
  for (let i = 0; i < 20; i++) state = nextCount(state, { entries: 10, total: 10, bytes: 100, streams: 1 }, limits);
  assertEquals(state.count, 50);
});

test("the count stays within its bounds whatever pages come (seed 7)", () => {
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

test("a page over a limit is asked again with half the count, down to a single entry, which is the end", () => {
  let state = firstCount(undefined);
  const counts: number[] = [];
  for (let next = halveCount(state); next !== undefined; next = halveCount(state)) {
    state = next;
    counts.push(state.count);
  }
  assertEquals(counts, [50, 25, 12, 6, 3, 1]);
});

test("what passes by itself is not fatal", () => {
  const passing = "LOADING BUSY MASTERDOWN CLUSTERDOWN TRYAGAIN UNBLOCKED READONLY MISCONF NOREPLICAS";
  for (const code of passing.split(" ")) assertEquals(isFatal(code), false, code);
});

test("what reconnecting cannot heal is fatal", () => {
  for (const code of "WRONGTYPE NOPERM NOAUTH WRONGPASS ERR CROSSSLOT NOPROTO".split(" ")) {
    assertEquals(isFatal(code), true, code);
  }
});

test("with several streams the count is fitted to what all of them give together", () => {
  const limits = { batchSize: undefined, pageBytes: 100_000 };
  const state = nextCount(firstCount(undefined), { entries: 100, total: 400, bytes: 400_000, streams: 4 }, limits);
  assertEquals(state.count, 25);
});

test("a count that was too large is not tried again with the next full page, but later", () => {
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

test("streams that are too large together are read in turn, fewer and fewer, until one alone is", () => {
  let turn: Turn = { kind: "all" };
  const widths: number[] = [];
  for (let next = narrowTurn(turn, 9); next !== undefined; next = narrowTurn(turn, 9)) {
    turn = next;
    if (turn.kind === "some") widths.push(turn.width);
  }
  assertEquals(widths, [5, 3, 2, 1]);
  assertEquals(narrowTurn({ kind: "all" }, 1), undefined);
});

for (const [streams, narrowings] of [[2, 1], [3, 1], [5, 2], [7, 3], [9, 1], [10, 2]]) {
  test(`of ${streams} streams each has its turn, and after a round without entries all are read together again`, () => {
    let turn: Turn | undefined = { kind: "all" };
    for (let i = 0; i < narrowings && turn !== undefined; i++) turn = narrowTurn(turn, streams);
    assert(turn !== undefined);
    const read = new Set<number>();
    for (let page = 0; page < streams && turn.kind === "some"; page++) {
      for (let i = 0; i < turn.width; i++) read.add((turn.from + i) % streams);
      turn = nextTurn(turn, { total: 1 }, streams);
    }
    assertEquals(read.size, streams);
    const empty = new Set<number>();
    let pages = 0;
    for (; turn.kind === "some"; pages++) {
      assertLessOrEqual(pages, streams);
      for (let i = 0; i < turn.width; i++) empty.add((turn.from + i) % streams);
      turn = nextTurn(turn, { total: 0 }, streams);
    }
    assertEquals(empty.size, streams, "no stream is waited for before it was found empty");
  });
}

const ROSE: readonly (readonly [string, string])[] = [
  ["0-0", "0-0"],
  ["5-1", "5-1"],
  ["5-1", "5-2"],
  ["9-9", "10-0"],
  ["9-18446744073709551615", "10-0"],
  ["18446744073709551614-5", "18446744073709551615-0"],
  ["9007199254740992-0", "9007199254740993-0"],
];

const FELL: readonly (readonly [string, string])[] = [
  ["5-1", "5-0"],
  ["10-0", "9-9"],
  ["9007199254740993-0", "9007199254740992-0"],
  ["18446744073709551615-18446744073709551615", "18446744073709551615-18446744073709551614"],
];

test("a stream that ends at or behind what it had reached was not made anew", () => {
  for (const [reached, id] of ROSE) {
    for (const policy of ["earliest", "latest", "fail"] as const) {
      const verdict = judgeStream({ reached, gone: false }, { id, exists: true, exact: true }, policy);
      assertEquals(verdict, { kind: "same", reached: id }, `${reached} ${id}`);
    }
  }
});

test("a stream that ends before what it had reached is taken up as the policy says", () => {
  for (const [reached, id] of FELL) {
    const judge = (policy: "earliest" | "latest" | "fail") =>
      judgeStream({ reached, gone: false }, { id, exists: true, exact: true }, policy);
    assertEquals(judge("earliest"), { kind: "reset", position: "0-0" });
    assertEquals(judge("latest"), { kind: "reset", position: id });
    assertEquals(judge("fail"), { kind: "fail" });
  }
});

test("the last entry that is left proves nothing where it is all that may be asked for", () => {
  for (const [reached, id] of FELL) {
    const verdict = judgeStream({ reached, gone: false }, { id, exists: undefined, exact: false }, "fail");
    assertEquals(verdict, { kind: "same", reached });
  }
});

test("a missing stream is gone where it had reached anything, and made anew when it is there again", () => {
  const missing = { id: "0-0", exists: false, exact: true };
  assertEquals(judgeStream({ reached: "5-1", gone: false }, missing, "fail"), { kind: "gone" });
  assertEquals(judgeStream({ reached: "0-0", gone: false }, missing, "fail"), { kind: "same", reached: "0-0" });
  for (const id of ["1-0", "5-1", "9-0"]) {
    const again = { id, exists: true, exact: true };
    const life = { reached: "5-1", gone: true };
    assertEquals(judgeStream(life, again, "fail"), { kind: "fail" });
    assertEquals(judgeStream(life, again, "earliest"), { kind: "reset", position: "0-0" });
    assertEquals(judgeStream(life, again, "latest"), { kind: "reset", position: "0-0" }, "all of it came afterwards");
  }
});
