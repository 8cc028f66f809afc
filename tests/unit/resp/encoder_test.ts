// Tests the encoder of commands: length-prefixed bulk strings with correct lengths for any text and bytes.

import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { encodeCommand, type RespArgument, RespDecoder, RespEncoder } from "../../../resp/mod.ts";
import { BULK_OVERHEAD, writeBulk, writeBulkText } from "../../../resp/encoder.ts";
import { test } from "../../support/runner.ts";
import { concat, freshSeed, Random, unwire, wire } from "../../support/resp/drive.ts";

const seed = freshSeed();
const utf8 = new TextEncoder();

/** The bytes for a server, composed in the plain way. */
function expected(args: readonly RespArgument[]): Uint8Array {
  const parts = args.flatMap((arg) => {
    const body = arg instanceof Uint8Array ? arg : utf8.encode(String(arg));
    return [wire(`$${body.length}\r\n`), body, wire("\r\n")];
  });
  return concat([wire(`*${args.length}\r\n`), ...parts]);
}

function encodes(args: readonly RespArgument[], what?: string): void {
  assertEquals(encodeCommand(args), expected(args), what);
}

test("writes a command as an array of bulk strings", () => {
  assertEquals(unwire(encodeCommand(["GET", "key"])), "*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n");
  assertEquals(unwire(encodeCommand(["PING"])), "*1\r\n$4\r\nPING\r\n");
});

test("writes each type of argument", () => {
  const bytes = new Uint8Array(256).map((_, i) => i);
  encodes(["XADD", "", new Uint8Array(0), bytes, bytes.subarray(10, 20), "\r\n", "$-1\r\n"]);
  assertEquals(
    unwire(encodeCommand([0, -0, 42, -1, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER])).split("\r\n").slice(1),
    [
      ...["$1", "0", "$1", "0", "$2", "42", "$2", "-1", "$16", "9007199254740991", "$17", "-9007199254740991"],
      "",
    ],
  );
  assertEquals(
    unwire(encodeCommand([0n, 18446744073709551615n, -9223372036854775808n])),
    "*3\r\n$1\r\n0\r\n$20\r\n18446744073709551615\r\n$20\r\n-9223372036854775808\r\n",
  );
});

test("refuses numbers without an exact decimal form", () => {
  for (const number of [1.5, NaN, Infinity, -Infinity, 2 ** 53, -(2 ** 53), 1e21]) {
    assertThrows(() => encodeCommand(["SET", "k", number]), RangeError, String(number));
  }
});

test("refuses a command without a name, which no server answers", () => {
  assertThrows(() => encodeCommand([]), RangeError);
  const encoder = new RespEncoder();
  assertThrows(() => encoder.command([]), RangeError);
  assertEquals(encoder.length, 0);
});

test("refuses invalid arguments instead of sending their text", () => {
  const wrong: unknown[] = [null, undefined, true, {}, [1, 2], new ArrayBuffer(3), new Uint16Array(2), new Date(0)];
  for (const value of wrong) { // against the types, like a caller in JavaScript
    const error = assertThrows(() => Reflect.apply(encodeCommand, undefined, [["SET", "k", value]]));
    assert(error instanceof TypeError || error instanceof RangeError, String(error));
  }
});

test("leaves nothing of a refused command", () => {
  const encoder = new RespEncoder();
  encoder.command(["PING"]);
  assertThrows(() => encoder.command(["SET", "k", 1.5]), RangeError);
  assertEquals(encoder.length, 14);
  encoder.command(["PING"]);
  assertEquals(encoder.take(), concat([expected(["PING"]), expected(["PING"])]));
});

test("counts bytes and not characters if their numbers of digits differ", () => {
  for (const border of [1, 9, 10, 99, 100, 999, 1000, 9999, 10_000, 99_999, 100_000]) {
    for (const length of [border - 1, border, border + 1]) {
      for (const last of ["", "é", "€", "😀", "\ud800"]) {
        const text = "a".repeat(length) + last;
        encodes([text], `${length} and ${last}`);
        encodes([last + "a".repeat(length)], `${last} and ${length}`);
      }
    }
    for (const unit of ["é", "€", "😀", "\udc00"]) {
      for (const most of [2, 3, 4]) {
        encodes([unit.repeat(Math.ceil(border / most)), "behind"], `${unit} up to ${border} / ${most}`);
      }
    }
  }
});

test("writes every length up to 300 characters of one, two, three and four bytes", () => {
  for (let length = 0; length <= 300; length++) {
    encodes(["a".repeat(length), "é".repeat(length), "€".repeat(length), "😀".repeat(length), "x"], `${length}`);
  }
});

test("writes a lone surrogate as U+FFFD, and counts those three bytes", () => {
  for (
    const text of [
      "\ud800",
      "\udfff",
      "a\ud83d",
      "\ude00\ud83d",
      "\ud83d\ud83d\ude00",
      "x".repeat(30) + "\udbff",
      "\ud800\udc00",
    ]
  ) {
    const bytes = encodeCommand([text]);
    assertEquals(bytes, expected([text]));
    const decoder = new RespDecoder();
    decoder.feed(bytes);
    assertEquals(decoder.read()?.value, [utf8.encode(text)]);
  }
});

test("writes text with its first non-ASCII character at any place", () => {
  for (let length = 0; length < 60; length++) {
    for (let at = 0; at <= length; at++) {
      encodes([`${"a".repeat(at)}é${"b".repeat(length - at)}`], `${at} of ${length}`);
    }
  }
});

