// Tests the decoder with well-formed bytes, in any pieces.

import { assert, assertEquals, assertInstanceOf, assertStrictEquals } from "@std/assert";
import { RespDecoder, RespErrorReply, RespMap, type RespReply } from "../../../resp/mod.ts";
import { test } from "../../support/runner.ts";
import { bytewise, concat, decode, freshSeed, halves, Random, shreds, wire } from "../../support/resp/drive.ts";
import { VECTORS } from "../../support/resp/vectors.ts";

const seed = freshSeed();

for (const vector of VECTORS) {
  test(`decodes ${vector.name}`, () => {
    const bytes = wire(vector.wire);
    const expected = { replies: vector.replies, left: 0 };
    assertEquals(decode([bytes]), expected, "whole");
    assertEquals(decode(bytewise(bytes)), expected, "byte by byte");
    for (const cut of halves(bytes)) assertEquals(decode(cut), expected, `cut at ${cut[0].length}`);
    const random = new Random(seed);
    for (let i = 0; i < 10; i++) assertEquals(decode(shreds(bytes, random)), expected, `seed ${seed}`);
  });
}

test("returns nothing for any beginning of a reply and all of it for the rest", () => {
  for (const vector of VECTORS.filter(({ replies }) => replies.length === 1)) {
    const bytes = wire(vector.wire);
    for (const [head, tail] of halves(bytes)) {
      const decoder = new RespDecoder();
      decoder.feed(head);
      assertStrictEquals(decoder.read(), undefined, `${vector.name}, ${head.length} bytes`);
      assertEquals(decoder.buffered, head.length);
      decoder.feed(tail);
      assertEquals(decoder.read(), vector.replies[0], vector.name);
      assertEquals(decoder.buffered, 0);
    }
  }
});

test(`returns many replies of one chunk in order (seed ${seed})`, () => {
  const random = new Random(seed);
  const expected = VECTORS.flatMap(({ replies }) => replies);
  const bytes = concat(VECTORS.map((vector) => wire(vector.wire)));
  assertEquals(decode([bytes]), { replies: expected, left: 0 });
  assertEquals(decode(bytewise(bytes)), { replies: expected, left: 0 });
  for (let i = 0; i < 100; i++) {
    const longest = 1 + random.below(2000);
    assertEquals(decode(shreds(bytes, random, longest), { capacity: 1 }), { replies: expected, left: 0 });
  }
});

test(`returns the same for any order of the vectors (seed ${seed})`, () => {
  const random = new Random(seed);
  for (let i = 0; i < 300; i++) {
    const chosen = Array.from({ length: 1 + random.below(8) }, () => random.of(VECTORS));
    const bytes = concat(chosen.map((vector) => wire(vector.wire)));
    assertEquals(decode(shreds(bytes, random, 64)).replies, chosen.flatMap(({ replies }) => replies));
  }
});

test("decodes text that a chunk border cuts inside a character", () => {
  const text = "añ€😀".repeat(40);
  const body = new TextEncoder().encode(text);
  for (const header of ["+", `=${body.length + 4}\r\ntxt:`, `!${body.length}\r\n`]) {
    const bytes = concat([wire(header), body, wire("\r\n")]);
    const [whole] = decode([bytes]).replies;
    const value = whole.value;
    assert(JSON.stringify(value).includes(text), `${header} gave ${JSON.stringify(value)}`);
    for (const cut of halves(bytes)) assertEquals(decode(cut).replies, [whole]);
  }
});

test("keeps a byte order mark", () => {
  assertEquals(decode([wire("+\xef\xbb\xbfa\r\n")]).replies[0].value, "\ufeffa");
  assertEquals(decode([wire(`+\xef\xbb\xbf${"a".repeat(100)}\r\n`)]).replies[0].value, "\ufeff" + "a".repeat(100));
});

