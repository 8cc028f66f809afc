// The wire vectors: literal bytes (a character a byte) with their meaning, or with the place that breaks the protocol.

import { RespErrorReply, RespMap, type RespReply, RespSet, type RespValue, RespVerbatim } from "../../../resp/mod.ts";
import { wire } from "./drive.ts";

/** Bytes and the replies they hold. */
export interface Vector {
  readonly name: string;
  readonly wire: string;
  readonly replies: readonly RespReply[];
}

/** Bytes that break the protocol: `offset` is that of the byte to be blamed. */
export interface Violation {
  readonly name: string;
  readonly wire: string;
  readonly offset: number;
}

function one(name: string, bytes: string, value: RespValue): Vector {
  return { name, wire: bytes, replies: [{ kind: "reply", value }] };
}

function error(text: string): RespErrorReply {
  return new RespErrorReply(text);
}

function map(...entries: (readonly [RespValue, RespValue])[]): RespMap {
  return new RespMap(entries);
}

const popularity = map([wire("key-popularity"), [wire("key:123"), 90]]);
const text = "Some real reply following the attribute";

/** Bytes that hold whole replies. */
export const VECTORS: readonly Vector[] = [
  one("a simple string", "+OK\r\n", "OK"),
  one("an empty simple string", "+\r\n", ""),
  one("a simple string of UTF-8", "+\xc3\xa9\xf0\x9f\x98\x80\r\n", "é😀"),
  one("a simple string that is no UTF-8", "+a\xff\r\n", "a\ufffd"),
  one("a long simple string", `+${"x".repeat(500)}\r\n`, "x".repeat(500)),
  one("a simple error", "-ERR unknown command\r\n", error("ERR unknown command")),
  one("an empty error", "-\r\n", error("")),
  one("integer 0", ":0\r\n", 0),
  one("integer -1", ":-1\r\n", -1),
  one("an integer with a plus", ":+7\r\n", 7),
  one("integer -0", ":-0\r\n", 0),
  one("the largest exact number", ":9007199254740991\r\n", 9007199254740991),
  one("the first past it", ":9007199254740992\r\n", 9007199254740992n),
  one("the least exact number", ":-9007199254740991\r\n", -9007199254740991),
  one("the first below it", ":-9007199254740993\r\n", -9007199254740993n),
  one("the largest integer", ":9223372036854775807\r\n", 9223372036854775807n),
  one("the largest integer with a plus", ":+9223372036854775807\r\n", 9223372036854775807n),
  one("the least integer", ":-9223372036854775808\r\n", -9223372036854775808n),
  one("a bulk string", "$5\r\nhello\r\n", wire("hello")),
  one("an empty bulk string", "$0\r\n\r\n", wire("")),
  one("CR LF in a bulk string", "$5\r\na\r\nbc\r\n", wire("a\r\nbc")),
  one("a bulk string of CR LF alone", "$2\r\n\r\n\r\n", wire("\r\n")),
  one("every byte in a bulk string", `$256\r\n${allBytes()}\r\n`, wire(allBytes())),
  one("a reply inside a bulk string", "$5\r\n+OK\r\n\r\n", wire("+OK\r\n")),
  one("a null bulk string", "$-1\r\n", null),
  one("a null array", "*-1\r\n", null),
  one("a null", "_\r\n", null),
  one("an empty array", "*0\r\n", []),
  one("nulls in an array", "*4\r\n$-1\r\n*-1\r\n_\r\n*0\r\n", [null, null, null, []]),
  one("arrays in arrays", "*2\r\n*1\r\n*0\r\n*2\r\n:1\r\n*1\r\n+a\r\n", [[[]], [1, ["a"]]]),
  one("errors in an array", "*3\r\n+OK\r\n-ERR x\r\n-WRONGTYPE y\r\n", ["OK", error("ERR x"), error("WRONGTYPE y")]),
  one("true", "#t\r\n", true),
  one("false", "#f\r\n", false),
  one("a double", ",3.141\r\n", 3.141),
  one("a double without fraction", ",100\r\n", 100),
  one("a double with an exponent", ",1e+20\r\n", 1e20),
  one("a double with a large E", ",-1.5E-3\r\n", -0.0015),
  one("a double with a plus", ",+0.5\r\n", 0.5),
  one("a double with 17 digits", ",0.10000000000000001\r\n", 0.1),
  one("the least double", ",4.9406564584124654e-324\r\n", 5e-324),
  one("the largest double", ",1.7976931348623157e+308\r\n", 1.7976931348623157e308),
  one("double -0", ",-0\r\n", -0),
  one("infinity", ",inf\r\n", Infinity),
  one("minus infinity", ",-inf\r\n", -Infinity),
  one("infinity in full", ",-Infinity\r\n", -Infinity),
  one("nan", ",nan\r\n", NaN),
  one("minus nan", ",-nan\r\n", NaN),
  one("NaN in capitals", ",NAN\r\n", NaN),
  one("nan as some C libraries print it", ",-nan(ind)\r\n", NaN),
  one("a big number", "(1234567999999999999999999999999999999\r\n", 1234567999999999999999999999999999999n),
  one("a negative big number", "(-18446744073709551616\r\n", -18446744073709551616n),
  one("a big number with a plus", "(+5\r\n", 5n),
  one("a small big number", "(0\r\n", 0n),
  one("a bulk error", "!21\r\nSYNTAX invalid syntax\r\n", error("SYNTAX invalid syntax")),
  one("CR LF in a bulk error", "!6\r\nE a\r\nb\r\n", error("E a\r\nb")),
  one("an empty bulk error", "!0\r\n\r\n", error("")),
  one(
    "a verbatim string",
    "=29\r\ntxt:This is a verbatim\nstring\r\n",
    new RespVerbatim("txt", "This is a verbatim\nstring"),
  ),
  one("an empty verbatim string", "=4\r\ntxt:\r\n", new RespVerbatim("txt", "")),
  one("a verbatim string of nothing", "=0\r\n\r\n", new RespVerbatim("", "")),
  one("a verbatim string too short for a prefix", "=3\r\ntxt\r\n", new RespVerbatim("", "txt")),
  one("a verbatim string without a colon", "=5\r\nhello\r\n", new RespVerbatim("", "hello")),
  one("a verbatim string of colons", "=5\r\n:::::\r\n", new RespVerbatim(":::", ":")),
  one(
    "a verbatim colon after three characters, not bytes",
    "=7\r\n\xc3\xa9\xc3\xa9a:b\r\n",
    new RespVerbatim("", "ééa:b"),
  ),
  one("a map", "%3\r\n:0\r\n#f\r\n:1\r\n#t\r\n:2\r\n#f\r\n", map([0, false], [1, true], [2, false])),
  one("an empty map", "%0\r\n", map()),
  one("a map whose keys repeat", "%2\r\n+s\r\n:1\r\n+s\r\n:2\r\n", map(["s", 1], ["s", 2])),
  one("a map with aggregates as keys", "%2\r\n*1\r\n:1\r\n%0\r\n_\r\n,1\r\n", map([[1], map()], [null, 1])),
  one("a set", "~3\r\n:0\r\n:1\r\n:1\r\n", new RespSet([0, 1, 1])),
  one("an empty set", "~0\r\n", new RespSet([])),
  one("a streamed string", "$?\r\n;4\r\nHell\r\n;5\r\no wor\r\n;1\r\nd\r\n;0\r\n", wire("Hello word")),
  one("a streamed string of no chunks", "$?\r\n;0\r\n", wire("")),
  one("a streamed array", "*?\r\n:1\r\n:2\r\n.\r\n", [1, 2]),
  one("an empty streamed array", "*?\r\n.\r\n", []),
  one("a streamed set", "~?\r\n+a\r\n.\r\n", new RespSet(["a"])),
  one("a streamed map", "%?\r\n+a\r\n:1\r\n+b\r\n*?\r\n.\r\n.\r\n", map(["a", 1], ["b", []])),
  one("an empty streamed map", "%?\r\n.\r\n", map()),
  one("streams in streams", "*?\r\n*?\r\n$?\r\n;1\r\nx\r\n;0\r\n.\r\n%?\r\n.\r\n.\r\n", [[wire("x")], map()]),
  one(
    "attributes inside are dropped",
    "*3\r\n:1\r\n|1\r\n+ttl\r\n:3600\r\n:2\r\n|1\r\n+a\r\n|1\r\n+b\r\n_\r\n*0\r\n:3\r\n",
    [1, 2, 3],
  ),
  one("an attribute of no pairs inside", "*2\r\n|0\r\n:1\r\n|0\r\n|0\r\n:2\r\n", [1, 2]),
  one("attributes in streams", "*?\r\n|1\r\n+a\r\n+b\r\n:1\r\n.\r\n", [1]),
  one("attributes before a key and a value", "%1\r\n|1\r\n:1\r\n:2\r\n+k\r\n|1\r\n:3\r\n:4\r\n+v\r\n", map(["k", "v"])),
  {
    name: "an attribute in front is given",
    wire: `|1\r\n$14\r\nkey-popularity\r\n*2\r\n$7\r\nkey:123\r\n:90\r\n$39\r\n${text}\r\n`,
    replies: [{ kind: "reply", value: wire(text), attributes: popularity }],
  },
  {
    name: "several attributes in front are given as one",
    wire: "|1\r\n+a\r\n:1\r\n|0\r\n|2\r\n+a\r\n:2\r\n+b\r\n|1\r\n+x\r\n+y\r\n*1\r\n_\r\n*1\r\n#t\r\n",
    replies: [{ kind: "reply", value: [true], attributes: map(["a", 1], ["a", 2], ["b", [null]]) }],
  },
  {
    name: "an attribute of no pairs in front",
    wire: "|0\r\n+OK\r\n",
    replies: [{ kind: "reply", value: "OK", attributes: map() }],
  },
  {
    name: "a push",
    wire: ">2\r\n$16\r\nserver-cpu-usage\r\n:42\r\n",
    replies: [{ kind: "push", value: [wire("server-cpu-usage"), 42] }],
  },
  {
    name: "an attribute before a push",
    wire: "|1\r\n+a\r\n+b\r\n>1\r\n+invalidate\r\n",
    replies: [{ kind: "push", value: ["invalidate"], attributes: map(["a", "b"]) }],
  },
  {
    name: "pushes between replies",
    wire: "+1\r\n>2\r\n+invalidate\r\n_\r\n>1\r\n+x\r\n$1\r\n2\r\n",
    replies: [
      { kind: "reply", value: "1" },
      { kind: "push", value: ["invalidate", null] },
      { kind: "push", value: ["x"] },
      { kind: "reply", value: wire("2") },
    ],
  },
];

