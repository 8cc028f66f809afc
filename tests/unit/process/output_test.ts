// Tests invalid results of handlers of `process`. Without a server.

import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { type Message, type Output, process, type ProcessOptions, StreamerError } from "../../../mod.ts";
import { FakeConsumer, FakeProducer, message } from "../../support/processing.ts";
import { until } from "../../support/events.ts";
import { test } from "../../support/runner.ts";

/** Processes a message that fails, then another of its shard that does not. Returns the error. */
async function failureOf(returned: unknown, options: ProcessOptions = {}): Promise<unknown> {
  const consumer = new FakeConsumer().put(message("bad"), message("good"));
  const told: { readonly error: unknown; readonly text: string }[] = [];
  const onError = (error: unknown, one: Message) => void told.push({ error, text: one.text() });
  // A checked border: a result that the types forbid.
  const handle = (one: Message) => (one.text() === "bad" ? returned : undefined) as Output;
  const done = process(consumer, handle, { ...options, onError });
  await until(() => consumer.acked.length + consumer.nacked.length === 2);
  consumer.end();
  assertEquals(await done, { handled: 1, failed: 1, repeated: 0 });
  assertEquals([consumer.acked, consumer.nacked], [["good"], ["bad 1000"]]);
  assertEquals(told.map(({ text }) => text), ["bad"]);
  return told[0].error;
}

test("an output without a producer is a failure of its message", async () => {
  const error = await failureOf("text");
  assert(error instanceof StreamerError);
  assertEquals(error.code, "INVALID_OPTION");
  assertEquals(
    error.message,
    "Cannot send the output of a handler: 'producer' must be a producer with a stream of its own, got undefined",
  );
});

test("an invalid output is a failure of its message, and nothing of it is sent", async () => {
  for (const wrong of [null, 7, true, {}, { payload: 7 }, new Map(), ["a", 7], ["a", ["b"]], ["a", null]]) {
    const producer = new FakeProducer();
    const error = await failureOf(wrong, { producer });
    assert(error instanceof StreamerError, String(wrong));
    assertEquals(error.code, "INVALID_OPTION");
    assertEquals(producer.sent, []);
  }
});

test("a promise of an invalid output, and a thenable that throws, are failures of their messages", async () => {
  const error = await failureOf(Promise.resolve(7));
  assert(error instanceof StreamerError && error.code === "INVALID_OPTION");
  const reason = new Error("thrown by then");
  const then = () => {
    throw reason;
  };
  assertStrictEquals(await failureOf({ then }), reason);
});
