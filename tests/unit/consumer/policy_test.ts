// Tests the consumer's pure decisions: which errors are temporary, and where a recreated stream is read.

import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import { judgeStream } from "../../../streamer/consumer/reading/stream_life.ts";
import { narrowRotation, nextRotation, type ShardRotation } from "../../../streamer/consumer/reading/rotation.ts";
import { isFatal } from "../../../streamer/consumer/server/server.ts";
import { test } from "../../support/runner.ts";

test("temporary errors are not fatal", () => {
  const passing = "LOADING BUSY MASTERDOWN CLUSTERDOWN TRYAGAIN UNBLOCKED READONLY MISCONF NOREPLICAS";
  for (const code of passing.split(" ")) assertEquals(isFatal(code), false, code);
});

test("errors that a reconnect cannot cure are fatal", () => {
  for (const code of "WRONGTYPE NOPERM NOAUTH WRONGPASS ERR CROSSSLOT NOPROTO".split(" ")) {
    assertEquals(isFatal(code), true, code);
  }
});

test("streams that are too large together are read in turn, fewer and fewer, until one alone", () => {
  let turn: ShardRotation = { kind: "all" };
  const widths: number[] = [];
  for (let next = narrowRotation(turn, 9); next !== undefined; next = narrowRotation(turn, 9)) {
    turn = next;
    if (turn.kind === "some") widths.push(turn.width);
  }
  assertEquals(widths, [5, 3, 2, 1]);
  assertEquals(narrowRotation({ kind: "all" }, 1), undefined);
});

for (const [streams, narrowings] of [[2, 1], [3, 1], [5, 2], [7, 3], [9, 1], [10, 2]]) {
  test(`of ${streams} streams each has its turn, and after a round without entries all are read together again`, () => {
    let turn: ShardRotation | undefined = { kind: "all" };
    for (let i = 0; i < narrowings && turn !== undefined; i++) turn = narrowRotation(turn, streams);
    assert(turn !== undefined);
    const read = new Set<number>();
    for (let page = 0; page < streams && turn.kind === "some"; page++) {
      for (let i = 0; i < turn.width; i++) read.add((turn.from + i) % streams);
      turn = nextRotation(turn, { total: 1 }, streams);
    }
    assertEquals(read.size, streams);
    const empty = new Set<number>();
    let pages = 0;
    for (; turn.kind === "some"; pages++) {
      assertLessOrEqual(pages, streams);
      for (let i = 0; i < turn.width; i++) empty.add((turn.from + i) % streams);
      turn = nextRotation(turn, { total: 0 }, streams);
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

test("a stream that ends at or after its last known id was not recreated", () => {
  for (const [reached, id] of ROSE) {
    for (const policy of ["earliest", "latest", "fail"] as const) {
      const verdict = judgeStream({ reached, gone: false }, { id, exists: true, exact: true }, policy);
      assertEquals(verdict, { kind: "same", reached: id }, `${reached} ${id}`);
    }
  }
});

test("a stream that ends before its last known id is read as the policy says", () => {
  for (const [reached, id] of FELL) {
    const judge = (policy: "earliest" | "latest" | "fail") =>
      judgeStream({ reached, gone: false }, { id, exists: true, exact: true }, policy);
    assertEquals(judge("earliest"), { kind: "reset", position: "0-0" });
    assertEquals(judge("latest"), { kind: "reset", position: id });
    assertEquals(judge("fail"), { kind: "fail" });
  }
});

test("the last remaining entry proves nothing if it is the only one that may be read", () => {
  for (const [reached, id] of FELL) {
    const verdict = judgeStream({ reached, gone: false }, { id, exists: undefined, exact: false }, "fail");
    assertEquals(verdict, { kind: "same", reached });
  }
});

test("a missing stream with a known id is deleted, and recreated when it exists again", () => {
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
