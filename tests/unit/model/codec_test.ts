// Tests the codec of JSON, with and without a schema, the check of codecs, and the values of messages.

import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { StreamerError } from "../../../resp/errors.ts";
import { checkCodec } from "../../../streamer/model/codec.ts";
import { jsonCodec } from "../../../streamer/model/codecs/json_codec.ts";
import type { StandardResult, StandardSchema } from "../../../streamer/model/codecs/standard_schema.ts";
import { type Message, messageAt, type MessageSource, TypedMessage } from "../../../streamer/model/message.ts";
import { fieldBytes } from "../../../streamer/model/message_headers.ts";
import { array, entry, standing } from "../commands/frames.ts";
import { test } from "../../support/runner.ts";

const utf8 = new TextEncoder();

function schemaOf<T>(validate: (value: unknown) => StandardResult<T> | Promise<StandardResult<T>>): StandardSchema<T> {
  return { "~standard": { version: 1, vendor: "test", validate } };
}

/** A schema that converts numeric texts to numbers. */
const numeric = schemaOf<number>((value) =>
  Number.isFinite(Number(value)) ? { value: Number(value) } : { issues: [{ message: "no number" }] }
);

function refusal(work: () => unknown): StreamerError {
  const error = assertThrows(work, StreamerError);
  assertEquals(error.code, "INVALID_OPTION");
  return error;
}

test("values are converted to JSON and back", () => {
  const codec = jsonCodec<unknown>();
  const values = [null, true, 0, -1.5, "", "ä😀\ud800", [], [[1], {}], { a: { b: ["c"] } }];
  for (const value of values) assertEquals(codec.decode(utf8.encode(String(codec.encode(value)))), value);
});

test("values without a JSON representation are refused", () => {
  const codec = jsonCodec<unknown>();
  for (const value of [undefined, () => 1, Symbol("s")]) refusal(() => codec.encode(value));
  assertThrows(() => codec.encode(1n), TypeError);
  const cycle: unknown[] = [];
  cycle.push(cycle);
  assertThrows(() => codec.encode(cycle), TypeError);
});

test("invalid JSON throws a SyntaxError, and invalid UTF-8 a TypeError", () => {
  const codec = jsonCodec();
  for (const text of ["", "{", "nope", "1 2"]) assertThrows(() => codec.decode(utf8.encode(text)), SyntaxError);
  assertThrows(() => codec.decode(utf8.encode("\ufeff1")), SyntaxError); // JSON has no byte order mark
  assertThrows(() => codec.decode(new Uint8Array([0x22, 0xff, 0x22])), TypeError);
});

test("decoding returns the output of the schema, and throws for an invalid payload", () => {
  const codec = jsonCodec(numeric);
  const value: number = codec.decode(utf8.encode('"42"'));
  assertEquals(value, 42);
  const error = refusal(() => codec.decode(utf8.encode('"x"')));
  assertStringIncludes(error.message, "no number");
  assertEquals(error.cause, [{ message: "no number" }]);
});

test("encoding checks the value, and encodes the given value instead of the schema's output", () => {
  for (const options of [undefined, {}, { validate: "both" }] as const) {
    const codec = jsonCodec(numeric as StandardSchema<unknown>, options);
    assertEquals(codec.encode("42"), '"42"');
    const error = refusal(() => codec.encode("x"));
    assertStringIncludes(error.message, "no number");
    assertEquals(error.cause, [{ message: "no number" }]);
  }
});

test("with validate: decode values are not checked when they are encoded", () => {
  const codec = jsonCodec(numeric, { validate: "decode" });
  assertEquals(codec.encode(NaN), "null");
  assertEquals(codec.decode(utf8.encode('"42"')), 42);
  refusal(() => codec.decode(utf8.encode('"x"')));
});

test("wrong options of jsonCodec are refused by name", () => {
  const wrong: [string, unknown][] = [
    ["validate", { validate: "encode" }],
    ["validate", { validate: null }],
    ["valdate", { valdate: "both" }],
    ["options of jsonCodec", null],
  ];
  for (const [name, options] of wrong) {
    assertStringIncludes(refusal(() => jsonCodec(numeric, options as { validate: "both" })).message, name);
  }
  assertStringIncludes(refusal(() => jsonCodec(undefined, { validate: "both" })).message, "validate");
});

test("a codec can be called by another one, without a message", () => {
  const codec = jsonCodec<number>();
  const text: string = codec.encode(7);
  assertEquals(codec.decode(utf8.encode(text)), 7);
});