test("keeps keys with names of members of Object as pairs and does not change the prototype", () => {
  const names = ["__proto__", "constructor", "prototype", "hasOwnProperty", "toString", "valueOf"];
  const pairs = names.map((name) => `$${name.length}\r\n${name}\r\n%1\r\n+polluted\r\n+yes\r\n`).join("");
  for (const header of [`%${names.length}`, `|${names.length}`, `*${names.length * 2}`, `~${names.length * 2}`, "%?"]) {
    const end = header === "%?" ? ".\r\n" : header[0] === "|" ? "_\r\n" : "";
    const [reply] = decode([wire(`${header}\r\n${pairs}${end}`)]).replies;
    const map = reply.attributes ?? reply.value;
    if (map instanceof RespMap) {
      assertEquals(map.entries.map(([key]) => key), names.map((name) => wire(name)));
      assertInstanceOf(map.get("__proto__"), RespMap);
      assertStrictEquals(map.get("polluted"), undefined);
    }
    assertStrictEquals(Reflect.get({}, "polluted"), undefined);
    assertStrictEquals(Reflect.get(Object, "polluted"), undefined);
    assertStrictEquals(Reflect.get([], "polluted"), undefined);
  }
});

test("finds a map's key in any type of string and returns the first", () => {
  const [{ value }] =
    decode([wire("%4\r\n+a\r\n:1\r\n$1\r\nb\r\n:2\r\n=5\r\ntxt:c\r\n:3\r\n$1\r\na\r\n:4\r\n")]).replies;
  assertInstanceOf(value, RespMap);
  assertEquals(["a", "b", "c", "d"].map((name) => value.get(name)), [1, 2, 3, undefined]);
});

test("returns an error's code only if its first word is one", () => {
  const cases = [
    ["WRONGTYPE Operation", "WRONGTYPE"],
    ["MOVED 3999 127.0.0.1:6381", "MOVED"],
    ["OOM", "OOM"],
    ["X lower", "X"],
    ["lower case", "ERR"],
    ["", "ERR"],
    [" LEADING", "ERR"],
    [`${"A".repeat(65)} x`, "ERR"],
    ["__proto__ x", "ERR"],
  ];
  for (const [text, code] of cases) {
    const [{ value }] = decode([wire(`-${text}\r\n`)]).replies;
    assertInstanceOf(value, RespErrorReply);
    assertEquals([value.text, value.code], [text, code]);
  }
});

test("returns copies of its buffer's bytes", () => {
  const decoder = new RespDecoder({ capacity: 1 });
  const given: RespReply[] = [];
  for (let i = 0; i < 2000; i++) {
    decoder.feed(wire(`$3\r\n${String(i % 1000).padStart(3, "0")}\r\n`));
    const reply = decoder.read();
    assert(reply !== undefined);
    given.push(reply);
  }
  given.forEach(({ value }, i) => assertEquals(value, wire(String(i % 1000).padStart(3, "0"))));
});

test("does not read the array after feed has returned", () => {
  const decoder = new RespDecoder();
  const bytes = wire("$5\r\nhello\r\n+OK\r\n");
  decoder.feed(bytes);
  bytes.fill(0);
  assertEquals(decoder.read()?.value, wire("hello"));
  assertEquals(decoder.read()?.value, "OK");
});

test("accepts empty pieces", () => {
  const bytes = bytewise(wire("*2\r\n$2\r\nab\r\n:12\r\n")).flatMap((byte) => [byte, new Uint8Array(0)]);
  assertEquals(decode([new Uint8Array(0), ...bytes]).replies, [{ kind: "reply", value: [wire("ab"), 12] }]);
});

test("may be read any number of times while no reply is complete", () => {
  const decoder = new RespDecoder();
  for (const byte of bytewise(wire("|1\r\n+a\r\n:1\r\n*2\r\n+x\r\n$?\r\n;3\r\nabc\r\n;0\r"))) {
    decoder.feed(byte);
    for (let i = 0; i < 3; i++) assertStrictEquals(decoder.read(), undefined);
  }
  decoder.feed(wire("\n"));
  assertEquals(decoder.read()?.value, ["x", wire("abc")]);
  assertStrictEquals(decoder.read(), undefined);
});
