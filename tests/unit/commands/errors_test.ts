// Tests the server's error text on its way to the user.

import { assert, assertEquals, assertFalse } from "@std/assert";
import { type Command, readError } from "../../../resp/connection/command.ts";
import { SMALL_REPLY } from "../../../resp/reply_limits.ts";
import { RedisError, StreamerError } from "../../../resp/errors.ts";
import { test } from "../../support/runner.ts";
import { bulkError, standing } from "./frames.ts";

function command(...args: string[]): Command<void> {
  return { args, repeatable: true, limits: SMALL_REPLY, read: () => {} };
}

function answered(text: string, asked: Command<void> = command("XREAD")): RedisError {
  return readError(standing(text), asked);
}

test("the code is the server's first word, and the text stays verbatim", () => {
  const texts: [string, string][] = [
    ["WRONGTYPE Operation against a key holding the wrong kind of value", "WRONGTYPE"],
    ["UNBLOCKED client unblocked via CLIENT UNBLOCK", "UNBLOCKED"],
    ["MOVED 3999 127.0.0.1:6381", "MOVED"],
    ["ERR syntax error", "ERR"],
    ["LOADING", "LOADING"],
    ["MY_CODE-2 x", "MY_CODE-2"],
  ];
  for (const [text, code] of texts) {
    const error = answered(`-${text}\r\n`);
    assertEquals([error.code, error.message], [code, text]);
  }
});

test("a text without a code has the code ERR", () => {
  for (const text of ["something went wrong", "Wrong thing", "", " LEADING", "1 x", `${"A".repeat(65)} x`]) {
    assertEquals(answered(`-${text}\r\n`).code, "ERR", text);
  }
});

test("a bulk error of RESP3 is an error like a simple one", () => {
  const error = answered(bulkError("SYNTAX invalid\r\nsyntax"));
  assertEquals([error.code, error.message], ["SYNTAX", "SYNTAX invalid\\x0d\\x0asyntax"]);
});

test("both classes can be distinguished, and name the command without its arguments", () => {
  const error = answered("-NOPERM no\r\n", command("XREAD", "COUNT", "1", "STREAMS", "secret-key", "0-0"));
  assert(error instanceof RedisError && error instanceof StreamerError && error instanceof Error);
  assertEquals([error.name, error.command], ["RedisError", "XREAD"]);
  assertEquals(answered("-ERR x\r\n", command("XINFO", "STREAM", "k")).command, "XINFO STREAM");
});

test("control characters are escaped and long texts cut at 512 characters", () => {
  const escapes = answered(bulkError("ERR \u0000\u001b[31m\u0007 \u007f\u00c2\u009b\u00e2\u0080\u00ae x"));
  // deno-lint-ignore no-control-regex -- control characters are what is looked for
  assertFalse(/[\u0000-\u001f\u007f-\u009f\u202e]/.test(escapes.message), JSON.stringify(escapes.message));
  const long = answered(bulkError(`ERR ${"x".repeat(100_000)}`));
  assert(long.message.length <= 512, String(long.message.length));
});

test("the text of a secret command is withheld if it may repeat the secret", () => {
  const secret: Command<void> = { ...command("HELLO", "3", "AUTH", "user", "canary-password"), secret: true };
  const texts = [
    "ERR unknown command 'HELLO', with args beginning with: '3' 'AUTH' 'user' 'canary-password'",
    "WRONGPASS canary-password is not it",
    "NOPERM canary-password",
  ];
  for (const text of texts) {
    const error = answered(`-${text}\r\n`, secret);
    assertFalse(`${error.message}${error.stack}${JSON.stringify(error)}`.includes("canary"), text);
  }
});
