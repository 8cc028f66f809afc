// Tests the errors: classes, codes, texts that are safe to print.

import { assert, assertEquals, assertInstanceOf, assertRejects, assertStringIncludes } from "@std/assert";
import { connect, RedisError, StreamerError } from "../../../mod.ts";
import { test } from "../../support/runner.ts";
import { FakeRedis } from "../../support/producer/fake_redis.ts";

/** The rejection of a send if the server replies with this error. */
async function refusal(text: string): Promise<RedisError> {
  await using redis = await FakeRedis.start({ judge: () => `-${text}\r\n` });
  await using streamer = await connect(redis.url);
  const producer = await streamer.createProducer("k");
  return await assertRejects(() => Promise.resolve(producer.send("x")), RedisError);
}

test("an error of the library is a StreamerError, one of the server a RedisError, both are Errors with a stack", async () => {
  const own = await assertRejects(() => connect("nonsense"), StreamerError);
  assertEquals([own.name, own.code, own instanceof RedisError], ["StreamerError", "INVALID_URL", false]);
  const server = await refusal("WRONGTYPE Operation against a key");
  assertInstanceOf(server, StreamerError);
  assertInstanceOf(server, Error);
  assertEquals([server.name, server.code, server.command], ["RedisError", "WRONGTYPE", "XADD"]);
  for (const error of [own, server]) {
    assertStringIncludes(error.stack ?? "", error.message);
    assertStringIncludes(String(error), error.name);
    assert("code" in { ...error }, "the code shows when an error is printed or spread");
  }
});

test("the code is the server's first word, and ERR without one", async () => {
  const cases: Readonly<Record<string, string>> = {
    "OOM command not allowed": "OOM",
    "MY-CODE_7 x": "MY-CODE_7",
    "NOSPACE": "NOSPACE",
    "ERR x": "ERR",
    "lower case": "ERR",
    "": "ERR",
    " leading": "ERR",
    "Mixed case": "ERR",
    "7UP x": "ERR",
    [`${"A".repeat(65)} x`]: "ERR",
    "ÄÖ x": "ERR",
  };
  for (const [text, code] of Object.entries(cases)) assertEquals((await refusal(text)).code, code, text);
});

test("control characters and marks of direction in a server's text are escaped, other characters stay", async () => {
  const error = await refusal("ERR a\x1b[31mred\x07\x00\x7f\u0085\u202eevil\u2028line € 😀");
  // deno-lint-ignore no-control-regex -- control characters are what is looked for
  assertEquals(/[\x00-\x1f\x7f-\x9f\u2028-\u202e]/.test(error.message), false);
  assertStringIncludes(error.message, "€ 😀");
  assertStringIncludes(error.message, "[31mred");
});

test("a long text is cut", async () => {
  for (const text of ["x".repeat(20_000), "\x01".repeat(20_000), "😀".repeat(5_000)]) {
    const { message } = await refusal(`ERR ${text}`);
    assert(message.length <= 4 * 512, `${message.length}`);
    assert(message.isWellFormed?.() ?? true, "no character is cut in half");
  }
});

test("an error reply of any form is an error, not a reply", async () => {
  await using redis = await FakeRedis.start({
    judge: (xadd, fake) => xadd.payload === "bulk" ? "!21\r\nSYNTAX invalid syntax\r\n" : fake.store(xadd),
  });
  await using streamer = await connect(redis.url);
  const producer = await streamer.createProducer("k");
  const error = await assertRejects(() => Promise.resolve(producer.send("bulk")), RedisError);
  assertEquals([error.code, error.message], ["SYNTAX", "SYNTAX invalid syntax"]);
  await producer.send("after");
});
