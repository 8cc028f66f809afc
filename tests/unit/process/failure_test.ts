// Tests what `process` does with messages that fail: they are nacked, reported, and delay no others. Without a server.

import { assertEquals } from "@std/assert";
import { type Message, type Output, process, StreamerError } from "../../../mod.ts";
import { FakeConsumer, FakeProducer, Handlers, message, messages, quiet } from "../../support/processing.ts";
import { until } from "../../support/events.ts";
import { test } from "../../support/runner.ts";

/** Records the calls of `onError`. */
function listener() {
  const told: { readonly error: unknown; readonly text: string }[] = [];
  return { told, onError: (error: unknown, one: Message) => void told.push({ error, text: one.text() }) };
}

test("a handler that throws nacks its message with the delay, and later ones of its shard continue", async () => {
  const consumer = new FakeConsumer().put(...messages(4));
  const { told, onError } = listener();
  const [now, later] = [new Error("now"), new Error("later")];
  const handle = (one: Message): Output | Promise<Output> => {
    if (one.text() === "1") throw now;
    if (one.text() === "2") return Promise.reject(later);
  };
  const done = process(consumer, handle, { retryDelay: 70, onError });
  await until(() => consumer.acked.length === 2);
  consumer.end();
  assertEquals(await done, { handled: 2, failed: 2, repeated: 0 });
  assertEquals([consumer.acked, consumer.nacked], [["0", "3"], ["1 70", "2 70"]]);
  assertEquals(told, [{ error: now, text: "1" }, { error: later, text: "2" }]);
});

test("a receipt that fails nacks its message, and no other", async () => {
  const consumer = new FakeConsumer().put(...messages(5));
  const producer = new FakeProducer({ storing: false });
  const { told, onError } = listener();
  const done = process(consumer, (one) => [`${one.text()}x`, `${one.text()}y`], { producer, onError });
  await until(() => producer.sent.length === 10);
  const refused = new StreamerError("TIMEOUT", "Too late", { outcome: "not-written" });
  producer.sent.forEach(({ receipt }, at) => at === 3 ? receipt.fail(refused) : receipt.ack());
  await until(() => consumer.acked.length + consumer.nacked.length === 5);
  consumer.end();
  assertEquals(await done, { handled: 4, failed: 1, repeated: 0 });
  assertEquals([consumer.acked, consumer.nacked], [["0", "2", "3", "4"], ["1 1000"]]);
  assertEquals(told, [{ error: refused, text: "1" }]);
});

test("when all receipts fail each message is nacked once, in order, with any number of outputs", async () => {
  const consumer = new FakeConsumer().put(...messages(20));
  const producer = new FakeProducer({ storing: false });
  const { told, onError } = listener();
  const done = process(consumer, () => ["x", "y"], { producer, onError });
  await until(() => producer.sent.length === 40);
  for (const { receipt } of producer.sent) receipt.fail(new Error("lost"), "unknown");
  await until(() => consumer.nacked.length === 20);
  await quiet();
  consumer.end();
  assertEquals(await done, { handled: 0, failed: 20, repeated: 0 });
  assertEquals(consumer.nacked, messages(20).map((one) => `${one.text()} 1000`));
  assertEquals(told.length, 20);
});

test("receipts that are settled out of order, or only abandoned, delay no others, without a busy loop", async () => {
  const consumer = new FakeConsumer().put(...messages(4));
  const producer = new FakeProducer({ storing: false });
  const done = process(consumer, (one) => one.text(), { producer });
  await until(() => producer.sent.length === 4);
  producer.sent[3].receipt.fail(new Error("The waiting has ended"), "pending");
  producer.sent[2].receipt.ack();
  await until(() => consumer.acked.length + consumer.nacked.length === 2);
  assertEquals([consumer.acked, consumer.nacked], [["2"], ["3 1000"]]);
  producer.sent[0].receipt.ack();
  await until(() => consumer.acked.length === 2);
  producer.sent[1].receipt.ack();
  await until(() => consumer.acked.length === 3);
  consumer.end();
  assertEquals(await done, { handled: 3, failed: 1, repeated: 0 });
});

test("an onError that throws or rejects is ignored", async () => {
  const consumer = new FakeConsumer().put(...messages(3));
  const handle = () => {
    throw new Error("always");
  };
  let calls = 0;
  const onError = (): void | Promise<never> => {
    if (++calls === 2) return Promise.reject(new Error("by onError"));
    throw new Error("in onError");
  };
  const done = process(consumer, handle, { onError });
  await until(() => consumer.nacked.length === 3);
  await quiet();
  consumer.end();
  assertEquals(await done, { handled: 0, failed: 3, repeated: 0 });
  assertEquals(calls, 3);
});

test("an ack or nack that is refused is reported, and the others continue", async () => {
  const consumer = new FakeConsumer().put(message("a"));
  const { told, onError } = listener();
  const handlers = new Handlers();
  const done = process(consumer, handlers.handle, { onError });
  const [noAck, noNack, thrown] = [new Error("no ack"), new Error("no nack"), new Error("thrown")];
  consumer.refusal = { ack: noAck, nack: noNack };
  await until(() => handlers.running.length === 1);
  handlers.finish("a");
  await until(() => told.length === 1);
  consumer.put(message("b"));
  await until(() => handlers.running.length === 1);
  handlers.throw("b", thrown);
  await until(() => told.length === 3);
  consumer.refusal = {};
  consumer.put(message("c"));
  await until(() => handlers.running.length === 1);
  handlers.finish("c");
  await until(() => consumer.acked.length === 1);
  consumer.end();
  assertEquals(await done, { handled: 1, failed: 2, repeated: 0 });
  assertEquals(told, [
    { error: noAck, text: "a" },
    { error: noNack, text: "b" },
    { error: thrown, text: "b" },
  ]);
});