/** Bytes that break the protocol, and the offset of the first byte that does. */
export const VIOLATIONS: readonly Violation[] = [
  ["an unknown type", "?x\r\n", 0],
  ["an unknown type in an array", "*2\r\n:1\r\nx", 8],
  ["HTTP", "HTTP/1.1 400 Bad Request\r\n", 0],
  ["TLS", "\x15\x03\x01\x00\x02\x02\x46", 0],
  ["CR LF alone", "\r\n", 0],
  ["a chunk that belongs nowhere", ";1\r\na\r\n", 0],
  ["a chunk in an array", "*?\r\n;1\r\na\r\n", 4],
  ["an end that belongs nowhere", ".\r\n", 0],
  ["an end in a counted array", "*1\r\n.\r\n", 4],
  ["an end after an attribute", "*?\r\n|1\r\n+a\r\n+b\r\n.\r\n", 16],
  ["an end inside an attribute", "|1\r\n.\r\n", 4],
  ["an end that is a line", "*?\r\n.x", 5],
  ["an end of half a pair", "%?\r\n+a\r\n.\r\n", 8],
  ["an end in a streamed string", "$?\r\n.\r\n", 4],
  ["no chunk in a streamed string", "$?\r\n$1\r\na\r\n", 4],
  ["an attribute in a streamed string", "$?\r\n|1\r\n", 4],
  ["a push inside an array", "*1\r\n>1\r\n+a\r\n", 4],
  ["a push of nothing", ">0\r\n", 1],
  ["a negative length", "$-2\r\n", 2],
  ["a negative count", "*-5\r\n", 2],
  ["a null with more digits", "$-10\r\n", 3],
  ["a null map", "%-1\r\n", 1],
  ["a null set", "~-1\r\n", 1],
  ["a null push", ">-1\r\n", 1],
  ["a null attribute", "|-1\r\n", 1],
  ["a null bulk error", "!-1\r\n", 1],
  ["a null verbatim string", "=-1\r\n", 1],
  ["a null chunk", "$?\r\n;-1\r\n", 5],
  ["a streamed push", ">?\r\n", 1],
  ["a streamed attribute", "|?\r\n", 1],
  ["a streamed bulk error", "!?\r\n", 1],
  ["a streamed verbatim string", "=?\r\n", 1],
  ["a plus before a length", "$+1\r\na\r\n", 1],
  ["a letter in a length", "$5abc\r\n", 2],
  ["a letter in a count", "*1a\r\n", 2],
  ["a byte after ?", "*?1\r\n", 2],
  ["a space before a length", "$ 1\r\na\r\n", 1],
  ["no length", "$\r\n", 1],
  ["no count", "*\r\n", 1],
  ["no integer", ":\r\n", 1],
  ["a sign without digits", ":-\r\n", 2],
  ["two signs", ":+-1\r\n", 2],
  ["an integer with a fraction", ":1.5\r\n", 2],
  ["an integer with a letter", ":1a\r\n", 2],
  ["an integer too large", ":9223372036854775808\r\n", 1],
  ["an integer too small", ":-9223372036854775809\r\n", 2],
  ["an integer of 20 digits", ":00000000000000000001\r\n", 20],
  ["a body longer than its length", "$3\r\nabcd\r\n", 7],
  ["a body shorter than its length", "$3\r\nab\r\n\r\n", 7],
  ["a body that ends in LF", "$1\r\na\nx", 5],
  ["a body that ends in CR and another", "$1\r\na\rx", 6],
  ["a bulk error longer than its length", "!1\r\nab\r\n", 5],
  ["a chunk longer than its length", "$?\r\n;1\r\nab\r\n", 9],
  ["LF alone in a string", "+a\nb\r\n", 2],
  ["CR alone in a string", "-a\rb\r\n", 3],
  ["LF alone after a length", "$1\na\r\n", 2],
  ["CR alone after a length", "$1\ra\r\n", 3],
  ["LF alone after an integer", ":1\n", 2],
  ["CR alone after an integer", ":1\rx", 3],
  ["a null with text", "_x\r\n", 1],
  ["another letter for a boolean", "#x\r\n", 1],
  ["a boolean in full", "#true\r\n", 2],
  ["no boolean", "#\r\n", 1],
  ["no double", ",\r\n", 1],
  ["a double without digits", ",-\r\n", 1],
  ["a double of words", ",information\r\n", 1],
  ["a double without exponent", ",1e\r\n", 1],
  ["a double in hexadecimal", ",0x10\r\n", 1],
  ["a double with a comma", ",1,5\r\n", 1],
  ["a double with a space", ",1 \r\n", 1],
  ["no digits before the point", ",.5\r\n", 1],
  ["no digits after the point", ",1.\r\n", 1],
  ["nan without end", ",nan(\r\n", 1],
  ["no big number", "(\r\n", 1],
  ["a big sign", "(-\r\n", 2],
  ["a big number with a letter", "(12a4\r\n", 3],
  ["a big number with a fraction", "(1.0\r\n", 2],
  ["leading zeros in a length", "$01\r\na\r\n", 1],
  ["leading zeros in a count", "*00\r\n", 1],
  ["many leading zeros in a length", "$00000000000001\r\na\r\n", 1],
  ["20 digits in a length", "$12345678901234567890\r\n", 11],
].map(([name, bytes, offset]) => ({ name: String(name), wire: String(bytes), offset: Number(offset) }));

function allBytes(): string {
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(byte)).join("");
}
