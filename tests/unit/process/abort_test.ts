// Tests how `process` ends on its signal, in every phase of its work. Without a server.

import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { type Message, process } from "../../../mod.ts";
import { FakeConsumer, FakeProducer, Handlers, message, messages, quiet } from "../../support/processing.ts";
import { until } from "../../support/events.ts";
import { test } from "../../support/runner.ts";

test("a signal that is already aborted takes no message", async () => {
  const consumer = new FakeConsumer().put(message("a"));
  assertEquals(await process(consumer, () => {}, { signal: AbortSignal.abort() }), {
    handled: 0,
    failed: 0,
    repeated: 0,
  });
  assertEquals([consumer.taken, consumer.left], [0, ["a"]]);
});

test("an abort while it waits for messages takes none", async () => {
  const consumer = new FakeConsumer();
  const controller = new AbortController();
  const done = process(consumer, () => {}, { signal: controller.signal });
  await until(() => consumer.asked);
  controller.abort();
  consumer.put(message("a"));
  assertEquals(await done, { handled: 0, failed: 0, repeated: 0 });
  assertEquals([consumer.taken, consumer.asked], [0, false]);
});

test("messages that arrive with the abort are released at once, unhandled", async () => {
  const consumer = new FakeConsumer();
  const controller = new AbortController();
  let calls = 0;
  const done = process(consumer, () => void calls++, { signal: controller.signal });
  await until(() => consumer.asked);
  consumer.put(...messages(3));
  controller.abort();
  assertEquals(await done, { handled: 0, failed: 0, repeated: 0 });
  assertEquals([calls, consumer.nacked], [0, ["0 back", "1 back", "2 back"]]);
});

test("messages that arrive long after the abort are awaited and released", async () => {
  const consumer = new FakeConsumer();
  const answer = Promise.withResolvers<IteratorResult<Message[], undefined>>();
  const iterator: AsyncIterableIterator<Message[]> = {
    [Symbol.asyncIterator]: () => iterator,
    next: () => answer.promise,
    return: () => Promise.resolve({ value: undefined, done: true }),
  };
  consumer.batches = () => iterator;
  const controller = new AbortController();
  let over = false;
  const done = process(consumer, () => {}, { signal: controller.signal }).finally(() => over = true);
  controller.abort();
  await quiet();
  assertEquals(over, false);
  answer.resolve({ value: messages(2), done: false });
  assertEquals(await done, { handled: 0, failed: 0, repeated: 0 });
  assertEquals(consumer.nacked, ["0 back", "1 back"]);
});

test("an abort during handlers aborts their signals, and they finish, send and are acked; waiting messages are released", async () => {
  const consumer = new FakeConsumer().put(...messages(3, "a"), ...messages(2, "b", 1));
  const producer = new FakeProducer();
  const controller = new AbortController();
  const handlers = new Handlers();
  const signals: AbortSignal[] = [];
  const done = process(consumer, (one, { signal }) => {
    signals.push(signal);
    return handlers.handle(one);
  }, { producer, signal: controller.signal });
  await until(() => handlers.running.length === 2);
  assert(signals.every((signal) => !signal.aborted));
  const reason = new Error("enough");
  controller.abort(reason);
  for (const signal of signals) assertStrictEquals(signal.reason, reason);
  handlers.finish("b0", "out");
  await quiet();
  handlers.throw("a0", new Error("aborted"));
  assertEquals(await done, { handled: 1, failed: 1, repeated: 0 });
  assertEquals(producer.payloads, ["out"]);
  assertEquals([consumer.acked, consumer.nacked], [["b0"], ["a1 back", "a2 back", "b1 back", "a0 1000"]]);
  assertEquals(consumer.commits.at(-1), 1);
});

test("a handler may abort its own run", async () => {
  for (const asynchronous of [false, true]) {
    const consumer = new FakeConsumer().put(...messages(3));
    const controller = new AbortController();
    const done = process(consumer, () => {
      controller.abort();
      return asynchronous ? Promise.resolve() : undefined;
    }, { signal: controller.signal });
    assertEquals(await done, { handled: 1, failed: 0, repeated: 0 });
    assertEquals([consumer.acked, consumer.nacked], [["0"], ["1 back", "2 back"]]);
  }
});

test("an abort while receipts are outstanding waits for them", async () => {
  const consumer = new FakeConsumer().put(message("a"), message("b"));
  const producer = new FakeProducer({ storing: false });
  const controller = new AbortController();
  const done = process(consumer, (one) => one.text(), { producer, signal: controller.signal });
  await until(() => producer.sent.length === 2);
  controller.abort();
  await quiet();
  assertEquals(consumer.commits, []);
  producer.sent[0].receipt.ack();
  producer.sent[1].receipt.fail(new Error("lost"), "unknown");
  assertEquals(await done, { handled: 1, failed: 1, repeated: 0 });
  assertEquals([consumer.acked, consumer.nacked, consumer.commits], [["a"], ["b 1000"], [1]]);
});

test("an abort while the producer is at its high-water mark ends it", async () => {
  const consumer = new FakeConsumer();
  const producer = new FakeProducer();
  const controller = new AbortController();
  const done = process(consumer, (one) => one.text(), { producer, signal: controller.signal });
  await until(() => consumer.asked);
  producer.desiredSize = 0;
  consumer.put(message("a"));
  await quiet();
  controller.abort();
  assertEquals(await done, { handled: 0, failed: 0, repeated: 0 });
  assertEquals(consumer.nacked, ["a back"]);
  producer.drain();
  await quiet();
  assertEquals(producer.sent, []);
});
