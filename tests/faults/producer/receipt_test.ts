// Tests that a receipt behaves like a promise, costs nothing when ignored, and has the outcome at any time.

import { assert, assertEquals, assertInstanceOf, assertRejects, assertStrictEquals } from "@std/assert";
import { inspect } from "node:util";
import { connect, Receipt, RedisError } from "../../../mod.ts";
import { test } from "../../support/runner.ts";
import { FakeRedis } from "../../support/producer/fake_redis.ts";

function server(): Promise<FakeRedis> {
  return FakeRedis.start({
    judge: (xadd, redis) => xadd.payload.startsWith("bad") ? "-OOM no\r\n" : redis.store(xadd),
  });
}

test("a receipt is awaited, chained and raced like a promise", async () => {
  await using redis = await server();
  await using streamer = await connect(redis.url);
  const producer = await streamer.createProducer("k");
  assertInstanceOf(await producer.send("a"), Receipt);
  assertEquals(await producer.send("b").then(({ streamKey }) => streamKey), "k");
  assertInstanceOf(await producer.send("c").then(), Receipt);
  assertInstanceOf(await producer.send("c").then(null, null), Receipt);
  assertEquals(await producer.send("d").then(() => Promise.resolve(7)), 7);
  assertInstanceOf(await producer.send("e").catch(() => "never"), Receipt);
  assertInstanceOf(await Promise.race([producer.send("f")]), Receipt);
  assertEquals((await Promise.allSettled([producer.send("g"), producer.send("bad")])).map(({ status }) => status), [
    "fulfilled",
    "rejected",
  ]);
  let finals = 0;
  assertInstanceOf(await producer.send("h").finally(() => void finals++), Receipt);
  await assertRejects(() => producer.send("bad").finally(() => void finals++), RedisError);
  assertEquals(finals, 2);
});

test("a failure is caught by catch, by then's second callback and by await; their results are passed on", async () => {
  await using redis = await server();
  await using streamer = await connect(redis.url);
  const producer = await streamer.createProducer("k");
  assertEquals(await producer.send("bad").catch((error) => error.code), "OOM");
  assertEquals(await producer.send("bad").then(() => "no", (error) => error.code), "OOM");
  const thrown = new Error("from the handler");
  assertStrictEquals(await assertRejects(() => producer.send("bad").catch(() => Promise.reject(thrown))), thrown);
  assertStrictEquals(await assertRejects(() => producer.send("a").then(() => Promise.reject(thrown))), thrown);
});

test("a receipt can be awaited many times, early and late, with the same result", async () => {
  await using redis = await server();
  await using streamer = await connect(redis.url);
  const producer = await streamer.createProducer("k");
  for (const payload of ["a", "bad"]) {
    const receipt = producer.send(payload);
    const early = [receipt.then((value) => value, (error) => error), receipt.then((value) => value, (error) => error)];
    const [one, two] = await Promise.all(early);
    const late = await receipt.then((value) => value, (error) => error);
    assertStrictEquals(one, two);
    assertStrictEquals(one, late);
  }
});

test("handlers are never called before send has returned, nor synchronously", async () => {
  await using redis = await server();
  await using streamer = await connect(redis.url);
  const producer = await streamer.createProducer("k");
  const acked = producer.send("a");
  await acked;
  const refused = producer.sendTo("not a key", "x"); // has failed already
  const order: string[] = [];
  const done = [acked.then(() => order.push("acked")), refused.catch(() => order.push("refused"))];
  order.push("after");
  await Promise.all(done);
  assertEquals(order[0], "after");
});

test("the outcome changes from pending to acked or not-written, and stays", async () => {
  await using redis = await server();
  await using streamer = await connect(redis.url);
  const producer = await streamer.createProducer("k");
  const [good, bad] = [producer.send("a"), producer.send("bad")];
  assertEquals([good.outcome, bad.outcome], ["pending", "pending"]);
  await producer.flush().catch(() => {});
  assertEquals([good.outcome, bad.outcome], ["acked", "not-written"]);
  await bad.catch(() => {});
  assertEquals([good.outcome, bad.outcome], ["acked", "not-written"]);
});

test("every failure is an error with the outcome of its receipt", async () => {
  await using redis = await server();
  await using streamer = await connect(redis.url);
  const producer = await streamer.createProducer("k");
  const failing = [
    producer.send("bad"),
    producer.sendTo("not a key", "x"),
    producer.send("x", { headers: { msg: "" } }),
  ];
  await producer.end().catch(() => {});
  failing.push(producer.send("late"));
  for (const receipt of failing) {
    const error = await receipt.then(() => undefined, (reason) => reason);
    assertInstanceOf(error, Error);
    assertEquals([Reflect.get(error, "outcome"), receipt.outcome], ["not-written", "not-written"]);
    assert(error.stack?.includes(error.message));
  }
});

test("printing a receipt shows its outcome and nothing of its payload", async () => {
  await using redis = await server();
  await using streamer = await connect(redis.url);
  const producer = await streamer.createProducer("k");
  producer.send("another payload", { headers: { secret: "another header" } });
  const bytes = [...new TextEncoder().encode("somebody")].join(", ");
  const receipt = producer.send("own payload");
  for (const when of ["pending", "acked"]) {
    assertEquals(receipt.outcome, when);
    const pictures = [inspect(receipt, { depth: 20, maxArrayLength: Infinity }), JSON.stringify(receipt) ?? ""];
    for (const picture of pictures) {
      assert(picture.length < 1_000, `${picture.length} characters`);
      for (const part of ["payload", bytes]) assert(!picture.replaceAll(/\s+/g, " ").includes(part), picture);
    }
    await receipt;
  }
});

test("a receipt can be returned from an async function", async () => {
  await using redis = await server();
  await using streamer = await connect(redis.url);
  const producer = await streamer.createProducer("k");
  // deno-lint-ignore require-await -- the point is what the function's promise makes of a thenable
  const send = async (payload: string) => producer.send(payload);
  assertInstanceOf(await send("a"), Receipt);
  await assertRejects(() => send("bad"), RedisError);
});
