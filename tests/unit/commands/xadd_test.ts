// Tests how the id in XADD's reply is read without creating a string.

import { assertEquals, assertThrows } from "@std/assert";
import { type CompactId, expandId, readEntryId } from "../../../streamer/commands/xadd.ts";
import { StreamerError } from "../../../resp/errors.ts";
import { test } from "../../support/runner.ts";
import { bulk, standing } from "./frames.ts";

function fresh(): CompactId {
  return { idFirst: 0, idSecond: 0, idText: undefined };
}

function read(text: string): string {
  const id = fresh();
  readEntryId(standing(text), id);
  return expandId(id);
}

test("an id is returned unchanged", () => {
  const ids = [
    "0-1",
    "1-0",
    "1526919030474-55",
    "1700000000000-65535",
    "1700000000000-65536",
    "999999999999999-999999999999999",
    "1000000000000000-1",
    "1-1000000000000000",
    "9007199254740993-9007199254740993",
    "1700000000000000000-7",
    "18446744073709551615-18446744073709551615",
  ];
  for (const id of ids) assertEquals(read(bulk(id)), id);
});

test("halves that a double holds exactly are numbers, others are text", () => {
  const small = fresh();
  readEntryId(standing(bulk("1526919030474-55")), small);
  assertEquals(small, { idFirst: 1526919030474, idSecond: 55, idText: undefined });
  const large = fresh();
  readEntryId(standing(bulk("9007199254740993-1")), large);
  assertEquals(large.idText, "9007199254740993-1");
});

test("the id is read at its place in a buffer full of replies", () => {
  const decoder = standing(bulk("11-1") + bulk("22-22") + bulk("1526919030474-333"));
  const ids: string[] = [];
  do {
    const id = fresh();
    readEntryId(decoder, id);
    ids.push(expandId(id));
  } while (decoder.advance());
  assertEquals(ids, ["11-1", "22-22", "1526919030474-333"]);
});

test("an attribute before the id is skipped", () => {
  assertEquals(read(`|1\r\n+key\r\n+value\r\n${bulk("5-6")}`), "5-6");
});

test("an invalid id is refused", () => {
  const wrong = [
    "",
    "-",
    "1-",
    "-1",
    "123",
    "a-1",
    "1-b",
    "1-2-3",
    "1--2",
    "1.5-0",
    " 1-0",
    "1-0 ",
    "1 -0",
    "\r\n-1",
    "18446744073709551616-0",
    "0-18446744073709551616",
    "184467440737095516150-1",
    "1".repeat(30) + "-1",
    "1".repeat(42),
  ];
  for (const text of wrong) {
    const error = assertThrows(() => read(bulk(text)), StreamerError, undefined, JSON.stringify(text));
    assertEquals(error.code, "PROTOCOL");
  }
});

test("ids with leading zeros are refused: no server sends them", () => {
  for (const text of ["01-1", "1-01", "00-0"]) {
    assertEquals(assertThrows(() => read(bulk(text)), StreamerError, undefined, text).code, "PROTOCOL");
  }
});

test("a reply of another type is refused", () => {
  for (
    const text of ["+1-1\r\n", ":5\r\n", "_\r\n", "$-1\r\n", "*0\r\n", "=7\r\ntxt:1-1\r\n", "$?\r\n;3\r\n1-1\r\n;0\r\n"]
  ) {
    const error = assertThrows(() => read(text), StreamerError, undefined, JSON.stringify(text));
    assertEquals(error.code, "PROTOCOL");
  }
});