test("an entry without a payload field throws a SyntaxError that names the remedies", () => {
  const message = messageWith(jsonCodec().decode, ["5-1", "kind", "x"]);
  assert(message instanceof TypedMessage);
  const error = assertThrows(() => message.value, SyntaxError);
  assertStringIncludes(error.message, "messageField");
  assertStringIncludes(error.message, "fieldsCodec");
});

test("an error names the places of at most three issues", () => {
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

test("issues with control characters and long texts are escaped and cut", () => {
  const issues = [{ message: `\x1b[31m${"x".repeat(2_000)}` }];
  const error = refusal(() => jsonCodec(schemaOf(() => ({ issues }))).encode(1));
  assertStringIncludes(error.message, "\\x1b[31m");
  assert(error.message.length < 600);
});

test("a schema may be a function, and its validate keeps its this", () => {
  const callable = Object.assign(() => {}, schemaOf(() => ({ value: "yes" })));
  assertEquals(jsonCodec(callable).decode(utf8.encode("1")), "yes");
  const standard = {
    version: 1 as const,
    vendor: "test",
    limit: 5,
    validate(value: unknown): StandardResult<number> {
      return Number(value) < this.limit ? { value: Number(value) } : { issues: [{ message: "too large" }] };
    },
  };
  const codec = jsonCodec({ "~standard": standard });
  assertEquals(codec.encode(4), "4");
  refusal(() => codec.encode(5));
});

test("an asynchronous schema is refused in both directions", async () => {
  for (const answer of [() => Promise.resolve({ value: 1 }), () => Promise.reject(new Error("late"))]) {
    const codec = jsonCodec(schemaOf<number>(answer));
    assertStringIncludes(refusal(() => codec.decode(utf8.encode("1"))).message, "synchronous");
    assertStringIncludes(refusal(() => codec.encode(1)).message, "synchronous");
  }
  await new Promise((resolve) => setTimeout(resolve)); // an unhandled rejection would end the run
});

test("a schema that returns neither a value nor issues is refused", () => {
  for (const result of [undefined, null, 7, {}, { issues: 7 }]) {
    const codec = jsonCodec(schemaOf<number>(() => result as unknown as StandardResult<number>));
    refusal(() => codec.encode(1));
    refusal(() => codec.decode(utf8.encode("1")));
  }
  const undefinedIssues = schemaOf<number>(() => ({ value: 1, issues: undefined }));
  assertEquals(jsonCodec(undefinedIssues).decode(utf8.encode("5")), 1);
});

test("other objects than schemas and codecs are refused by name", () => {
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

function messageWith(decode: MessageSource["decode"], fields: string | readonly [string, ...string[]]): Message {
  const [id, ...words] = typeof fields === "string" ? ["5-1", "msg", fields] : fields;
  const frame = standing(array(entry(id, ...words))).detach();
  return messageAt(
    { frame, streamKey: "s", shardId: 0, timestampFormat: "milliseconds", field: fieldBytes("msg"), decode },
    2,
    1,
  );
}

test("a message of a consumer with a codec has a value, decoded once, and so has its copy", () => {
  let calls = 0;
  const codec = jsonCodec<{ n: number }>();
  const message = messageWith((payload) => (calls++, codec.decode(payload)), '{"n":1}');
  assert(message instanceof TypedMessage);
  assertEquals(calls, 0, "it was not read");
  assert(message.value === message.value, "one and the same");
  assertEquals([message.value, calls, message.id], [{ n: 1 }, 1, "5-1"]);
  const copy = message.copy();
  assertEquals([copy.value, copy.id, copy.text()], [{ n: 1 }, "5-1", '{"n":1}']);
  assert(!("value" in messageWith(undefined, "1")));
});

test("an invalid value throws at every reading, and the payload stays readable", () => {
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

test("decode gets the headers and the name of the payload field, of copies too", () => {
  const seen: unknown[] = [];
  const decode: MessageSource["decode"] = (payload, { headers, payloadField }) => {
    seen.push([payload.length, headers.size, headers.get("a"), payloadField]);
    return seen.length;
  };
  for (const fields of [["5-1", "a", "1", "msg", "xyz", "msg", "x"], ["5-2", "a", "2"]] as const) {
    for (const copied of [false, true]) {
      const message = messageWith(decode, [...fields]);
      assert(message instanceof TypedMessage);
      void (copied ? message.copy() : message).value;
    }
  }
  assertEquals(seen, [[3, 2, "1", "msg"], [3, 2, "1", "msg"], [0, 1, "2", undefined], [0, 1, "2", undefined]]);
});
