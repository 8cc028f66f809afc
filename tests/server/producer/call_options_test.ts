// Tests that every call refuses options that it does not know, and signals that are none, by the same kind of error.

import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { connect, type Producer, type RedisStreamer, StreamerError } from "../../../mod.ts";
import { uniqueKey } from "../../support/keys.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();

// deno-lint-ignore no-explicit-any -- what a program without types may pass
type Wrong = any;

interface Place {
  readonly streamer: RedisStreamer;
  readonly producer: Producer;
}

/** Calls with options, and the names of further options without which they are refused anyhow. */
const calls: Readonly<Record<string, (place: Place, options: Wrong) => PromiseLike<unknown>>> = {
  "connect": (_, options) => connect(server.url, options),
  "createProducer": ({ streamer }, options) => streamer.createProducer("x", options),
  "createConsumer": ({ streamer }, options) => streamer.createConsumer("x", { mode: "real-time", ...options }),
  "createConsumer in a group": ({ streamer }, options) =>
    streamer.createConsumer("x", { mode: "load-balanced", group: "g", ...options }),
  "send": ({ producer }, options) => producer.send("x", options),
  "sendTo": ({ producer }, options) => producer.sendTo("x", "x", options),
  "flush": ({ producer }, options) => producer.flush(options),
  "end": ({ producer }, options) => producer.clone().end(options),
  "trim": ({ producer }, options) => producer.trim({ maxLength: 1, ...options }),
  "disconnect": ({ streamer }, options) => streamer.disconnect(options),
};

for (const [name, call] of Object.entries(calls)) {
  test(`${name} refuses an unknown option, and changes nothing`, async () => {
    await using streamer = await connect(server.url);
    const producer = await streamer.createProducer(uniqueKey());
    const error = await assertRejects(async () => await call({ streamer, producer }, { bogus: 1 }), StreamerError);
    assertEquals(error.code, "INVALID_OPTION");
    assertStringIncludes(error.message, `"bogus"`);
    await producer.send("still there");
  });

  test(`${name} refuses a signal that is no AbortSignal`, async () => {
    await using streamer = await connect(server.url);
    const producer = await streamer.createProducer(uniqueKey());
    for (const signal of [5, null, {}, "stop"]) {
      const error = await assertRejects(async () => await call({ streamer, producer }, { signal }), StreamerError);
      assertEquals(error.code, "INVALID_OPTION");
    }
    await producer.send("still there");
  });
}

test("options that are no objects are refused", async () => {
  await using streamer = await connect(server.url);
  const producer = await streamer.createProducer(uniqueKey());
  const given = [null, 5, "maxLength"] as Wrong[];
  for (const options of given) {
    for (
      const call of [
        () => producer.flush(options),
        () => producer.clone().end(options),
        () => producer.trim(options),
        () => streamer.disconnect(options),
        () => connect(server.url, options),
        () => streamer.createProducer("x", options),
      ]
    ) {
      const error = await assertRejects(async () => await call(), StreamerError);
      assertEquals(error.code, "INVALID_OPTION", String(call));
    }
  }
  await assertRejects(() => producer.trim(undefined as Wrong), StreamerError, "'options of trim' must be an object");
  await producer.flush().catch(() => {});
});

test("errors of trim name the option", async () => {
  await using streamer = await connect(server.url);
  const producer = await streamer.createProducer(uniqueKey());
  const manager = await streamer.createManager();
  for (const minTimestamp of [5, new Date(NaN), -1n] as Wrong[]) {
    for (const call of [() => producer.trim({ minTimestamp }), () => manager.trim("x", { minTimestamp })]) {
      await assertRejects(call, StreamerError, "'minTimestamp' must be");
    }
  }
  await assertRejects(() => producer.trim({ maxLength: 1, exact: 1 as Wrong }), StreamerError, "'exact' must be");
});