test("keeps many commands in order while its buffer grows", () => {
  const encoder = new RespEncoder({ capacity: 1 });
  const commands = Array.from({ length: 5000 }, (_, i) => ["XADD", "s", "*", "n", i, "p", "é".repeat(i % 70)]);
  let length = 0;
  for (const command of commands) {
    assertStrictEquals(encoder.command(command), encoder);
    length += expected(command).length;
    assertEquals(encoder.length, length);
  }
  assertEquals(encoder.take(), concat(commands.map(expected)));
});

test("starts with an empty buffer after a take, and does not change the taken bytes", () => {
  const encoder = new RespEncoder();
  assertEquals(encoder.take(), new Uint8Array(0));
  const taken: Uint8Array[] = [];
  for (let i = 0; i < 200; i++) {
    encoder.command(["SET", i, "x".repeat(i * 40)]);
    taken.push(encoder.take());
    assertEquals(encoder.length, 0);
  }
  taken.forEach((bytes, i) => assertEquals(bytes, expected(["SET", i, "x".repeat(i * 40)])));
});

test("takes the arguments of one command in sequence", () => {
  const encoder = new RespEncoder({ capacity: 1 });
  encoder.command(["XADD", "s", "*"], 203);
  for (let i = 0; i < 200; i++) assertStrictEquals(encoder.bulk(i % 2 === 0 ? `field ${i}` : wire(`é${i}`)), encoder);
  encoder.command(["PING"]);
  const args = Array.from({ length: 200 }, (_, i) => i % 2 === 0 ? `field ${i}` : wire(`é${i}`));
  assertEquals(encoder.take(), concat([expected(["XADD", "s", "*", ...args]), expected(["PING"])]));
});

test("refuses to announce fewer arguments than it is given", () => {
  for (const count of [0, 1, -1, 1.5, NaN]) {
    const encoder = new RespEncoder();
    assertThrows(() => encoder.command(["GET", "k"], count), RangeError);
    assertEquals(encoder.length, 0);
  }
});

test("copies the bytes of an argument at the call", () => {
  const payload = wire("before");
  const encoder = new RespEncoder();
  encoder.command(["SET", payload]);
  payload.fill(0);
  assertEquals(encoder.take(), expected(["SET", "before"]));
});

test("writes commands with many and with large arguments", () => {
  encodes(Array.from({ length: 20_000 }, (_, i) => i));
  const large = new Uint8Array(5_000_000).map((_, i) => i & 0xff);
  encodes(["SET", large, "x".repeat(3_000_000), "€".repeat(1_000_001), "end"]);
});

test("keeps little more than the bytes of a long text that was taken", () => {
  const taken = encodeCommand(["SET", "k", "a".repeat(4_000_000)]);
  assert(taken.buffer.byteLength < 2 * taken.length + 65_536, `${taken.buffer.byteLength} bytes for ${taken.length}`);
});

test("writes at any offset of a buffer of exactly the requested size, and not before it", () => {
  for (const text of ["", "a", "é".repeat(5), "€".repeat(34), "a".repeat(99) + "é", "😀".repeat(300)]) {
    const body = utf8.encode(text);
    const want = wire(`$${body.length}\r\n`).length + body.length + 2;
    for (const at of [0, 1, 50]) {
      const bytes = new Uint8Array(at + text.length * 3 + BULK_OVERHEAD).fill(0x7e);
      assertEquals(writeBulkText(bytes, at, text), at + want);
      assertEquals(bytes.subarray(at, at + want), expected([text]).subarray(4));
      assert(bytes.subarray(0, at).every((byte) => byte === 0x7e), "it wrote in front");
      const exact = new Uint8Array(at + body.length + BULK_OVERHEAD);
      assertEquals(writeBulk(exact, at, body), at + want);
      assertEquals(exact.subarray(at, at + want), expected([body]).subarray(4));
    }
  }
});

test(`writes the arguments that a server reads (seed ${seed})`, () => {
  const random = new Random(seed);
  const encoder = new RespEncoder({ capacity: 1 });
  for (let round = 0; round < 500; round++) {
    const commands = Array.from({ length: 1 + random.below(10) }, () => {
      return Array.from({ length: 1 + random.below(6) }, () => randomArgument(random));
    });
    for (const command of commands) encoder.command(command);
    const decoder = new RespDecoder({ capacity: 1 });
    decoder.feed(encoder.take());
    for (const command of commands) {
      const args = command.map((arg) => arg instanceof Uint8Array ? arg : utf8.encode(String(arg)));
      assertEquals(decoder.read()?.value, args);
    }
    assertStrictEquals(decoder.read(), undefined);
    assertEquals(decoder.buffered, 0);
  }
});

function randomArgument(random: Random): RespArgument {
  const length = random.below(random.of([4, 30, 130, 1100]));
  switch (random.below(5)) {
    case 0:
      return new Uint8Array(length).map(() => random.below(256));
    case 1:
      return random.below(2 ** 32) * random.of([1, -1, 2_000_000]);
    case 2:
      return BigInt(random.below(2 ** 32)) ** BigInt(random.below(5)) * random.of([1n, -1n]);
    case 3:
      return "a".repeat(length);
    default:
      return Array.from({ length }, () => random.of(["a", "é", "€", "😀", "\ud83d", "\ude00", "\0", "\r\n"])).join("");
  }
}
