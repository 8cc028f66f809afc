// The properties of errors: fields that are not set do not exist, and internal fields are not shown.

import { assert, assertEquals, assertFalse, assertNotMatch, assertStringIncludes, assertThrows } from "@std/assert";
import { RedisError, StreamerError } from "../../../mod.ts";
import { ConnectError } from "../../../resp/connection/handshake/connect_error.ts";
import { ProtocolError, RefusedReplyError } from "../../../resp/errors.ts";
import { TransportError } from "../../../resp/transport/transport.ts";
import { FileError } from "../../../streamer/file/mod.ts";
import { checkFor, OptionError } from "../../../streamer/model/option_error.ts";
import { checkNames, invalidOption } from "../../../streamer/model/options.ts";
import { printed } from "../../support/printing.ts";
import { test } from "../../support/runner.ts";

const cause = new Error("the cause");
const absent = void 0; // Bun prints the source lines, too, in which the word must not occur

const errors: Readonly<Record<string, readonly [error: Error, fields: readonly string[]]>> = {
  "a StreamerError": [new StreamerError("TIMEOUT", "x"), ["name", "code"]],
  "a StreamerError with absent options": [
    new StreamerError("TIMEOUT", "x", { cause: absent, outcome: absent, count: absent }),
    ["name", "code"],
  ],
  "a failed send": [
    new StreamerError("TIMEOUT", "x", { cause, outcome: "unknown" }),
    ["name", "code", "outcome", "cause"],
  ],
  "failed sends": [
    new StreamerError("SEND_FAILED", "x", { cause, count: 3 }),
    ["name", "code", "count", "cause"],
  ],
  "a RedisError": [new RedisError("OOM full", { command: "XADD" }), ["name", "code", "command"]],
  "a ProtocolError": [new ProtocolError("x", false), ["name", "code"]],
  "a RefusedReplyError": [new RefusedReplyError("x"), ["name", "code"]],
  "a ConnectError": [new ConnectError("CONNECT", "x", { final: false }), ["name", "code"]],
  "an OptionError": [new OptionError("x"), ["name", "code"]],
  "a TransportError": [new TransportError("connect", "x"), ["name", "kind"]],
  "a FileError without an offset": [
    new FileError("system", "x", { path: "a.ss", code: "CONNECT" }),
    ["name", "code", "kind", "path"],
  ],
  "a FileError with an offset": [
    new FileError("torn", "x", { path: "a.ss", code: "PROTOCOL", offset: 0 }),
    ["name", "code", "kind", "path", "offset"],
  ],
  "a FileError of a limit": [
    new FileError("limit", "x", { path: "a.ss", code: "BUFFER_FULL" }),
    ["name", "code", "outcome", "kind", "path"],
  ],
};

const OF_EVERY_ERROR = ["stack", "message", "line", "column", "sourceURL", "originalLine", "originalColumn"];

for (const [name, [error, fields]] of Object.entries(errors)) {
  test(`${name} has only the fields that are set`, () => {
    const own = Reflect.ownKeys(error).map(String).filter((key) => !OF_EVERY_ERROR.includes(key));
    assertEquals(own.sort(), [...fields].sort());
    const text = printed(error);
    assertNotMatch(text, /undefined/);
    assertStringIncludes(text, `${error.name}: ${error.message}`, "no internal class is named");
    assertEquals("outcome" in error, fields.includes("outcome"));
  });
}

test("a logged error names its cause with the text of the cause", () => {
  assertStringIncludes(printed(new StreamerError("CONNECT", "x", { cause })), "the cause");
});

test("an invalid option is reported with the action, the option, the rule and the value", () => {
  const error = invalidOption("batchSize", 0, "a whole number of at least 1");
  assertEquals(error.message, "Cannot use this value: 'batchSize' must be a whole number of at least 1, got 0");
  const named = assertThrows(() =>
    checkFor("create the consumer", () => {
      throw error;
    }), StreamerError);
  assertEquals(named.message, "Cannot create the consumer: 'batchSize' must be a whole number of at least 1, got 0");
  assertEquals([named.code, named.name], ["INVALID_OPTION", "StreamerError"]);
  assert(
    assertThrows(() =>
      checkFor("connect", () => {
        throw cause;
      })
    ) === cause,
    "other errors pass",
  );
  const unknown = assertThrows(() => checkNames("connect options", { waitt: "secret" }, ["db", "wait"]), StreamerError);
  assertEquals(unknown.message, `Cannot use these options: unknown option "waitt". The connect options are db, wait`);
});

const circular: Record<string, unknown> = {};
circular.self = circular;

const values: Readonly<Record<string, readonly [value: unknown, shown: string]>> = {
  "a text": ["a\x1b[31m", String.raw`"a\u001b[31m"`],
  "a long text": ["x".repeat(1_000), `"${"x".repeat(98)}…`],
  "an object": [{ password: "Canary" }, "an object"],
  "a circular object": [circular, "an object"],
  "an object without a prototype": [Object.create(null), "an object"],
  "an array": [["Canary", "b"], "an array of 2"],
  "an empty array": [[], "[]"],
  "bytes": [new Uint8Array(10_000_000), "a Uint8Array of 10000000 bytes"],
  "a function": [() => "Canary", "a function"],
  "an invalid date": [new Date(Number.NaN), "Invalid Date"],
  "a symbol": [Symbol("a"), "Symbol(a)"],
  "nothing": [undefined, "undefined"],
};

for (const [name, [value, shown]] of Object.entries(values)) {
  test(`an invalid value is shown short and without its contents: ${name}`, () => {
    const { message } = invalidOption("a", value, "b");
    assertEquals(message, `Cannot use this value: 'a' must be b, got ${shown}`);
    assertFalse(message.includes("Canary"));
  });
}
