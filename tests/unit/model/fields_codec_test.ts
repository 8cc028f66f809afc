// Tests the codec of an entry's fields.

import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { StreamerError } from "../../../resp/errors.ts";
import { fieldsCodec } from "../../../streamer/model/codecs/fields_codec.ts";
import { messageAt, TypedMessage } from "../../../streamer/model/message.ts";
import { fieldBytes } from "../../../streamer/model/message_headers.ts";
import { test } from "../../support/runner.ts";
import { array, entry, standing } from "../commands/frames.ts";

const codec = fieldsCodec<unknown>();

function decoded(field: string, ...words: string[]): unknown {
  const frame = standing(array(entry("5-1", ...words))).detach();
  const source = {
    frame,
    streamKey: "s",
    shardId: 0,
    timestampFormat: "milliseconds",
    field: fieldBytes(field),
  } as const;
  const message = messageAt({ ...source, decode: codec.decode }, 2, 1);
  return message instanceof TypedMessage ? message.value : undefined;
}

test("properties become fields, in their order and without a payload", () => {
  const bytes = new Uint8Array([0, 255]);
  const value = {
    text: "ä",
    empty: "",
    bytes,
    one: 1.5,
    big: 2n ** 70n,
    yes: true,
    no: false,
    zero: -0,
    none: undefined,
  };
  assertEquals(codec.encode(value), {
    headers: [
      ["text", "ä"],
      ["empty", ""],
      ["bytes", bytes],
      ["one", "1.5"],
      ["big", "1180591620717411303424"],
      ["yes", "true"],
      ["no", "false"],
      ["zero", "0"],
    ],
  });
});

test("only own enumerable properties count, whatever the prototype", () => {
  class Order {
    id = 7;
    get total(): number {
      return 1;
    }
  }
  assertEquals(codec.encode(new Order()), { headers: [["id", "7"]] });
  assertEquals(codec.encode(Object.assign(Object.create(null), { a: "1" })), { headers: [["a", "1"]] });
  assertEquals(codec.encode(JSON.parse('{"__proto__":"x"}')), { headers: [["__proto__", "x"]] });
});

test("values without fields, and properties that are no fields, are refused by name", () => {
  const values: [string, unknown][] = [
    ["payload", undefined],
    ["payload", null],
    ["payload", "text"],
    ["payload", 7],
    ["payload", () => 1],
    ["payload", []],
    ["payload", ["a"]],
    ["payload", new Uint8Array([1])],
    ["payload", {}],
    ["payload", { a: undefined }],
    ["payload", new Map([["a", "1"]])],
    ["payload", new Date()],
    ["payload.a", { a: null }],
    ["payload.a", { a: {} }],
    ["payload.a", { a: ["x"] }],
    ["payload.a", { a: new Date() }],
    ["payload.a", { a: Symbol("s") }],
    ["payload.a", { a: () => 1 }],
    ["payload.a", { a: new Uint16Array(1) }],
    ["payload.b", { a: "1", b: null }],
  ];
  for (const [name, value] of values) {
    const error = assertThrows(() => codec.encode(value), StreamerError);
    assertEquals(error.code, "INVALID_OPTION");
    assertStringIncludes(error.message, name);
  }
});

test("all fields are decoded to strings, the payload field among them", () => {
  assertEquals(decoded("msg", "user", "7", "msg", "hello", "", "x"), { msg: "hello", user: "7", "": "x" });
  assertEquals(decoded("msg", "user", "7"), { user: "7" });
  assertEquals(decoded("user", "user", "7", "msg", ""), { user: "7", msg: "" });
});

test("the first of repeated fields counts, of the payload field too", () => {
  assertEquals(decoded("msg", "a", "1", "msg", "x", "a", "2", "msg", "y"), { a: "1", msg: "x" });
});

test("a field may have the name of a property of every object", () => {
  const value = decoded("msg", "__proto__", "x", "constructor", "y", "toString", "z") as Record<string, string>;
  assertEquals(Object.entries(value), [["__proto__", "x"], ["constructor", "y"], ["toString", "z"]]);
  assertEquals(Object.getPrototypeOf(value), Object.prototype);
});
