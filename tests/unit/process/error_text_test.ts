// Tests the text of an error for the `x-dead-letter-error` header. Without a server.

import { assert, assertEquals } from "@std/assert";
import { errorText } from "../../../streamer/process/error_text.ts";
import { test } from "../../support/runner.ts";

test("the text of an error is its message, else its name, and that of another value its string", () => {
  assertEquals(errorText(new TypeError("no such card")), "no such card");
  assertEquals(errorText(new RangeError()), "RangeError");
  for (const value of ["text", 7, undefined, null, true]) assertEquals(errorText(value), String(value));
  assertEquals(errorText({ toString: () => "own" }), "own");
});

test("control characters are escaped", () => {
  assertEquals(errorText(new Error("a\nb\u001b[31m\u202ec")), "a\\x0ab\\x1b[31m\\u202ec");
});

test("a text is cut at 512 characters, after escapes, and stays well formed", () => {
  assertEquals(errorText(new Error("x".repeat(512))), "x".repeat(512));
  assertEquals(errorText(new Error("x".repeat(513))), `${"x".repeat(511)}…`);
  for (const long of ["\n".repeat(200), "\n".repeat(1e6), "😀".repeat(300), `x${"😀".repeat(300)}`]) {
    const text = errorText(new Error(long));
    assertEquals(text.length, 512);
    assert(text.isWellFormed() && text.endsWith("…"), text.slice(-5));
  }
  assert(errorText("\ud800").isWellFormed());
});

test("a value without a text has one all the same", () => {
  const hostile = new Error("x");
  Object.defineProperty(hostile, "message", {
    get: () => {
      throw new Error("never");
    },
  });
  for (const value of [Object.create(null), { toString: () => ({}) }, hostile]) {
    assertEquals(errorText(value), "object without a text");
  }
  assertEquals(errorText(Symbol("s")), "Symbol(s)");
  const odd = new Error("x");
  Object.defineProperty(odd, "message", { value: { not: "text" } });
  assertEquals(errorText(odd), "[object Object]");
});
