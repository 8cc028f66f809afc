// Tests which messages `process` handles in sequence, which at the same time, and how many it takes for that.

import { assert, assertEquals } from "@std/assert";
import { process, type ProcessOrder } from "../../../mod.ts";
import { FakeConsumer, FakeProducer, Handlers, message, messages, quiet } from "../../support/processing.ts";
import { until } from "../../support/events.ts";
import { test } from "../../support/runner.ts";

test("each shard is handled one at a time, in order, while others continue at the same time", async () => {
  const consumer = new FakeConsumer().put(...messages(3, "a", 0), ...messages(3, "b", 1));
  const handlers = new Handlers();
  const done = process(consumer, handlers.handle);
  await until(() => handlers.running.length === 2);
  assertEquals(handlers.running, ["a0", "b0"]);
  for (const text of ["b0", "b1", "b2"]) {
    await until(() => handlers.running.includes(text));
    assertEquals(handlers.running, ["a0", text]);
    handlers.finish(text);
  }
  for (const text of ["a0", "a1", "a2"]) {
    await until(() => handlers.running.includes(text));
    assertEquals(handlers.running, [text]);
    handlers.finish(text);
  }
  await until(() => consumer.acked.length === 6);
  consumer.end();
  assertEquals(await done, { handled: 6, failed: 0, repeated: 0 });
});

test("shards of the same number of two streams do not wait for one another", async () => {
  const consumer = new FakeConsumer().put(message("a"), message("b", { streamKey: "other" }));
  const handlers = new Handlers();
  const done = process(consumer, handlers.handle);
  await until(() => handlers.running.length === 2);
  handlers.finish("a");
  handlers.finish("b");
  consumer.end();
  await done;
});

test("each value of a header is handled one at a time, over all shards, and those without it wait for none", async () => {
  const of = (text: string, user?: string, shardId = 0) =>
    message(text, { shardId, headers: user === undefined ? [] : ["user", user] });
  const consumer = new FakeConsumer().put(
    of("a0", "ann"),
    of("b0", "bob"),
    of("a1", "ann"),
    of("x"),
    of("y"),
    of("a2", "ann", 1),
  );
  const handlers = new Handlers();
  const done = process(consumer, handlers.handle, { orderBy: { header: "user" } });
  await until(() => consumer.taken === 6 && handlers.running.length === 4);
  assertEquals(handlers.running, ["a0", "b0", "x", "y"]);
  for (const text of ["a0", "a1", "a2"]) {
    await until(() => handlers.running.includes(text));
    assertEquals(handlers.running.filter((other) => other.startsWith("a")), [text]);
    handlers.finish(text);
  }
  for (const text of ["y", "x", "b0"]) handlers.finish(text);
  await until(() => consumer.acked.length === 6);
  consumer.end();
  assertEquals(await done, { handled: 6, failed: 0, repeated: 0 });
});

test("without an order as many handlers run as are allowed, and never more", async () => {
  const consumer = new FakeConsumer().put(...messages(50));
  const handlers = new Handlers();
  const done = process(consumer, handlers.handle, { orderBy: "none", concurrency: 7 });
  for (let finished = 0; finished < 50; finished++) {
    await until(() => handlers.running.length === Math.min(7, 50 - finished));
    handlers.finish(handlers.running[handlers.running.length - 1]);
  }
  consumer.end();
  assertEquals(await done, { handled: 50, failed: 0, repeated: 0 });
  assertEquals(handlers.most, 7);
  assertEquals(consumer.max, 7);
});

test("without an order nothing is taken while all handlers run", async () => {
  const consumer = new FakeConsumer().put(...messages(50));
  const handlers = new Handlers();
  const signal = new AbortController();
  const done = process(consumer, handlers.handle, { orderBy: "none", concurrency: 5, signal: signal.signal });
  await until(() => handlers.running.length === 5);
  await quiet();
  assertEquals(consumer.taken, 5);
  signal.abort();
  for (const text of handlers.running) handlers.finish(text);
  assertEquals(await done, { handled: 5, failed: 0, repeated: 0 });
});

test("after a slow shard at most twice the concurrency is taken, and other shards are found among these", async () => {
  const consumer = new FakeConsumer().put(...messages(5, "slow"), ...messages(1, "b", 1), ...messages(90, "slow"));
  const handlers = new Handlers();
  const signal = new AbortController();
  const done = process(consumer, handlers.handle, { concurrency: 4, signal: signal.signal });
  await until(() => handlers.running.length === 2);
  assertEquals(handlers.running, ["slow0", "b0"]);
  await quiet();
  const waiting = consumer.taken - handlers.started.length;
  assert(waiting > 4 && waiting <= 8, `${waiting} wait`);
  handlers.finish("b0"); // messages after the bound are not looked for
  await quiet();
  assertEquals(consumer.taken - handlers.started.length, waiting);
  signal.abort();
  handlers.finish("slow0");
  assertEquals(await done, { handled: 2, failed: 0, repeated: 0 });
  assertEquals(consumer.nacked.length, waiting);
});

test("the next of a shard starts when the one before has returned, and no more than 4,096 wait for their receipts", async () => {
  const consumer = new FakeConsumer().put(...messages(5_000));
  const producer = new FakeProducer({ storing: false });
  const done = process(consumer, (one) => one.text(), { producer });
  await until(() => producer.sent.length >= 4_096);
  await quiet();
  assertEquals(producer.sent.length, 4_096);
  assert(consumer.taken <= 4_096 + 32, `${consumer.taken} taken`);
  for (const { receipt } of producer.sent) receipt.ack();
  await until(() => producer.sent.length === 5_000);
  for (const { receipt } of producer.sent) receipt.ack();
  await until(() => consumer.acked.length === 5_000);
  consumer.end();
  assertEquals(await done, { handled: 5_000, failed: 0, repeated: 0 });
});

test("with any order, outputs are in the order of the handlers of a line", async () => {
  const orders: ProcessOrder[] = ["shard", { header: "user" }];
  for (const orderBy of orders) {
    const consumer = new FakeConsumer().put(
      ...["0", "1", "2", "3"].map((text) => message(text, { headers: ["user", "ann"] })),
    );
    const producer = new FakeProducer();
    const handle = async (one: { text(): string }) => {
      for (let left = 4 - Number(one.text()); left > 0; left--) await quiet(); // the first takes longest
      return one.text();
    };
    const done = process(consumer, handle, { producer, orderBy });
    await until(() => consumer.acked.length === 4);
    consumer.end();
    assertEquals(await done, { handled: 4, failed: 0, repeated: 0 });
    assertEquals(producer.payloads, ["0", "1", "2", "3"]);
  }
});
