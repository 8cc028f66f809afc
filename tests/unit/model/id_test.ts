// Tests ids: their order, their sequence, their time, and the ids of a time.

import { assert, assertEquals, assertThrows } from "@std/assert";
import { StreamerError } from "../../../mod.ts";
import {
  compareIds,
  dateOf,
  idOfSequence,
  idOfTime,
  lastIdOf,
  nanosecondsOf,
  parseId,
  sequenceOf,
  unitsOf,
} from "../../../streamer/model/id.ts";
import { test } from "../../support/runner.ts";

const MAX = 2n ** 64n - 1n;

test("an id is two unsigned numbers of 64 bits with a dash between them", () => {
  assertEquals(parseId("1526919030474-55"), { first: 1526919030474n, second: 55n });
  assertEquals(parseId(`${MAX}-${MAX}`), { first: MAX, second: MAX });
  assertEquals(parseId("0-0"), { first: 0n, second: 0n });
  const none = [
    "",
    "-",
    "1",
    "1-",
    "-1",
    "1-1-1",
    "01-1",
    "1-01",
    "+1-1",
    "1- 1",
    "1-1\n",
    "a-1",
    "1-*",
    "*",
    "$",
    "١-١",
  ];
  for (const id of [...none, `${MAX + 1n}-0`, `0-${MAX + 1n}`, "123456789012345678901-0"]) {
    assertEquals(parseId(id), undefined, id);
  }
});

test("ids are ordered by number, exactly, also beyond 53 bits", () => {
  const ordered = [
    "0-0",
    "0-1",
    "0-10",
    "1-0",
    "9-9",
    "10-0",
    "9007199254740992-0",
    "9007199254740993-0",
    `${MAX}-0`,
    `${MAX}-${MAX}`,
  ];
  for (const [i, a] of ordered.entries()) {
    for (const [j, b] of ordered.entries()) assertEquals(Math.sign(compareIds(a, b)), Math.sign(i - j), `${a} ${b}`);
  }
});

test("a sequence is the first half above 16 bits of the second, and leads back to its id", () => {
  assertEquals(sequenceOf("1526919030474-55"), (1526919030474n << 16n) + 55n);
  for (const id of ["0-0", "0-65535", "1-0", "1700000000000000000-65535", `${MAX}-65535`]) {
    assertEquals(idOfSequence(sequenceOf(id)), id);
  }
  assert(sequenceOf("1-65535") < sequenceOf("2-0"));
});

test("a second half above 65535 has no sequence, and an invalid sequence has no id", () => {
  assertEquals(assertThrows(() => sequenceOf("1-65536"), StreamerError).code, "UNSUPPORTED");
  for (const sequence of [-1n, 2n ** 80n]) {
    assertEquals(assertThrows(() => idOfSequence(sequence), StreamerError).code, "INVALID_OPTION");
  }
});

test("the time of an id is cut to milliseconds, and is an Invalid Date outside of Date's range", () => {
  assertEquals(dateOf("1526919030474-55", "milliseconds"), new Date(1526919030474));
  assertEquals(dateOf("1526919030474999999-0", "nanoseconds"), new Date(1526919030474));
  assertEquals(dateOf("8640000000000000-0", "milliseconds").getTime(), 8640000000000000);
  assert(Number.isNaN(dateOf("8640000000000001-0", "milliseconds").getTime()));
  assert(Number.isNaN(dateOf(`${MAX}-0`, "milliseconds").getTime()));
  assertEquals(dateOf(`${MAX}-0`, "nanoseconds").getTime(), Number(MAX / 1_000_000n));
  assertEquals(nanosecondsOf("5-1", "milliseconds"), 5_000_000n);
  assertEquals(nanosecondsOf("5-1", "nanoseconds"), 5n);
});

test("a date stands for its whole millisecond, a bigint for itself", () => {
  const date = new Date(1526919030474);
  assertEquals(idOfTime(date, "milliseconds"), "1526919030474-0");
  assertEquals(idOfTime(date, "nanoseconds"), "1526919030474000000-0");
  assertEquals(idOfTime(7n, "nanoseconds"), "7-0");
  assertEquals(lastIdOf(date, "milliseconds"), `1526919030474-${MAX}`);
  assertEquals(lastIdOf(date, "nanoseconds"), `1526919030474999999-${MAX}`);
  assertEquals(lastIdOf(7n, "nanoseconds"), `7-${MAX}`);
});

test("times before 1970, invalid ones and ones above 64 bits are refused", () => {
  for (const time of [new Date(-1), new Date(NaN), -1n, MAX + 1n]) {
    assertEquals(assertThrows(() => unitsOf(time, "milliseconds"), StreamerError).code, "INVALID_OPTION");
  }
  // A Date's last millisecond does not fit into 64 bits of nanoseconds.
  assertEquals(assertThrows(() => unitsOf(new Date(8.64e15), "nanoseconds"), StreamerError).code, "INVALID_OPTION");
});
