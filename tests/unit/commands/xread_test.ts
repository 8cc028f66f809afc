// Tests the entries read from XREAD's replies, byte for byte, and refused replies.

import { assertEquals, assertThrows } from "@std/assert";
import { type PageSection, readPage, xread } from "../../../streamer/commands/xread.ts";
import { StreamerError } from "../../../resp/errors.ts";
import type { RespFrame } from "../../../resp/decoding/frame.ts";
import { test } from "../../support/runner.ts";
import { array, bulk, entry, frame, page2, page3 } from "./frames.ts";

interface Seen {
  readonly key: string;
  readonly last: string;
  readonly entries: readonly (readonly string[])[];
}

/** The content of a page, read with the tape that `readPage` points into. */
function seen(page: RespFrame, sections: readonly PageSection[]): Seen[] {
  return sections.map(({ redisKey, lastId, entries }) => ({
    key: redisKey,
    last: lastId,
    entries: [...entries].map((at) => {
      const words = [page.textAt(at + 2)];
      for (let i = 0; i < page.lengthAt(at + 4); i++) words.push(page.textAt(at + 6 + i * 2));
      return words;
    }),
  }));
}

function read(text: string): Seen[] {
  const page = frame(text);
  return seen(page, readPage(page));
}

function refused(text: string): void {
  const page = frame(text);
  const error = assertThrows(() => readPage(page), StreamerError);
  assertEquals(error.code, "PROTOCOL", JSON.stringify(text));
}

const good = entry("1-0", "msg", "a");

test("more entries of a key than requested are refused", () => {
  const page = frame(page3(["k", good, entry("2-0", "msg", "b")], ["l", good]));
  assertEquals(readPage(page, 2).length, 2);
  assertThrows(() => readPage(page, 1), StreamerError, "at most 1 entries");
});

test("an empty reply has no section, in both protocols", () => {
  for (const nothing of ["_\r\n", "*-1\r\n", "$-1\r\n", "*0\r\n", "%0\r\n"]) assertEquals(read(nothing), [], nothing);
});

test("a captured page of RESP2 and the same in RESP3 read alike", () => {
  const two = "*1\r\n*2\r\n$1\r\ns\r\n*2\r\n*2\r\n$3\r\n1-0\r\n*2\r\n$3\r\nmsg\r\n$2\r\nm1\r\n" +
    "*2\r\n$3\r\n2-0\r\n*2\r\n$3\r\nmsg\r\n$2\r\nm2\r\n";
  const three = "%1\r\n$1\r\ns\r\n*2\r\n*2\r\n$3\r\n1-0\r\n*2\r\n$3\r\nmsg\r\n$2\r\nm1\r\n" +
    "*2\r\n$3\r\n2-0\r\n*2\r\n$3\r\nmsg\r\n$2\r\nm2\r\n";
  const expected = [{ key: "s", last: "2-0", entries: [["1-0", "msg", "m1"], ["2-0", "msg", "m2"]] }];
  assertEquals(read(two), expected);
  assertEquals(read(three), expected);
});

test("several streams are sections in the order of the reply", () => {
  const streams: [string, ...string[]][] = [["b", good, entry("7-9", "x", "", "", "y")], ["a", entry("3-1", "m", "n")]];
  const expected = [
    { key: "b", last: "7-9", entries: [["1-0", "msg", "a"], ["7-9", "x", "", "", "y"]] },
    { key: "a", last: "3-1", entries: [["3-1", "m", "n"]] },
  ];
  assertEquals(read(page2(...streams)), expected);
  assertEquals(read(page3(...streams)), expected);
});

test("a stream without entries is omitted, as after MULTI XADD XDEL on Redis 7.0", () => {
  assertEquals(read("*1\r\n*2\r\n$1\r\ns\r\n*0\r\n"), []);
  assertEquals(read("%1\r\n$1\r\ns\r\n*0\r\n"), []);
  const mixed = read(page3(["empty"], ["full", good], ["void"]));
  assertEquals(mixed.map(({ key }) => key), ["full"]);
});

test("ids up to the largest are read exactly", () => {
  const largest = "18446744073709551615-18446744073709551615";
  assertEquals(read(page3(["k", entry(largest, "m", "v")]))[0].last, largest);
});

test("bodies may look like the wire itself", () => {
  const body = "\r\n*2\r\n$3\r\n9-9\r\n";
  const [section] = read(page3(["k", entry("1-1", body, body), entry("1-2", "$-1\r\n", "*0\r\n")]));
  assertEquals(section.entries, [["1-1", body, body], ["1-2", "$-1\r\n", "*0\r\n"]]);
});

test("an entry of two hundred fields keeps all of them", () => {
  const fields = Array.from({ length: 400 }, (_, i) => `w${i}`);
  assertEquals(read(page2(["k", entry("1-1", ...fields), good]))[0].entries[0], ["1-1", ...fields]);
});

test("a reply of another type is refused", () => {
  for (
    const other of ["+OK\r\n", ":1\r\n", "$2\r\nab\r\n", "#t\r\n", ",1\r\n", "(1\r\n", "~0\r\n", "=7\r\ntxt:abc\r\n"]
  ) {
    refused(other);
  }
});

