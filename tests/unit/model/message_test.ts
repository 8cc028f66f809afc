// Tests a message of an entry, without any server: payload, headers, id and its meanings.

import { assert, assertEquals, assertLess, assertNotStrictEquals, assertThrows } from "@std/assert";
import { StreamerError } from "../../../resp/errors.ts";
import { readPage } from "../../../streamer/commands/xread.ts";
import type { TimestampFormat } from "../../../streamer/model/id.ts";
import { Message } from "../../../streamer/model/message.ts";
import { fieldBytes } from "../../../streamer/model/message_headers.ts";
import { entry, frame, page2, page3 } from "../commands/frames.ts";
import { test } from "../../support/runner.ts";

interface MessageOptions {
  readonly field?: string;
  readonly timestampFormat?: TimestampFormat;
}

/** The messages of a page. Each entry is an id and its fields, whose characters are bytes. */
function messages(entries: readonly (readonly [string, ...string[]])[], options: MessageOptions = {}): Message[] {
  const { field = "msg", timestampFormat = "milliseconds" } = options;
  const whole = frame(page3(["s", ...entries.map(([id, ...fields]) => entry(id, ...fields))]));
  const [section] = readPage(whole);
  const source = { frame: whole, streamKey: "s", shardId: 3, timestampFormat, field: fieldBytes(field) };
  return [...section.entries].map((at) => new Message(source, at, 1));
}

function message(id: string, ...fields: string[]): Message {
  return messages([[id, ...fields]])[0];
}

const ascii = (text: string) => new TextEncoder().encode(text);

test("a message has its stream, shard, id, sequence, times and count of deliveries", () => {
  const one = message("1526919030474-55", "msg", "hello");
  assertEquals(one.streamKey, "s");
  assertEquals(one.shardId, 3);
  assertEquals(one.id, "1526919030474-55");
  assertEquals(one.sequence, (1526919030474n << 16n) | 55n);
  assertEquals(one.timestamp, new Date(1526919030474));
  assertEquals(one.timestampNs, 1526919030474000000n);
  assertEquals(one.deliveries, 1);
  const { streamKey, shardId, id, sequence } = one.identifier;
  assertEquals({ streamKey, shardId, id, sequence }, {
    streamKey: "s",
    shardId: 3,
    id: one.id,
    sequence: one.sequence,
  });
});

test("the payload is available as bytes, as text and as parsed JSON", () => {
  const one = message("1-1", "msg", '{"a":[1,"\u00c3\u00a9"]}');
  assertEquals(
    one.bytes(),
    new Uint8Array([...'{"a":[1,"'].map((c) => c.charCodeAt(0)).concat([0xc3, 0xa9], [34, 93, 125])),
  );
  assertEquals(one.text(), '{"a":[1,"é"]}');
  assertEquals(one.json<{ a: unknown[] }>().a, [1, "é"]);
  assertThrows(() => message("1-1", "msg", "{").json(), SyntaxError);
  assertThrows(() => message("1-1", "other", "1").json(), SyntaxError);
});

test("invalid UTF-8 becomes U+FFFD in a text, and stays unchanged in bytes", () => {
  for (const length of [3, 40]) {
    const one = message("1-1", "msg", `\xff${"a".repeat(length)}\x00\xfe`);
    assertEquals(one.text(), `\ufffd${"a".repeat(length)}\u0000\ufffd`);
    assertEquals([one.bytes()[0], one.bytes().at(-1)], [0xff, 0xfe]);
  }
});

test("a byte order mark is payload like any other", () => {
  assertEquals(message("1-1", "msg", "\xef\xbb\xbfx").text(), "\ufeffx");
  assertEquals(message("1-1", "msg", `\xef\xbb\xbf${"x".repeat(50)}`).text().length, 51);
});

test("other fields are headers in stored order", () => {
  const { headers } = message("1-1", "a", "1", "msg", "payload", "b", "2", "a", "3");
  assertEquals(headers.size, 3);
  assertEquals([...headers], [["a", ascii("1")], ["b", ascii("2")], ["a", ascii("3")]]);
  assertEquals([headers.get("a"), headers.get("b"), headers.get("msg"), headers.get("c")], [
    "1",
    "2",
    undefined,
    undefined,
  ]);
  assertEquals([headers.has("a"), headers.has("msg"), headers.has("A")], [true, false, false]);
  assertEquals(headers.getBytes("b"), ascii("2"));
  assertEquals(headers.getBytes("c"), undefined);
  assertEquals(headers.getAll("a"), [ascii("1"), ascii("3")]);
  assertEquals(headers.getAll("c"), []);
  assertEquals([...headers].length, 3, "they can be iterated again");
});

test("an entry without the payload field has an empty payload and all its fields as headers", () => {
  const one = message("1-1", "a", "1", "MSG", "2", "msgs", "3", "ms", "4");
  assertEquals([one.bytes(), one.text()], [new Uint8Array(0), ""]);
  assertEquals(one.headers.size, 4);
  assertEquals([...one.headers].map(([name]) => name), ["a", "MSG", "msgs", "ms"]);
});

test("of a repeated payload field the first is the payload, the others are headers", () => {
  const one = message("1-1", "msg", "first", "x", "y", "msg", "second", "msg", "");
  assertEquals(one.text(), "first");
  assertEquals([...one.headers], [["x", ascii("y")], ["msg", ascii("second")], ["msg", ascii("")]]);
  assertEquals(one.headers.getAll("msg"), [ascii("second"), ascii("")]);
});

test("empty names and values are valid", () => {
  const one = message("1-1", "", "", "msg", "", "", "x");
  assertEquals(one.bytes().length, 0);
  assertEquals([...one.headers], [["", ascii("")], ["", ascii("x")]]);
  assertEquals([one.headers.has(""), one.headers.get(""), one.headers.getAll("").length], [true, "", 2]);
});

