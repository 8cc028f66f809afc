// Tests each limit of the decoder: accepted at the limit, refused past it, and refused on the header.

import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { DEFAULT_LIMITS, RespDecoder, type RespLimits, StreamerError } from "../../../resp/mod.ts";
import { test } from "../../support/runner.ts";
import { bytewise, concat, decode, halves, type Outcome, pieces, wire } from "../../support/resp/drive.ts";

/** Decodes under limits, complete and byte by byte, with the same result. */
function under(limits: RespLimits, text: string): Outcome {
  const bytes = wire(text);
  const whole = decode([bytes], { limits });
  assertEquals(decode(bytewise(bytes), { limits }), whole, `byte by byte: ${text.slice(0, 60)}`);
  return whole;
}

function accepts(limits: RespLimits, text: string): void {
  const { failure, replies, left } = under(limits, text);
  assertEquals([failure, replies.length, left], [undefined, 1, 0], text.slice(0, 60));
}

/** Refuses this beginning of a reply, with nothing after it. */
function refuses(limits: RespLimits, text: string, says: string): void {
  const { failure = "", replies } = under(limits, text);
  assertEquals(replies, []);
  assertStringIncludes(failure, says, text.slice(0, 60));
}

test("has the documented limits", () => {
  const { bulk, elements, depth, reply, line, digits } = DEFAULT_LIMITS;
  assertEquals([bulk, elements, depth, reply, line, digits], [2 ** 29, 2 ** 24, 128, 2 ** 30, 2 ** 16, 2 ** 12]);
  assert(Object.isFrozen(DEFAULT_LIMITS));
});

test("refuses a length past 512 MiB on the header, and waits for one at it", () => {
  for (const type of ["$", "!", "=", "$?\r\n;"]) {
    assertEquals(under({}, `${type}536870912\r\n`).failure, undefined, type);
    refuses({}, `${type}536870913\r\n`, "536870912");
    refuses({}, `${type}2147483647\r\n`, "536870912");
    refuses({}, `${type}4294967296\r\n`, "536870912");
    refuses({}, `${type}9999999999\r\n`, "536870912");
    refuses({}, `${type}18446744073709551616\r\n`, "digits");
  }
});

test("applies the bulk limit to a body", () => {
  for (const [type, end] of [["$", ""], ["!", ""], ["=", ""], ["$?\r\n;", ";0\r\n"], ["*1\r\n$", ""]]) {
    accepts({ bulk: 7 }, `${type}7\r\n1234567\r\n${end}`);
    refuses({ bulk: 7 }, `${type}8\r\n`, "7");
  }
  accepts({ bulk: 1 }, "$-1\r\n");
  accepts({ bulk: 1 }, "+a line is no bulk\r\n");
});

test("refuses a count past 2^24 on the header, and waits for one at it", () => {
  for (const [type, most] of [["*", 2 ** 24], ["~", 2 ** 24], [">", 2 ** 24], ["%", 2 ** 23], ["|", 2 ** 23]]) {
    assertEquals(under({}, `${type}${most}\r\n`).failure, undefined, `${type}`);
    refuses({}, `${type}${Number(most) + 1}\r\n`, "16777216");
    refuses({}, `${type}2147483647\r\n`, "16777216");
    refuses({}, `${type}4294967297\r\n`, "16777216");
    refuses({}, `${type}9999999999\r\n`, "16777216");
  }
});

test("counts the values of a reply over all of its aggregates", () => {
  accepts({ elements: 4 }, "*4\r\n_\r\n_\r\n_\r\n_\r\n");
  accepts({ elements: 4 }, "%2\r\n_\r\n_\r\n_\r\n_\r\n");
  accepts({ elements: 4 }, "*2\r\n*1\r\n_\r\n*1\r\n_\r\n");
  accepts({ elements: 4 }, "*?\r\n_\r\n_\r\n_\r\n_\r\n.\r\n");
  refuses({ elements: 4 }, "*5\r\n", "4 values");
  refuses({ elements: 4 }, "%3\r\n", "4 values");
  refuses({ elements: 4 }, "*2\r\n*4\r\n", "4 values");
  refuses({ elements: 4 }, "*2\r\n*2\r\n_\r\n_\r\n*1\r\n_\r\n", "4 values");
  refuses({ elements: 4 }, "*?\r\n_\r\n_\r\n_\r\n_\r\n_\r\n", "4 values");
  refuses({ elements: 4 }, `$?\r\n${";1\r\nx\r\n".repeat(5)}`, "4 values");
  refuses({ elements: 4 }, "|1\r\n*3\r\n_\r\n_\r\n_\r\n_\r\n", "4 values");
});

