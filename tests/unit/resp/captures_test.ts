// Tests the replies of real servers: every byte is decoded, in any pieces, as by a plain decoder.

import { assert, assertEquals, assertGreater, assertInstanceOf } from "@std/assert";
import { DEFAULT_LIMITS, RespErrorReply, RespMap, type RespValue, RespVerbatim } from "../../../resp/mod.ts";
import { textOf } from "../../../resp/value.ts";
import { test } from "../../support/runner.ts";
import { type Capture, readCaptures } from "../../support/resp/captures.ts";
import { bytewise, concat, decode, freshSeed, Random, shreds } from "../../support/resp/drive.ts";
import { reference } from "../../support/resp/reference.ts";

const seed = freshSeed();
const captures = readCaptures();
const servers = [...new Set(captures.map((capture) => capture.server))];

/** The value that a server returned for this command, the first of several. */
function answer(command: string, fits: (value: RespValue) => boolean = () => true): RespValue {
  const values = captures.filter((capture) => capture.command === command).map(({ bytes }) =>
    decode([bytes]).replies[0].value
  );
  const value = values.find(fits);
  assert(value !== undefined, `no answer to ${command} fits`);
  return value;
}

for (const server of servers) {
  const own = captures.filter((capture) => capture.server === server);
  test(`decodes the ${own.length} replies of ${server}, in any pieces (seed ${seed})`, () => {
    const random = new Random(seed);
    for (const { command, bytes } of own) {
      const whole = decode([bytes]);
      assertEquals([whole.failure, whole.left], [undefined, 0], command);
      assertGreater(whole.replies.length, 0, command);
      assertEquals(decode(bytewise(bytes)), whole, command);
      for (let i = 0; i < 5; i++) assertEquals(decode(shreds(bytes, random)), whole, command);
      const { replies } = reference(bytes, DEFAULT_LIMITS);
      assertEquals(whole.replies, replies, command);
    }
  });
}

test(`decodes all replies as one stream (seed ${seed})`, () => {
  const random = new Random(seed);
  const bytes = concat(captures.map((capture) => capture.bytes));
  const each = captures.flatMap((capture: Capture) => decode([capture.bytes]).replies);
  for (const longest of [1, 1448, 70_000]) {
    assertEquals(decode(shreds(bytes, random, longest)), { replies: each, left: 0 });
  }
});

test("has transcripts of every type that servers send", () => {
  assertEquals(servers.length, 4);
  assertGreater(captures.length, 400);
  const first = new Set(captures.map(({ bytes }) => String.fromCharCode(bytes[0])));
  assertEquals([...first].sort().join(""), [..."+-:$*_#,(=%~|>"].sort().join(""));
});

test("reads the handshake of RESP3 as a map and of RESP2 as pairs", () => {
  const map = answer("HELLO 3", (value) => value instanceof RespMap);
  assertInstanceOf(map, RespMap);
  assertEquals([textOf(map.get("server")), map.get("proto"), textOf(map.get("mode"))], ["redis", 3, "standalone"]);
  const pairs = answer("HELLO", Array.isArray);
  assert(Array.isArray(pairs));
  assertEquals([pairs.length, textOf(pairs[0]), textOf(pairs[4]), pairs[5]], [14, "server", "proto", 2]);
});

test("keeps both pairs of a map in which a server repeats the key", () => {
  const repeated = captures.flatMap(({ bytes }) => decode([bytes]).replies).map(({ value }) => value).find((value) => {
    if (!(value instanceof RespMap)) return false;
    const keys = value.entries.map(([key]) => textOf(key));
    return new Set(keys).size < keys.length;
  });
  assertInstanceOf(repeated, RespMap);
  assertEquals(repeated.entries.length, 2);
});

test("reads an EXEC with errors inside as values", () => {
  const value = answer("EXEC", (value) => Array.isArray(value) && value.length === 3);
  assert(Array.isArray(value));
  assertEquals(value[0], "OK");
  assertEquals(value.slice(1).map((error) => error instanceof RespErrorReply && error.code), ["ERR", "WRONGTYPE"]);
});

test("reads doubles in the form of each version", () => {
  const is = (value: number) => answer("EVAL redis.setresp(3) return {double=0.1} 0", (given) => given === value);
  assertEquals(is(0.1), 0.1);
  assertEquals(answer("EVAL redis.setresp(3) return {double=0/0} 0"), NaN);
  assertEquals(answer("EVAL redis.setresp(3) return {double=-0.0} 0"), -0);
  assertEquals(answer("EVAL redis.setresp(3) return {double=5e-324} 0"), 5e-324);
});

test("keeps every digit of the largest counter a server sends", () => {
  const bytes = captures.filter(({ bytes }) => String.fromCharCode(...bytes).includes(":9223372036854775807\r\n"));
  assertGreater(bytes.length, 0);
  for (const capture of bytes) {
    const found = JSON.stringify(
      decode([capture.bytes]).replies,
      (_, value) => typeof value === "bigint" ? `${value}n` : value,
    );
    assert(found.includes("9223372036854775807n"), capture.command);
  }
});

test("recognizes a push by its type alone", () => {
  const kinds = captures.flatMap(({ bytes }) => decode([bytes]).replies).filter(({ kind }) => kind === "push");
  const names = kinds.map(({ value }) => Array.isArray(value) ? textOf(value[0]) : undefined);
  assert(kinds.length >= 6, `${kinds.length} pushes`);
  assertEquals([...new Set(names)].sort(), ["invalidate", "message", "server-cpu-usage", "subscribe", "unsubscribe"]);
});

test("returns the attributes that DEBUG PROTOCOL sends before its reply", () => {
  const capture = captures.find(({ bytes }) => bytes[0] === 0x7c);
  assert(capture !== undefined);
  const [reply] = decode([capture.bytes]).replies;
  assertEquals(textOf(reply.value), "Some real reply following the attribute");
  assertEquals(reply.attributes?.entries.length, 1);
});

test("reads CLIENT INFO as text in either protocol", () => {
  const texts = captures.filter(({ command }) => command === "CLIENT INFO").map(({ bytes }) =>
    decode([bytes]).replies[0].value
  );
  assert(texts.some((value) => value instanceof RespVerbatim));
  assert(texts.some((value) => value instanceof Uint8Array));
  for (const text of texts) assert(textOf(text)?.startsWith("id="));
});