test("names that are not UTF-8 and names of the prototype are ordinary names", () => {
  const one = message("1-1", "\xff\xfe", "1", "__proto__", "2", "constructor", "3", "toString", "4");
  assertEquals(one.headers.size, 4);
  assertEquals([one.headers.get("__proto__"), one.headers.get("constructor")], ["2", "3"]);
  assertEquals([one.headers.has("hasOwnProperty"), one.headers.get("valueOf")], [false, undefined]);
  assertEquals([...one.headers][0], ["\ufffd\ufffd", ascii("1")]);
});

test("the payload field is the one of the options, whatever its bytes", () => {
  const [one] = messages([["1-1", "msg", "a", "d\xc3\xa4ta", "b"]], { field: "däta" });
  assertEquals([one.text(), [...one.headers]], ["b", [["msg", ascii("a")]]]);
  const [none] = messages([["1-1", "msg", "a", "", "b"]], { field: "" });
  assertEquals([none.text(), [...none.headers]], ["b", [["msg", ascii("a")]]]);
});

test("a second half above 65535 has no sequence, and everything else works", () => {
  const one = message("1526919030474-65536", "msg", "x");
  assertEquals(assertThrows(() => one.sequence, StreamerError).code, "UNSUPPORTED");
  const { identifier } = one;
  assertEquals(identifier.id, "1526919030474-65536");
  assertThrows(() => identifier.sequence, StreamerError);
  assertEquals([one.text(), one.timestamp.getTime()], ["x", 1526919030474]);
  assertEquals(message("1526919030474-65535", "msg", "x").sequence, (1526919030474n << 16n) | 65535n);
});

test("the largest id is exact, and its time an Invalid Date rather than an error", () => {
  const largest = "18446744073709551615-18446744073709551615";
  const one = message(largest, "msg", "x");
  assertEquals(one.id, largest);
  assertEquals(Number.isNaN(one.timestamp.getTime()), true);
  assertEquals(one.timestampNs, (2n ** 64n - 1n) * 1_000_000n);
  assertEquals(message("18446744073709551615-1", "msg", "").sequence, ((2n ** 64n - 1n) << 16n) | 1n);
  assertEquals(message("8640000000000000-0", "msg", "").timestamp, new Date(8.64e15));
  assertEquals(Number.isNaN(message("8640000000000001-0", "msg", "").timestamp.getTime()), true);
});

test("in nanoseconds the time is cut to milliseconds and exact in timestampNs", () => {
  const [one, far] = messages([["1526919030474999999-7", "msg", "x"], ["18446744073709551615-0", "msg", "x"]], {
    timestampFormat: "nanoseconds",
  });
  assertEquals(one.timestamp, new Date(1526919030474));
  assertEquals(one.timestampNs, 1526919030474999999n);
  assertEquals(one.sequence, (1526919030474999999n << 16n) | 7n);
  assertEquals(far.timestamp, new Date(18446744073709));
});

test("a copy has the same content in a small buffer of its own", () => {
  const filler = "x".repeat(100_000);
  const page = messages([["1-1", "msg", filler], ["2-70000", "h", "1", "msg", "payload", "i", ""], [
    "3-1",
    "msg",
    filler,
  ]]);
  for (const one of page) {
    const copy = one.copy();
    const both = [one, copy].map((m) => [m.id, m.streamKey, m.shardId, m.deliveries, m.text(), [...m.headers]]);
    assertEquals(both[1], both[0]);
    assertNotStrictEquals(copy.bytes().buffer, one.bytes().buffer);
  }
  const small = page[1].copy();
  assertLess(small.bytes().buffer.byteLength, 1_000);
  const again = small.copy();
  assertEquals([again.text(), [...again.headers]], ["payload", [["h", ascii("1")], ["i", ascii("")]]]);
  assertNotStrictEquals(again.bytes().buffer, small.bytes().buffer);
});

test("a copy does not change when its page does", () => {
  const [one] = messages([["1-1", "msg", "payload", "h", "value"]]);
  const copy = one.copy();
  const view = one.bytes();
  new Uint8Array(view.buffer).fill(0x58);
  assertEquals([copy.id, copy.text(), copy.headers.get("h")], ["1-1", "payload", "value"]);
});

test("messages of RESP2's page are the same as those of RESP3's", () => {
  const whole = frame(page2(["s", entry("1-1", "a", "b", "msg", "x")]));
  const [section] = readPage(whole);
  const source = {
    frame: whole,
    streamKey: "s",
    shardId: 0,
    timestampFormat: "milliseconds",
    field: fieldBytes("msg"),
  };
  const one = new Message({ ...source, timestampFormat: "milliseconds" }, section.entries[0], 4);
  assertEquals([one.id, one.text(), one.deliveries, [...one.headers]], ["1-1", "x", 4, [["a", ascii("b")]]]);
});

test("payloads of every length around a digit's change are cut out exactly", () => {
  const lengths = [0, 1, 9, 10, 11, 23, 24, 25, 99, 100, 101, 999, 1_000, 1_001, 9_999, 10_000, 10_001];
  const entries = lengths.map((
    n,
    i,
  ): [string, ...string[]] => [`${i + 1}-1`, "h".repeat(n), "v", "msg", "p".repeat(n), "z", "w".repeat(n)]);
  for (const [i, one] of messages(entries).entries()) {
    const n = lengths[i];
    assert(one.text() === "p".repeat(n) && one.bytes().length === n, `length ${n}`);
    assert(one.headers.get("z") === "w".repeat(n) && one.headers.get("h".repeat(n)) === "v", `length ${n}`);
    assert(one.copy().text() === "p".repeat(n), `length ${n}`);
  }
});
