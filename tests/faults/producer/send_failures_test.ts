// Tests that failures that were never awaited are reported by flush and end: how many, why, once, and by the right
// handle.

import { assert, assertEquals, assertInstanceOf, assertRejects, assertStrictEquals } from "@std/assert";
import { connect, RedisError, StreamerError } from "../../../mod.ts";
import { until } from "../../support/events.ts";
import { test } from "../../support/runner.ts";
import { FakeRedis } from "../../support/producer/fake_redis.ts";

/** A server that refuses payloads that say so. */
function refusing(): Promise<FakeRedis> {
  return FakeRedis.start({
    judge: (xadd, redis) => xadd.payload.startsWith("bad") ? `-OOM ${xadd.payload}\r\n` : redis.store(xadd),
  });
}

async function failureOf(promise: Promise<unknown>): Promise<StreamerError> {
  const error = await assertRejects(() => promise, StreamerError);
  assertEquals(error.code, "SEND_FAILED");
  return error;
}

test("flush reports how many ignored sends failed and the first cause, and then the count starts again", async () => {
  await using redis = await refusing();
  await using streamer = await connect(redis.url);
  const producer = await streamer.createProducer("k");
  for (const payload of ["a", "bad 1", "b", "bad 2", "bad 3"]) producer.send(payload);
  const error = await failureOf(producer.flush());
  assertEquals(error.count, 3);
  assertInstanceOf(error.cause, RedisError);
  assertEquals([error.cause.code, error.cause.message, error.cause.outcome], ["OOM", "OOM bad 1", "not-written"]);
  await producer.flush();
  producer.send("bad 4");
  assertEquals((await failureOf(producer.flush())).count, 1);
  assertEquals(redis.payloads("k"), ["a", "b"]);
});

test("end reports ignored failures too", async () => {
  await using redis = await refusing();
  await using streamer = await connect(redis.url);
  const producer = await streamer.createProducer("k");
  producer.send("bad 1");
  assertEquals((await failureOf(producer.end())).count, 1);
});

test("a failure that was awaited, or has a handler, is not reported again", async () => {
  await using redis = await refusing();
  await using streamer = await connect(redis.url);
  const producer = await streamer.createProducer("k");
  await assertRejects(() => Promise.resolve(producer.send("bad 1")), RedisError);
  const seen: unknown[] = [];
  producer.send("bad 2").catch((error) => seen.push(error));
  producer.send("bad 3").then(undefined, (error) => seen.push(error));
  await producer.flush();
  assertEquals(seen.map((error) => error instanceof RedisError && error.message), ["OOM bad 2", "OOM bad 3"]);
});

test("a failure awaited late, but before the flush, counts as seen", async () => {
  await using redis = await refusing();
  await using streamer = await connect(redis.url);
  const producer = await streamer.createProducer("k");
  const receipt = producer.send("bad 1");
  await producer.send("a");
  assertEquals(receipt.outcome, "not-written");
  await assertRejects(() => Promise.resolve(receipt), RedisError);
  await producer.flush();
});

test("the reported cause is the first of those that were never awaited", async () => {
  await using redis = await refusing();
  await using streamer = await connect(redis.url);
  const producer = await streamer.createProducer("k");
  const first = producer.send("bad 1");
  producer.send("bad 2");
  producer.send("bad 3");
  await producer.send("a");
  await assertRejects(() => Promise.resolve(first), RedisError);
  const error = await failureOf(producer.flush());
  assertEquals(error.count, 2);
  assertInstanceOf(error.cause, RedisError);
  assertEquals(error.cause.message, "OOM bad 2");
});

test("awaiting a failure that was reported already does not change the count of later ones", async () => {
  await using redis = await refusing();
  await using streamer = await connect(redis.url);
  const producer = await streamer.createProducer("k");
  const told = producer.send("bad 1");
  assertEquals((await failureOf(producer.flush())).count, 1);
  producer.send("bad 2");
  await producer.send("a");
  await assertRejects(() => Promise.resolve(told), RedisError);
  const error = await failureOf(producer.flush());
  assertEquals(error.count, 1);
  assertInstanceOf(error.cause, RedisError);
  assertEquals(error.cause.message, "OOM bad 2");
});

test("awaiting one failure many times counts once", async () => {
  await using redis = await refusing();
  await using streamer = await connect(redis.url);
  const producer = await streamer.createProducer("k");
  const looked = producer.send("bad 1");
  producer.send("bad 2");
  await producer.send("a");
  for (let i = 0; i < 3; i++) await assertRejects(() => Promise.resolve(looked), RedisError);
  assertEquals((await failureOf(producer.flush())).count, 1);
});

