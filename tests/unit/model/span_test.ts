// Tests the ids of the bounds of a range and of positions, at the limits of ids.

import { assertEquals, assertThrows } from "@std/assert";
import { StreamerError } from "../../../mod.ts";
import { nextId, previousId, type TimestampFormat } from "../../../streamer/model/id.ts";
import { idOfPosition } from "../../../streamer/model/position.ts";
import { type RangeBound, type RangeStart, spanOf } from "../../../streamer/model/span.ts";
import { test } from "../../support/runner.ts";

const MAX = 2n ** 64n - 1n;
const LAST = `${MAX}-${MAX}`;

test("the bounds of a range become the first and the last id that belong to it", () => {
  const cases: readonly [RangeStart, RangeBound, TimestampFormat, string, string][] = [
    ["-", "+", "milliseconds", "0-0", LAST],
    [new Date(5), new Date(6), "milliseconds", "5-0", `6-${MAX}`],
    [5n, 6n, "milliseconds", "5-0", `6-${MAX}`],
    [new Date(5), new Date(6), "nanoseconds", "5000000-0", `6999999-${MAX}`],
    [5n, 6n, "nanoseconds", "5-0", `6-${MAX}`],
    [{ after: new Date(5) }, "9-9", "milliseconds", "6-0", "9-9"],
    [{ after: new Date(5) }, "+", "nanoseconds", "6000000-0", LAST],
    [{ after: 5n }, "+", "nanoseconds", "6-0", LAST],
    ["+", "+", "milliseconds", LAST, LAST],
    ["-", "-", "milliseconds", "0-0", "0-0"],
    ["3-7", "3-7", "milliseconds", "3-7", "3-7"],
    [0n, new Date(8.64e15), "nanoseconds", "0-0", LAST],
  ];
  for (const [start, end, format, first, last] of cases) {
    assertEquals(spanOf(start, end, format), { start: first, end: last }, `${String(start)} ${String(end)} ${format}`);
  }
});

test("no range starts after the last id, or after its own end", () => {
  assertEquals(spanOf({ after: MAX }, "+", "milliseconds"), undefined);
  assertEquals(spanOf({ after: new Date(8.64e15) }, "+", "nanoseconds"), undefined);
  assertEquals(spanOf(new Date(8.64e15), "+", "nanoseconds"), undefined);
  assertThrows(() => spanOf(new Date(NaN), "+", "nanoseconds"), StreamerError);
  assertEquals(spanOf("2-0", "1-9", "milliseconds"), undefined);
  assertEquals(spanOf({ after: new Date(5) }, new Date(5), "milliseconds"), undefined);
});

test("the id before and the id after are inverse, up to the ends", () => {
  for (const id of ["0-0", "0-1", "5-0", `5-${MAX}`, `${MAX}-0`]) {
    assertEquals(previousId(nextId(id) ?? ""), id);
  }
  assertEquals([previousId("6-0"), previousId("0-1"), previousId("0-0")], [`5-${MAX}`, "0-0", undefined]);
  assertEquals([nextId(`5-${MAX}`), nextId(LAST)], ["6-0", undefined]);
});

test("a position is an id, or the end", () => {
  assertEquals(idOfPosition("end"), undefined);
  assertEquals(["beginning", 5n << 16n | 3n, "7-1"].map((one) => idOfPosition(one)), ["0-0", "5-3", "7-1"]);
  for (const wrong of ["", "7", "$", "0", -1n, 2n ** 80n, 5, null, new Date(1)]) {
    // as: a value that a program without types may pass
    assertEquals(assertThrows(() => idOfPosition(wrong as string), StreamerError).code, "INVALID_OPTION");
  }
});
