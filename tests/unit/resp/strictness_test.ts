// Tests the decoder with bytes that break the protocol: it names one byte, and never decodes again.

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertStrictEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { RespDecoder, type RespReply, StreamerError } from "../../../resp/mod.ts";
import { test } from "../../support/runner.ts";
import { bytewise, concat, decode, drain, freshSeed, halves, Random, shreds, wire } from "../../support/resp/drive.ts";
import { VECTORS, VIOLATIONS } from "../../support/resp/vectors.ts";

const seed = freshSeed();

function blames(message: string | undefined, bytes: Uint8Array, offset: number): void {
  assert(message !== undefined, "it was not refused");
  const found = /byte 0x([0-9a-f]{2})( \(.\))? at offset ([0-9]+): expected (.+)/.exec(message);
  assert(found !== null, message);
  assertEquals(Number(found[3]), offset, message);
  assertEquals(parseInt(found[1], 16), bytes[offset], message);
}

for (const violation of VIOLATIONS) {
  test(`refuses ${violation.name}`, () => {
    const bytes = wire(violation.wire);
    const whole = decode([bytes]);
    blames(whole.failure, bytes, violation.offset);
    assertEquals(whole.replies, []);
    assertEquals(decode(bytewise(bytes)), whole, "byte by byte");
    for (const cut of halves(bytes)) assertEquals(decode(cut), whole, `cut at ${cut[0].length}`);
    const random = new Random(seed);
    for (let i = 0; i < 10; i++) assertEquals(decode(shreds(bytes, random)), whole, `seed ${seed}`);
  });
}

test("refuses as soon as no further byte could correct it", () => {
  const hopeless = [
    "x",
    "$-2",
    "$+",
    "$00",
    "$5a",
    "*-0",
    "%-",
    "!?",
    ">0\r\n",
    "*1\r\n>",
    "*1\r\n.",
    "$?\r\n$",
    ";",
    "+a\n",
  ];
  hopeless.push("+a\rb", ":a", ":1.", ":--", ":12345678901234567890", "_x", "#x", "#tt", "$1\r\nabc", "$99999999999");
  for (const text of hopeless) {
    const bytes = wire(text);
    assert(decode([bytes]).failure !== undefined, `${JSON.stringify(text)} is still waited for`);
    const { failure } = decode([bytes.subarray(0, -1)]);
    assert(
      failure === undefined || text === "$1\r\nabc",
      `${JSON.stringify(text)} was refused a byte early: ${failure}`,
    );
  }
});

test("returns the replies before a violation, whatever is after it", () => {
  const good = "+one\r\n*2\r\n:1\r\n$2\r\nab\r\n>1\r\n+push\r\n";
  const { replies } = decode([wire(good)]);
  assertEquals(replies.length, 3);
  for (const { name, wire: text, offset } of VIOLATIONS) {
    const bytes = wire(good + text + "\r\n+good\r\n+good\r\n");
    const whole = decode([bytes]);
    assertEquals(whole.replies, replies, name);
    blames(whole.failure, bytes, good.length + offset);
    assertEquals(decode(bytewise(bytes)), whole, name);
  }
});

test(`counts the offset over all earlier replies, detached ones included (seed ${seed})`, () => {
  const random = new Random(seed);
  for (let round = 0; round < 200; round++) {
    const before = Array.from({ length: random.below(40) }, () => wire(random.of(VECTORS).wire));
    if (random.once(3)) before.push(wire(`$40000\r\n${"x".repeat(40_000)}\r\n`), wire(":1\r\n"));
    const violation = random.of(VIOLATIONS);
    const bytes = concat([...before, wire(violation.wire)]);
    const decoder = new RespDecoder({ capacity: 1 });
    const error = assertThrows(() => {
      for (const piece of shreds(bytes, random, 9000)) {
        decoder.feed(piece);
        while (decoder.advance()) if (random.once(2)) decoder.detach();
      }
    }, StreamerError);
    blames(error.message, bytes, bytes.length - violation.wire.length + violation.offset);
  }
});

test("throws the same error forever, and accepts no more bytes", () => {
  const decoder = new RespDecoder();
  decoder.feed(wire("+OK\r\n$x"));
  assertStrictEquals(decoder.failure, undefined);
  assertEquals(decoder.read()?.value, "OK");
  const error = assertThrows(() => decoder.read(), StreamerError);
  assertEquals(error.code, "PROTOCOL");
  assertStrictEquals(decoder.failure, error);
  const { buffered } = decoder;
  for (let i = 0; i < 100; i++) {
    decoder.feed(wire("+good\r\n"));
    assertStrictEquals(assertThrows(() => decoder.read()), error);
    assertStrictEquals(assertThrows(() => decoder.advance()), error);
  }
  assertEquals(decoder.buffered, buffered);
});

test("returns nothing of a reply that breaks near its end", () => {
  const beginning = `*1000\r\n${":1\r\n".repeat(999)}`;
  const whole = decode([wire(`${beginning}x`)]);
  assertEquals(whole.replies, []);
  assertStringIncludes(whole.failure ?? "", `at offset ${beginning.length}`);
  assertEquals(decode([wire(`${beginning}:1\r\n`)]).replies.length, 1);
});

test("shows no more of a hostile reply than one byte", () => {
  for (const { wire: text } of VIOLATIONS) {
    const { failure = "" } = decode([wire(text.replaceAll("a", "\x1b"))]);
    assert(failure.length < 150, failure);
    assert(Array.from(failure).every((character) => character >= " " && character <= "~"), failure);
  }
});

test("a failure of one decoder does not affect others", () => {
  const broken = new RespDecoder();
  const other = new RespDecoder();
  const replies: RespReply[] = [];
  broken.feed(wire("x"));
  assertInstanceOf(drain(broken, replies), StreamerError);
  other.feed(wire("+OK\r\n"));
  assertEquals(other.read()?.value, "OK");
  assertEquals(replies, []);
});