test("refuses one value too many on its header, before its body has arrived", () => {
  for (const header of ["$100\r\n", "=100\r\n", "!100\r\n", "$?\r\n"]) {
    refuses({ elements: 4 }, `*?\r\n${"_\r\n".repeat(4)}${header}`, "4 values");
    refuses({ elements: 4 }, `*2\r\n*2\r\n_\r\n_\r\n*1\r\n${header}`, "4 values");
  }
});

test("counts the values of each reply separately", () => {
  const { failure, replies } = under({ elements: 2 }, "*2\r\n_\r\n_\r\n".repeat(50));
  assertEquals([failure, replies.length], [undefined, 50]);
});

test("refuses level 129, by each kind of aggregate", () => {
  const kinds = [["*1\r\n", ""], ["~1\r\n", ""], ["%1\r\n+k\r\n", ""], ["*?\r\n", ".\r\n"], ["%?\r\n+k\r\n", ".\r\n"]];
  for (const [open, close] of kinds) {
    accepts({}, open.repeat(128) + "_\r\n" + close.repeat(128));
    refuses({}, open.repeat(129), "128 levels");
    accepts({ depth: 1 }, open + "_\r\n" + close);
    refuses({ depth: 1 }, open + open, "1 levels");
  }
  refuses({}, "*1\r\n".repeat(128) + "$?\r\n", "128 levels");
  refuses({}, ">1\r\n" + "*1\r\n".repeat(128), "128 levels");
});

test("counts levels, not aggregates", () => {
  const deep = "*1\r\n".repeat(126) + "_\r\n";
  accepts({}, `*3\r\n${deep}${deep}${deep}`);
});

test("counts an attribute as a level of the value after it, inside and before", () => {
  const attribute = "|1\r\n_\r\n_\r\n";
  accepts({ depth: 3 }, `${attribute}${attribute}*1\r\n_\r\n`);
  refuses({ depth: 3 }, `${attribute}${attribute}${attribute}*1\r\n`, "3 levels");
  accepts({ depth: 3 }, `*1\r\n${attribute}*1\r\n_\r\n`);
  refuses({ depth: 3 }, `*1\r\n${attribute}${attribute}*1\r\n`, "3 levels");
  accepts({ depth: 3 }, `|1\r\n_\r\n*1\r\n*1\r\n_\r\n_\r\n`);
  refuses({ depth: 3 }, `|1\r\n_\r\n*1\r\n*1\r\n*1\r\n`, "3 levels");
  refuses({ depth: 3 }, "|1\r\n|1\r\n|1\r\n|1\r\n", "3 levels");
  for (const row of [attribute, "|0\r\n"]) {
    accepts({}, `${row.repeat(128)}_\r\n`);
    refuses({}, row.repeat(129), "128 levels");
    refuses({}, `*2\r\n_\r\n${row.repeat(128)}`, "128 levels");
  }
});

test("forgets the attributes of one value before the next", () => {
  const three = "|1\r\n_\r\n_\r\n".repeat(3);
  accepts({ depth: 4 }, `*3\r\n${three}_\r\n${three}_\r\n${three}*0\r\n`);
  assertEquals(under({ depth: 4 }, `${three}*1\r\n_\r\n`.repeat(20)).failure, undefined);
  accepts({ depth: 4 }, `%2\r\n${three}_\r\n*1\r\n*1\r\n*1\r\n_\r\n${three}_\r\n*1\r\n*1\r\n*1\r\n_\r\n`);
});

test("accepts a line of 64 KiB and no byte more", () => {
  for (const type of ["+", "-"]) {
    const bytes = wire(`${type}${"x".repeat(65536)}\r\n`);
    for (const cut of [[bytes], pieces(bytes, 1000)]) assertEquals(decode(cut).replies.length, 1);
    const long = wire(`${type}${"x".repeat(65537)}`);
    for (const cut of [[long], pieces(long, 1000)]) assertStringIncludes(decode(cut).failure ?? "", "65536");
    accepts({ line: 3 }, `${type}abc\r\n`);
    accepts({ line: 3 }, `*1\r\n${type}abc\r\n`);
    refuses({ line: 3 }, `${type}abcd`, "at offset 4");
    refuses({ line: 3 }, `${type}abcd\r\n`, "at offset 4");
  }
});