test("a send that was aborted after it was written, and then fails, is reported by flush", async () => {
  let answer = () => {};
  const slow = new Promise<void>((resolve) => answer = resolve);
  await using redis = await FakeRedis.start({
    judge: async (xadd, fake) => {
      await slow;
      return xadd.payload.startsWith("bad") ? `-OOM ${xadd.payload}\r\n` : fake.store(xadd);
    },
  });
  await using streamer = await connect(redis.url);
  const producer = await streamer.createProducer("k");
  const controller = new AbortController();
  const { signal } = controller;
  const [stored, failed] = ["good", "bad 1"].map((payload) => producer.send(payload, { signal }));
  const looked = producer.send("bad 2", { signal });
  looked.catch(() => {}); // a caller awaits this one
  await until(() => redis.added.length === 1);
  controller.abort(new Error("enough"));
  answer();
  const error = await failureOf(producer.flush());
  assertEquals([error.count, stored.outcome, failed.outcome, looked.outcome], [
    1,
    "acked",
    "not-written",
    "not-written",
  ]);
  assertInstanceOf(error.cause, RedisError);
  assertEquals(error.cause.message, "OOM bad 1");
  await producer.flush();
});

test("clones count their own failures, and flush waits only for the sends of its own handle", async () => {
  let answer = () => {};
  const slow = new Promise<void>((resolve) => answer = resolve);
  await using redis = await FakeRedis.start({
    judge: async (xadd, fake) => {
      if (xadd.payload === "slow") await slow;
      return xadd.payload.startsWith("bad") ? "-OOM no\r\n" : fake.store(xadd);
    },
  });
  await using streamer = await connect(redis.url);
  const producer = await streamer.createProducer("k");
  const clone = producer.clone();
  producer.send("bad 1");
  producer.send("a");
  clone.send("slow");
  assertEquals((await failureOf(producer.flush())).count, 1);
  let done = false;
  const flushed = clone.flush().then(() => done = true);
  await producer.flush();
  assertEquals(done, false);
  answer();
  await flushed;
});

test("messages that fail before they are sent count like the rest", async () => {
  await using redis = await refusing();
  await using streamer = await connect(redis.url);
  const producer = await streamer.createProducer("k");
  producer.send("a", { headers: { msg: "x" } });
  producer.sendTo("not a key", "a");
  const error = await failureOf(producer.flush());
  assertEquals(error.count, 2);
  assertInstanceOf(error.cause, StreamerError);
  assertEquals([error.cause.code, error.cause.outcome], ["INVALID_OPTION", "not-written"]);
});

test("flush waits for earlier sends, not for later ones", async () => {
  const answers = new Map<string, () => void>();
  await using redis = await FakeRedis.start({
    judge: async (xadd, fake) => {
      await new Promise<void>((resolve) => answers.set(xadd.payload, resolve));
      return fake.store(xadd);
    },
  });
  await using streamer = await connect(redis.url);
  const producer = await streamer.createProducer("k");
  const first = producer.send("a");
  const flushed = producer.flush();
  const second = producer.send("b");
  (await until(() => answers.get("a")))();
  await flushed;
  assertEquals([first.outcome, second.outcome], ["acked", "pending"]);
  (await until(() => answers.get("b")))();
  await second;
});

test("an aborted flush rejects with the reason, removes no failures, and the sends continue", async () => {
  let answer = () => {};
  const slow = new Promise<void>((resolve) => answer = resolve);
  await using redis = await FakeRedis.start({
    judge: async (xadd, fake) => {
      if (xadd.payload.startsWith("bad")) return "-OOM no\r\n";
      await slow;
      return fake.store(xadd);
    },
  });
  await using streamer = await connect(redis.url);
  const producer = await streamer.createProducer("k");
  producer.send("bad 1");
  const receipt = producer.send("a");
  const reason = new Error("enough");
  const controller = new AbortController();
  const flushed = producer.flush({ signal: controller.signal });
  controller.abort(reason);
  assertStrictEquals(await assertRejects(() => flushed), reason);
  assertStrictEquals(await assertRejects(() => producer.flush({ signal: AbortSignal.abort(reason) })), reason);
  answer();
  await receipt;
  assertEquals((await failureOf(producer.flush())).count, 1);
  assert(redis.payloads("k").includes("a"));
});