test("keys must be bulk strings before arrays", () => {
  refused(`%1\r\n+s\r\n${array(good)}`);
  refused(`%1\r\n:5\r\n${array(good)}`);
  refused(`%1\r\n$-1\r\n${array(good)}`);
  refused(`%1\r\n_\r\n${array(good)}`);
  refused(`%1\r\n${bulk("s")}_\r\n`);
  refused(`%1\r\n${bulk("s")}${bulk("1-0")}`);
  refused(`%1\r\n${bulk("s")}~1\r\n${good}`);
  refused(`%1\r\n${bulk("s")}%1\r\n${bulk("1-0")}${array(bulk("m"), bulk("v"))}`);
  refused(array(array(bulk("s"))));
  refused(array(array(bulk("s"), array(good), array(good))));
  refused(array(bulk("s"), array(good)));
  refused(array("*-1\r\n"));
});

test("entries must be an id and pairs of bulk strings", () => {
  const refusedEntry = (text: string) => {
    refused(page3(["s", text]));
    refused(page2(["s", text, good]));
    refused(page2(["s", good, text]));
  };
  refusedEntry("_\r\n");
  refusedEntry("*-1\r\n");
  refusedEntry("*0\r\n");
  refusedEntry(array(bulk("1-0")));
  refusedEntry(array(bulk("1-0"), "_\r\n"));
  refusedEntry(array(bulk("1-0"), "*-1\r\n"));
  refusedEntry(array(bulk("1-0"), array(bulk("m"))));
  refusedEntry(array(bulk("1-0"), array(bulk("m"), bulk("v"), bulk("w"))));
  refusedEntry(array(bulk("1-0"), array(bulk("m"), "_\r\n")));
  refusedEntry(array(bulk("1-0"), array(bulk("m"), "$-1\r\n")));
  refusedEntry(array(bulk("1-0"), array(bulk("m"), ":1\r\n")));
  refusedEntry(array(bulk("1-0"), array(bulk("m"), "-ERR x\r\n")));
  refusedEntry(array(bulk("1-0"), array(bulk("m"), array())));
  refusedEntry(array(bulk("1-0"), array(array(bulk("a"), bulk("b")), bulk("v"))));
  refusedEntry(array("+1-0\r\n", array(bulk("m"), bulk("v"))));
  refusedEntry(array(":1\r\n", array(bulk("m"), bulk("v"))));
  refusedEntry(array(bulk("1-0"), `%1\r\n${bulk("m")}${bulk("v")}`));
  refusedEntry(array(bulk("1-0"), array(bulk("m"), bulk("v")), bulk("more")));
  refusedEntry(bulk("1-0"));
});

const NO_IDS = [
  "",
  "-",
  "1",
  "1-",
  "-1",
  "123",
  "a-1",
  "1-b",
  "1-2-3",
  "1.5-0",
  " 1-0",
  "1-0 ",
  "-1-0",
  "+1-1",
  "01-1",
  "1-01",
  "1-*",
  "1\r\n-1",
  "0x1-1",
  "\u0000-1",
  "18446744073709551616-0",
  "0-18446744073709551616",
  "1".repeat(42),
];

test("an invalid id is refused at the end of a page", () => {
  for (const id of NO_IDS) refused(page3(["s", good, entry(id, "m", "v")]));
});

test("an invalid id is refused also in the middle of a page", () => {
  for (const id of NO_IDS) refused(page3(["s", entry(id, "m", "v"), entry("9-9", "m", "v")]));
});

test("an id is refused for any wrong byte, at any place", () => {
  const ids = ["1712345678901-12", "1-0", "12-34", "123-4", "1234-5", "12345678-12345678", "0-1"];
  for (const id of ids) {
    for (let place = 0; place < id.length; place++) {
      for (let byte = 0; byte < 128; byte++) {
        const other = id.slice(0, place) + String.fromCharCode(byte) + id.slice(place + 1);
        const text = page3(["s", entry(other, "m", "v"), entry("99999999999999-9", "m", "v")]);
        if (/^(0|[1-9]\d*)-(0|[1-9]\d*)$/.test(other)) assertEquals(read(text)[0].entries[0][0], other);
        else refused(text);
      }
    }
  }
});

test("the shortest values are refused at the end of the reply", () => {
  for (const short of ["_\r\n", "+\r\n", ":1\r\n", "*0\r\n", "$-1\r\n", "$?\r\n;0\r\n", "~0\r\n", "%0\r\n"]) {
    refused(page3(["s", good, short]));
    refused(page3(["s", good, array(short)]));
    refused(page3(["s", good, array(bulk("1-0"), short === "*0\r\n" ? "*1\r\n_\r\n" : short)]));
    refused(page3(["s", good, array(bulk("1-0"), array(bulk("m"), short))]));
    refused(page3(["s", good, array(bulk("1-0"), array(short, short))]));
  }
});

test("a bulk string of chunks is neither a key nor a value", () => {
  refused(`%1\r\n$?\r\n;1\r\ns\r\n;0\r\n${array(good)}`);
  refused(page3(["s", array(bulk("1-0"), array(bulk("m"), "$?\r\n;1\r\nv\r\n;0\r\n"))]));
});

test("the arguments of XREAD are the keys, then a position for each", () => {
  const positions = [{ redisKey: "a", position: "0-0" }, { redisKey: "b:3", position: "5-1" }];
  assertEquals(
    xread({ positions, count: 10, block: 99.5 }).args.map(String),
    ["XREAD", "COUNT", "10", "BLOCK", "100", "STREAMS", "a", "b:3", "0-0", "5-1"],
  );
});

test("a block is never 0, which means without a limit", () => {
  const block = (ms: number) => String(xread({ positions: [], count: 1, block: ms }).args[4]);
  assertEquals(block(0.25), "1");
  assertEquals(block(1), "1");
});