test("accepts a big number of 4,096 digits and no digit more", () => {
  const number = "9".repeat(4096);
  for (const sign of ["", "-", "+"]) accepts({}, `(${sign}${number}\r\n`);
  for (const sign of ["", "-", "+"]) refuses({}, `(${sign}${number}9\r\n`, "409");
  assertEquals(decode([wire(`(-${number}\r\n`)]).replies[0].value, -(10n ** 4096n - 1n));
});

test("accepts a double of as many characters as a big number may have digits", () => {
  accepts({}, `,0.${"1".repeat(4094)}\r\n`);
  refuses({}, `,0.${"1".repeat(4095)}`, "4096");
  accepts({ digits: 3 }, ",1.5\r\n");
  refuses({ digits: 3 }, ",1.25", "3");
});

test("does not wait for the end of a number's line past its limit", () => {
  for (const [type, most] of [[":", 22], ["(", 4200], [",", 4200], ["$", 22], ["*", 22], ["_", 2], ["#", 3]]) {
    const { failure } = decode(pieces(wire(type + "1".repeat(Number(most))), 7));
    assert(failure !== undefined, `${type} still waits`);
  }
});

test("applies the reply limit on the header of the body that would exceed it", () => {
  for (
    const text of [
      "$10\r\n0123456789\r\n",
      "*2\r\n$2\r\nab\r\n_\r\n",
      `+${"x".repeat(14)}\r\n`,
      "|1\r\n_\r\n_\r\n#t\r\n",
    ]
  ) {
    accepts({ reply: text.length }, text);
    refuses({ reply: text.length - 1 }, text, `${text.length - 1} bytes`);
  }
  refuses({ reply: 16 }, "$10\r\n", "16 bytes");
  refuses({ reply: 100 }, "*2\r\n+a\r\n$100\r\n", "100 bytes");
  refuses({ reply: 100 }, `*99\r\n${":1\r\n".repeat(24)}`, "100 bytes");
  assertEquals(under({ reply: 10 }, "+1234567\r\n".repeat(50)).replies.length, 50);
});

test("reports the same for a reply that is too large, in any pieces", () => {
  const texts = [
    "*3\r\n+aaaaaaaa\r\n+bbbbbbbb\r\n+cccccccc\r\n",
    "*9\r\n:1\r\n:1\r\n:1\r\n:1\r\n?",
    "*1\r\n+aaaaaaaaaaaaaaaaaaaaaaaaaaa\n",
  ];
  for (const text of texts) {
    const whole = decode([wire(text)], { limits: { reply: 12 } });
    assertStringIncludes(whole.failure ?? "", "12 bytes");
    for (const cut of halves(wire(text))) assertEquals(decode(cut, { limits: { reply: 12 } }), whole);
    assertEquals(decode(bytewise(wire(text)), { limits: { reply: 12 } }), whole);
  }
});

test("quotes a received byte of a reply that is too large", () => {
  const text = "*9\r\n:1\r\n:1\r\n:1\r\n";
  const limits = { reply: 11 };
  const decoder = new RespDecoder({ limits, capacity: 4096 });
  // Earlier content of the buffer must not be visible.
  decoder.feed(concat([wire("+1234567\r\n".repeat(300)), wire("$3\r\n~~~\r\n")]));
  while (decoder.read() !== undefined);
  decoder.feed(wire(text.slice(0, 12)));
  const { message } = assertThrows(() => decoder.read(), StreamerError, "11 bytes");
  const [, hex, offset] = /byte (?:0x)?(\w+).* at offset (\d+)/.exec(message) ?? [];
  const stream = wire("+1234567\r\n".repeat(300) + "$3\r\n~~~\r\n" + text.slice(0, 12));
  assertEquals(hex, stream[Number(offset)]?.toString(16), `${message}; ${stream.length} bytes had come`);
});

test("refuses a limit that is not a whole number from 1 to 2^31 - 1, and names it", () => {
  for (const name of ["bulk", "elements", "depth", "reply", "line", "digits"]) {
    for (const value of [0, -1, 1.5, NaN, Infinity, 2 ** 31]) {
      const error = assertThrows(() => new RespDecoder({ limits: { [name]: value } }), StreamerError, name);
      assertEquals(error.code, "INVALID_OPTION");
      assertStringIncludes(error.message, String(value));
    }
    new RespDecoder({ limits: { [name]: 1 } });
    new RespDecoder({ limits: { [name]: 2 ** 31 - 1 } });
    new RespDecoder({ limits: { [name]: undefined } });
  }
});

test("refuses a capacity that is not a whole number, and names it", () => {
  for (const capacity of [NaN, Infinity, 1.5, -1]) {
    assertThrows(() => new RespDecoder({ capacity }), StreamerError, "capacity");
  }
});
