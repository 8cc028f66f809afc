// Tests that the scanner's fast path equals the general one: the same values, errors and offsets. Single bytes use the
// general path for all headers.

import { assert, assertEquals } from "@std/assert";
import { DEFAULT_LIMITS, type RespLimits } from "../../../resp/mod.ts";
import { test } from "../../support/runner.ts";
import { bytewise, decode, halves, wire } from "../../support/resp/drive.ts";
import { same } from "../../support/resp/fuzz.ts";
import { reference } from "../../support/resp/reference.ts";

/** Whole, and byte by byte. */
function expectSame(input: Uint8Array, limits: RespLimits, told: () => string): boolean {
  const whole = decode([input], { limits });
  const other = decode(bytewise(input), { limits });
  assertEquals(whole.failure, other.failure, told());
  assertEquals(whole.left, other.left, told());
  assert(same(whole.replies, other.replies), told());
  const plain = reference(input, { ...DEFAULT_LIMITS, ...limits });
  assertEquals(whole.failure !== undefined, plain.refused, told());
  assert(same(whole.replies, plain.replies), told());
  return plain.refused;
}

const bulk = (length: number) => `$${length}\r\n${"b".repeat(length)}\r\n`;

test("any byte in the place of any other is refused, or accepted, as on the general path", () => {
  const texts = [
    "*2\r\n*2\r\n$3\r\n1-0\r\n*2\r\n$1\r\nm\r\n$0\r\n\r\n$12\r\nabcdefghijkl\r\n",
    `*1\r\n${bulk(123)}`,
    `*2\r\n${bulk(1)}${bulk(1234)}`,
    `*1\r\n*10\r\n${bulk(2).repeat(10)}`,
  ];
  let refused = 0;
  for (const text of texts) {
    const long = text.length > 200; // then only its headers, and the significant bytes in them
    const places = long ? 24 : text.length;
    for (let place = 0; place < places; place++) {
      for (let byte = 0; byte < (long ? 64 : 256); byte++) {
        const input = wire(`${text}+next\r\n`);
        input[place] = byte;
        if (expectSame(input, {}, () => `byte ${byte} at ${place} of ${text.slice(0, 80)}`)) refused++;
      }
    }
  }
  assert(refused > 10_000);
});

test("lengths of every number of digits are read, in any pieces", () => {
  for (const length of [0, 1, 9, 10, 11, 99, 100, 999, 1000, 9999, 10_000, 99_999, 100_000]) {
    const input = wire(`*3\r\n${bulk(length)}*1\r\n${bulk(length)}${bulk(1)}+next\r\n`);
    expectSame(input, {}, () => String(length));
    if (length > 100) continue;
    for (const cut of halves(input)) assertEquals(decode(cut).replies.length, 2);
  }
  const wide = wire(`*1\r\n*1234\r\n${bulk(3).repeat(1234)}+next\r\n`);
  expectSame(wide, {}, () => "wide");
});

test("invalid lengths are refused at the same byte", () => {
  for (
    const length of ["", "00", "01", "0001", "-0", "-2", "+1", "1 ", " 1", "1a", "12345678901", "999999999999", "1\n"]
  ) {
    for (const type of ["$", "*"]) {
      expectSame(wire(`*2\r\n${bulk(1)}${type}${length}\r\na\r\n${bulk(20)}`), {}, () => type + length);
    }
  }
});

test("other replies between pages are decoded", () => {
  const odd = [
    "$-1\r\n",
    "*-1\r\n",
    "*0\r\n",
    "_\r\n",
    ":12\r\n",
    "+simple\r\n",
    "-ERR no\r\n",
    "%1\r\n$1\r\nk\r\n$1\r\nv\r\n",
    "~2\r\n$1\r\nk\r\n*1\r\n$1\r\nv\r\n",
    "$?\r\n;2\r\nab\r\n;0\r\n",
    "*?\r\n$1\r\na\r\n*1\r\n$1\r\nb\r\n.\r\n",
    "%?\r\n$1\r\na\r\n*1\r\n$1\r\nb\r\n.\r\n",
    "|1\r\n$1\r\na\r\n*1\r\n$1\r\nb\r\n$1\r\nc\r\n",
  ];
  for (const one of odd) {
    for (const two of odd) {
      const text = `*4\r\n${bulk(10)}${one}*2\r\n${bulk(2)}${two}${bulk(5)}+next\r\n`;
      assertEquals(expectSame(wire(text), {}, () => text), false, text);
    }
  }
});

test("limits are exact to the byte and the value", () => {
  const text = `*2\r\n*2\r\n${bulk(15)}*2\r\n${bulk(3)}${bulk(25)}*1\r\n*1\r\n*1\r\n${bulk(15)}+next\r\n`;
  for (let limit = 1; limit < 130; limit++) {
    expectSame(wire(text), { bulk: limit }, () => `bulk ${limit}`);
    expectSame(wire(text), { elements: limit }, () => `elements ${limit}`);
    expectSame(wire(text), { depth: limit }, () => `depth ${limit}`);
    const whole = decode([wire(text)], { limits: { reply: limit } });
    assertEquals(whole.replies.length, limit < text.length - "+next\r\n".length ? 0 : 2, `reply ${limit}`);
    if (whole.replies.length === 0) assert(whole.failure?.includes(`at most ${limit} bytes`), whole.failure);
  }
});
