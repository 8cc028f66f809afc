// Tests `readable`: one object, no message is taken before a pull, cancelling releases the consumer.

import { assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { connect, type Message, StreamerError } from "../../../mod.ts";
import { addMany, take, takeTexts, texts } from "../../support/consumer/reading.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();

test("readable is always the same object", async () => {
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(uniqueKey(), { mode: "real-time" });
  assertStrictEquals(consumer.readable, consumer.readable);
});

test("no message is taken before a pull", async () => {
  const key = uniqueKey();
  await addMany(server, key, 10);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { mode: "real-time", autoStreamReset: "earliest" });
  const reader = consumer.readable.getReader();
  await until(() => consumer.stats().queued === 10);
  assertEquals(consumer.stats().delivered, 0);
  assertEquals((await reader.read()).value?.text(), "0");
  assertEquals(consumer.stats().delivered, 1);
  assertEquals(await takeTexts(consumer, 1), ["1"]);
  assertEquals((await reader.read()).value?.text(), "2");
});

test("cancelling it releases the consumer without ending it", async () => {
  const key = uniqueKey();
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { mode: "real-time" });
  const reader = consumer.readable.getReader();
  const waiting = reader.read();
  await reader.cancel("enough");
  assertEquals(await waiting, { value: undefined, done: true });
  await addMany(server, key, 2);
  assertEquals(await takeTexts(consumer, 2), ["0", "1"]);
});

test("leaving a loop over it loses nothing", async () => {
  const key = uniqueKey();
  await addMany(server, key, 10);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { mode: "real-time", autoStreamReset: "earliest" });
  const got: string[] = [];
  for await (const message of consumer.readable) {
    got.push(message.text());
    if (got.length === 4) break;
  }
  got.push(...await takeTexts(consumer, 6));
  assertEquals(got, texts(10));
});

test("it can be piped, with the sink's back-pressure, until the consumer ends", async () => {
  const key = uniqueKey();
  await addMany(server, key, 500);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { mode: "real-time", autoStreamReset: "earliest" });
  const got: string[] = [];
  const all = Promise.withResolvers<void>();
  const sink = new WritableStream<Message>({
    write(message) {
      got.push(message.text());
      if (got.length === 500) all.resolve();
    },
  }, { highWaterMark: 1 });
  const piped = consumer.readable.pipeTo(sink);
  await all.promise;
  await consumer.end();
  await piped;
  assertEquals(got, texts(500));
});

test("a sink that fails leaves the consumer usable", async () => {
  const key = uniqueKey();
  await addMany(server, key, 3);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { mode: "real-time", autoStreamReset: "earliest" });
  const broken = new Error("disk full");
  const sink = new WritableStream<Message>({
    write() {
      throw broken;
    },
  });
  assertStrictEquals(await assertRejects(() => consumer.readable.pipeTo(sink)), broken);
  const rest = await take(consumer, 1);
  assertEquals(rest.length, 1);
});

test("it closes when the consumer ends, also during a read", async () => {
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(uniqueKey(), { mode: "real-time" });
  const reader = consumer.readable.getReader();
  const waiting = reader.read();
  await consumer.end();
  assertEquals(await waiting, { value: undefined, done: true });
  await reader.closed;
});

test("it errors with the fatal error", async () => {
  const key = uniqueKey();
  await server.command("SET", key, "a string");
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { mode: "real-time" });
  const reader = consumer.readable.getReader();
  const error = await assertRejects(() => reader.read(), StreamerError);
  assertEquals(error.code, "WRONGTYPE");
  assertStrictEquals(await assertRejects(() => consumer.next()), error);
});
