// Tests the limits of single replies: the size that the command can need, below the limits of the decoder.

import { assertEquals, assertInstanceOf, assertThrows } from "@std/assert";
import { type ReplyLimits, RespDecoder, type RespLimits } from "../../../resp/mod.ts";
import { ProtocolError } from "../../../resp/errors.ts";
import { test } from "../../support/runner.ts";
import { wire } from "../../support/resp/drive.ts";

interface Setting {
  readonly limits?: RespLimits;
  readonly pushLimits?: RespLimits;
  readonly narrower?: ReplyLimits;
}

function decoderOf({ narrower, ...options }: Setting): RespDecoder {
  const decoder = new RespDecoder(options);
  decoder.narrow(narrower);
  return decoder;
}

/** Accepts it, complete and byte by byte. */
function accepts(setting: Setting, text: string): void {
  const whole = decoderOf(setting);
  whole.feed(wire(text));
  const value = whole.read();
  assertEquals(value === undefined, false, text);
  const bytewise = decoderOf(setting);
  for (const byte of wire(text)) bytewise.feed(new Uint8Array([byte]));
  assertEquals(bytewise.read(), value, text);
}

/** Refuses it, complete and byte by byte, at the latest with its last byte. */
function refuses(setting: Setting, text: string, tooLarge: boolean): void {
  for (const size of [text.length, 1]) {
    const decoder = decoderOf(setting);
    const error = assertThrows(
      () => {
        for (let at = 0; at < text.length; at += size) {
          decoder.feed(wire(text.slice(at, at + size)));
          decoder.advance();
        }
      },
      ProtocolError,
      undefined,
      `${text} in pieces of ${size}`,
    );
    assertEquals(error.tooLarge, tooLarge, text);
  }
}

test("the tighter of both limits applies to a reply, on its header", () => {
  refuses({ narrower: { bulk: 10 } }, "$11\r\n", true);
  refuses({ narrower: { bulk: 100 }, limits: { bulk: 10 } }, "$11\r\n", true);
  accepts({ narrower: { bulk: 10 } }, "$10\r\n0123456789\r\n");
  refuses({ narrower: { elements: 3 } }, "*4\r\n", true);
  refuses({ narrower: { elements: 3 } }, "*1\r\n*3\r\n", true);
  accepts({ narrower: { elements: 3 } }, "*2\r\n:1\r\n:2\r\n");
  refuses({ narrower: { reply: 12 } }, "*2\r\n$1\r\na\r\n$1", true);
  refuses({ narrower: { line: 3 } }, "+abcde", false);
});

test("if an aggregate is expected, a string is refused by its header; null and errors are not", () => {
  const setting = { narrower: { aggregate: true } };
  refuses(setting, "$1\r\n", false);
  refuses(setting, "$?\r\n", false);
  accepts(setting, "_\r\n");
  accepts(setting, "*-1\r\n");
  accepts(setting, "-ERR no\r\n");
  accepts(setting, "*1\r\n$1\r\na\r\n");
  accepts(setting, "%1\r\n$1\r\na\r\n:1\r\n");
  accepts(setting, "!6\r\nERR no\r\n");
  refuses(setting, "!70000\r\n", true);
  refuses(setting, "=70000\r\n", true);
});

test("if only strings are expected, a number is refused by its type, at any depth and also after an attribute", () => {
  const setting = { narrower: { strings: true } };
  for (const number of [":1\r\n", ",1\r\n", "#t\r\n", "(1\r\n", "+1\r\n"]) {
    refuses(setting, `*1\r\n${number}`, false);
    refuses(setting, `%1\r\n$1\r\na\r\n*2\r\n$1\r\na\r\n${number}`, false);
    refuses(setting, `|1\r\n$1\r\na\r\n:1\r\n*1\r\n${number}`, false);
    accepts(setting, number);
  }
  accepts(setting, "*3\r\n_\r\n$-1\r\n*-1\r\n");
  accepts(setting, "*1\r\n|1\r\n$1\r\na\r\n%1\r\n$1\r\nb\r\n,0.5\r\n$1\r\na\r\n");
});

test("pushes have limits of their own, and do not change those of the reply after them", () => {
  const setting = { pushLimits: { elements: 3, bulk: 4 } };
  refuses(setting, ">4\r\n", true);
  refuses(setting, ">1\r\n$5\r\n", true);
  refuses(setting, ">1\r\n*3\r\n", true);
  const decoder = decoderOf({ ...setting, narrower: { elements: 5 } });
  decoder.feed(wire(">2\r\n+a\r\n$4\r\nabcd\r\n*4\r\n$5\r\nabcde\r\n:1\r\n:2\r\n:3\r\n"));
  assertEquals(decoder.read()?.kind, "push");
  assertEquals(decoder.read()?.kind, "reply");
  decoder.feed(wire("*6\r\n"));
  assertThrows(() => decoder.read(), ProtocolError);
});

test("limits apply from the next reply on, until others are set", () => {
  const decoder = decoderOf({ narrower: { bulk: 1 } });
  decoder.feed(wire("$1\r\na\r\n$2\r\nab\r\n$2\r\nab\r\n"));
  assertInstanceOf(decoder.read()?.value, Uint8Array);
  decoder.narrow({ bulk: 2 });
  assertInstanceOf(decoder.read()?.value, Uint8Array);
  decoder.narrow(undefined);
  assertInstanceOf(decoder.read()?.value, Uint8Array);
  decoder.feed(wire("$3\r\nabc\r\n"));
  assertInstanceOf(decoder.read()?.value, Uint8Array);
  decoder.narrow({ bulk: 2 });
  decoder.feed(wire("$3\r\n"));
  assertThrows(() => decoder.read(), ProtocolError);
});

test("the outermost array or map has no more values or pairs than allowed, and their number is announced", () => {
  const setting = { narrower: { items: 2 } };
  refuses(setting, "*3\r\n", false);
  refuses(setting, "%3\r\n", false);
  refuses(setting, "*?\r\n", false);
  refuses(setting, "|1\r\n+a\r\n+b\r\n*3\r\n", false);
  accepts(setting, "*2\r\n*3\r\n:1\r\n:2\r\n:3\r\n*?\r\n.\r\n");
  accepts(setting, "%2\r\n:1\r\n:2\r\n:3\r\n:4\r\n");
  accepts(setting, "|3\r\n:1\r\n:1\r\n:2\r\n:2\r\n:3\r\n:3\r\n*0\r\n");
  accepts(setting, "$3\r\nabc\r\n");
});
