// Tests `process` without failures: handle, send, ack, count. Without a server.

import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { type Message, type Output, process } from "../../../mod.ts";
import { FakeConsumer, FakeProducer, Handlers, message, messages, quiet } from "../../support/processing.ts";
import { until } from "../../support/events.ts";
import { test } from "../../support/runner.ts";

/** Processes one message to the end. Returns the sent messages. */
async function outputOf(output: Output | Promise<Output>): Promise<FakeProducer> {
  const consumer = new FakeConsumer().put(message("a"));
  const producer = new FakeProducer();
  const done = process(consumer, () => output, { producer });
  await until(() => consumer.acked.length === 1);
  consumer.end();
  assertEquals(await done, { handled: 1, failed: 0, repeated: 0 });
  return producer;
}

test("every message is handled, acked and counted, and the consumer's end ends the processing", async () => {
  const consumer = new FakeConsumer().put(...messages(1_000));
  const seen: string[] = [];
  const done = process(consumer, (one: Message) => void seen.push(one.text()));
  await until(() => consumer.acked.length === 1_000);
  consumer.end();
  assertEquals(await done, { handled: 1_000, failed: 0, repeated: 0 });
  const all = messages(1_000).map((one) => one.text());
  assertEquals(seen, all);
  assertEquals(consumer.acked, all);
  assertEquals(consumer.nacked, []);
});

test("outputs of a handler are sent in order, and their message is acked when they are stored", async () => {
  const consumer = new FakeConsumer().put(...messages(40));
  const producer = new FakeProducer({ storing: false });
  const done = process(consumer, (one) => `out ${one.text()}`, { producer });
  await until(() => producer.sent.length === 40);
  await quiet();
  assertEquals(consumer.acked, []);
  for (const { receipt } of producer.sent) receipt.ack();
  await until(() => consumer.acked.length === 40);
  consumer.end();
  assertEquals(await done, { handled: 40, failed: 0, repeated: 0 });
  assertEquals(producer.payloads, messages(40, "out ").map((one) => one.text()));
});

test("a message with several outputs is acked only when the last of them is stored, whichever that is", async () => {
  const consumer = new FakeConsumer().put(message("a"));
  const producer = new FakeProducer({ storing: false });
  const done = process(consumer, () => ["x", "y", "z"], { producer });
  await until(() => producer.sent.length === 3);
  for (const at of [2, 0]) {
    producer.sent[at].receipt.ack();
    await quiet();
    assertEquals(consumer.acked, []);
  }
  producer.sent[1].receipt.ack();
  await until(() => consumer.acked.length === 1);
  consumer.end();
  assertEquals(await done, { handled: 1, failed: 0, repeated: 0 });
});

test("a message is not acked while its handler has not returned", async () => {
  const consumer = new FakeConsumer().put(message("a"));
  const handlers = new Handlers();
  const done = process(consumer, handlers.handle);
  await until(() => handlers.running.length === 1);
  await quiet();
  assertEquals(consumer.acked, []);
  handlers.finish("a");
  await until(() => consumer.acked.length === 1);
  consumer.end();
  assertEquals(await done, { handled: 1, failed: 0, repeated: 0 });
});

test("an output can be text, bytes, a message of its own, an array of them, or nothing, now or later", async () => {
  assertEquals((await outputOf("text")).payloads, ["text"]);
  assertEquals((await outputOf("")).payloads, [""]);
  assertEquals((await outputOf(new TextEncoder().encode("bytes"))).payloads, ["bytes"]);
  assertEquals((await outputOf({ payload: "one" })).payloads, ["one"]);
  assertEquals((await outputOf(["a", new Uint8Array([98]), undefined, { payload: "c" }])).payloads, ["a", "b", "c"]);
  assertEquals((await outputOf([])).payloads, []);
  assertEquals((await outputOf(undefined)).payloads, []);
  assertEquals((await outputOf(Promise.resolve("later"))).payloads, ["later"]);
  assertEquals((await outputOf(Promise.resolve(["a", "b"]))).payloads, ["a", "b"]);
});

test("an output passes its key, headers and time to the producer", async () => {
  const timestamp = new Date(7);
  const headers = { trace: "7f3a" };
  const { sent: [{ options }] } = await outputOf({ payload: "a", key: "k", headers, timestamp });
  assertEquals(options?.key, "k");
  assertStrictEquals(options?.headers, headers);
  assertStrictEquals(options?.timestamp, timestamp);
});

test("of receipts that are settled in order, few are listened to", async () => {
  const consumer = new FakeConsumer().put(...messages(160));
  const producer = new FakeProducer({ storing: false });
  const done = process(consumer, () => "x", { producer, concurrency: 16 });
  await until(() => producer.sent.length === 160);
  for (const { receipt } of producer.sent) receipt.ack();
  await until(() => consumer.acked.length === 160);
  consumer.end();
  assertEquals(await done, { handled: 160, failed: 0, repeated: 0 });
  const heard = producer.sent.reduce((sum, { receipt }) => sum + receipt.heard, 0);
  assert(heard <= 10, `${heard} were listened to`);
});

test("messages that are sent one by one are acked although earlier receipts are late", async () => {
  const consumer = new FakeConsumer();
  const producer = new FakeProducer({ storing: false });
  const done = process(consumer, (one) => one.text(), { producer });
  for (const one of messages(130)) {
    await until(() => consumer.asked);
    consumer.put(one);
  }
  await until(() => producer.sent.length === 130);
  for (const { receipt } of producer.sent.slice(1)) receipt.ack();
  await until(() => consumer.acked.length >= 64);
  assert(!consumer.acked.includes("0"));
  producer.sent[0].receipt.ack();
  await until(() => consumer.acked.length === 130);
  consumer.end();
  assertEquals(await done, { handled: 130, failed: 0, repeated: 0 });
  const heard = producer.sent.reduce((sum, { receipt }) => sum + receipt.heard, 0);
  assert(heard <= 6, `${heard} were listened to`);
});

test("no handler starts while the producer is at its high-water mark, and they continue below it", async () => {
  const consumer = new FakeConsumer().put(...messages(3));
  const producer = new FakeProducer();
  producer.desiredSize = 0;
  const handlers = new Handlers();
  const done = process(consumer, handlers.handle, { producer, orderBy: "none" });
  await quiet();
  assertEquals([handlers.started.length, consumer.taken], [0, 0]);
  producer.drain();
  await until(() => handlers.running.length === 3);
  producer.desiredSize = 0;
  consumer.put(message("3"));
  for (const text of handlers.running) handlers.finish(text);
  await until(() => consumer.acked.length === 3);
  assertEquals(handlers.started.length, 3);
  producer.drain();
  await until(() => handlers.running.length === 1);
  handlers.finish("3");
  await until(() => consumer.acked.length === 4);
  consumer.end();
  assertEquals(await done, { handled: 4, failed: 0, repeated: 0 });
});
