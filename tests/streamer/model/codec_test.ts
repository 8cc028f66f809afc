// Owns codecs of JSON: what they make of values and payloads, with and without a schema. Must not need a server.

import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { StreamerError } from "../../../resp/errors.ts";
import { checkCodec, jsonCodec, type StandardResult, type StandardSchema } from "../../../streamer/model/codec.ts";
import {
  fieldBytes,
  type Message,
  messageAt,
  type MessageSource,
  TypedMessage,
} from "../../../streamer/model/message.ts";
import { array, entry, standing } from "../commands/frames.ts";
import { test } from "../../support/runner.ts";

const utf8 = new TextEncoder();

function schemaOf<T>(validate: (value: unknown) => StandardResult<T> | Promise<StandardResult<T>>): StandardSchema<T> {
  return { "~standard": { version: 1, vendor: "test", validate } };
}

/** A schema that makes a number of what is a number, or a text of one. */
const numeric = schemaOf<number>((value) =>
  Number.isFinite(Number(value)) ? { value: Number(value) } : { issues: [{ message: "no number" }] }
);

function refusal(work: () => unknown): StreamerError {
  const error = assertThrows(work, StreamerError);
  assertEquals(error.code, "INVALID_OPTION");
  return error;
}

test("values go through JSON as they are", () => {
  const codec = jsonCodec<unknown>();
  const values = [null, true, 0, -1.5, "", "ä😀\ud800", [], [[1], {}], { a: { b: ["c"] } }];
  for (const value of values) assertEquals(codec.decode(utf8.encode(String(codec.encode(value)))), value);
});

test("what JSON has no text for is refused", () => {
  const codec = jsonCodec<unknown>();
  for (const value of [undefined, () => 1, Symbol("s")]) refusal(() => codec.encode(value));
  assertThrows(() => codec.encode(1n), TypeError);
  const cycle: unknown[] = [];
  cycle.push(cycle);
  assertThrows(() => codec.encode(cycle), TypeError);
});

test("what is no JSON is told by a SyntaxError, what is no UTF-8 by a TypeError", () => {
  const codec = jsonCodec();
  for (const text of ["", "{", "nope", "1 2"]) assertThrows(() => codec.decode(utf8.encode(text)), SyntaxError);
  assertThrows(() => codec.decode(utf8.encode("\ufeff1")), SyntaxError); // JSON has no byte order mark
  assertThrows(() => codec.decode(new Uint8Array([0x22, 0xff, 0x22])), TypeError);
});

test("a schema decides about what is read, and may change it; what is sent is not checked", () => {
  const codec = jsonCodec(numeric);
  const value: number = codec.decode(utf8.encode('"42"'));
  assertEquals(value, 42);
  assertEquals(codec.encode(NaN), "null");
  const error = refusal(() => codec.decode(utf8.encode('"x"')));
  assertStringIncludes(error.message, "no number");
  assertEquals(error.cause, [{ message: "no number" }]);
});

test("what a schema finds wrong is said with its place, and at most three times", () => {
  const issues = [
    { message: "one", path: ["a", 0, { key: "b" }] },
    { message: "two", path: [] },
    { message: "three", path: [Symbol("s")] },
    { message: "four" },
    { message: "five" },
  ];
  const error = refusal(() => jsonCodec(schemaOf(() => ({ issues }))).decode(utf8.encode("1")));
  assert(error.message.endsWith("one at a.0.b, two, three at Symbol(s) and 2 more"), error.message);
});

test("a schema may be a function; one that answers later is refused", async () => {
  const callable = Object.assign(() => {}, schemaOf(() => ({ value: "yes" })));
  assertEquals(jsonCodec(callable).decode(utf8.encode("1")), "yes");
  refusal(() => jsonCodec(schemaOf(() => Promise.resolve({ value: 1 }))).decode(utf8.encode("1")));
  refusal(() => jsonCodec(schemaOf(() => Promise.reject(new Error("late")))).decode(utf8.encode("1")));
  await Promise.resolve(); // an unhandled rejection would end the run
});

test("what is no schema or no codec is refused by name", () => {
  for (
    const schema of [null, {}, { "~standard": { version: 2, validate: () => {} } }, { "~standard": { version: 1 } }]
  ) {
    assertStringIncludes(refusal(() => jsonCodec(schema as unknown as StandardSchema)).message, "schema");
  }
  const codec = jsonCodec();
  assertEquals(checkCodec(codec), codec);
  assertEquals(checkCodec(undefined), undefined);
  for (const one of [null, {}, { encode: codec.encode }, "json"]) {
    assertStringIncludes(refusal(() => checkCodec(one as unknown as typeof codec)).message, "codec");
  }
});

function messageWith(decode: MessageSource["decode"], payload: string): Message {
  const frame = standing(array(entry("5-1", "msg", payload))).detach();
  return messageAt(
    { frame, streamKey: "s", shardId: 0, timestampFormat: "milliseconds", field: fieldBytes("msg"), decode },
    2,
    1,
  );
}

test("a message has a value where there is a codec, decoded once, and its copy has it too", () => {
  let calls = 0;
  const codec = jsonCodec<{ n: number }>();
  const message = messageWith((payload) => (calls++, codec.decode(payload)), '{"n":1}');
  assert(message instanceof TypedMessage);
  assertEquals(calls, 0, "nobody has read it");
  assert(message.value === message.value, "one and the same");
  assertEquals([message.value, calls, message.id], [{ n: 1 }, 1, "5-1"]);
  const copy = message.copy();
  assertEquals([copy.value, copy.id, copy.text()], [{ n: 1 }, "5-1", '{"n":1}']);
  assert(!("value" in messageWith(undefined, "1")));
});

test("a value that does not decode throws at every reading, and the payload stays readable", () => {
  const message = messageWith(jsonCodec().decode, "{");
  assert(message instanceof TypedMessage);
  for (let i = 0; i < 2; i++) assertThrows(() => message.value, SyntaxError);
  assertEquals(message.text(), "{");
  assertEquals(messageWith(() => undefined, "").text(), "");
});

test("a codec may decode to undefined, once", () => {
  let calls = 0;
  const message = messageWith(() => void calls++, "x");
  assert(message instanceof TypedMessage);
  assertEquals([message.value, message.value, calls], [undefined, undefined, 1]);
});
