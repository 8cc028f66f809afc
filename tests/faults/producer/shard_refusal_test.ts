// Tests that a refusal for one shard holds or fails that shard alone, in order, whatever the others do.

import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import { connect, RedisError, roundRobinSharder } from "../../../mod.ts";
import { nextEvent, until } from "../../support/events.ts";
import { test } from "../../support/runner.ts";
import { freshSeed, Random } from "../../support/resp/drive.ts";
import { FakeRedis } from "../../support/producer/fake_redis.ts";
import { endingsOf } from "../../support/producer/stream_checks.ts";

const RECONNECT = { initialDelay: 1, maxDelay: 5 };
const SHARDS = 4;
const numbers = (count: number) => Array.from({ length: count }, (_, i) => i);
/** The messages, of so many in turn, that go to a shard. */
const inShard = (shard: number, count: number, from = 0) =>
  numbers(count).filter((i) => i >= from && i % SHARDS === shard).map((i) => `m${i}`);

for (const code of ["BUSY", "LOADING", "MOVED", "READONLY"]) {
  test(`${code} for one shard holds its later messages; the others continue, and then all of it follows in order`, async () => {
    let passes = false;
    let refusing = true;
    await using redis = await FakeRedis.start({
      judge: (xadd, fake) => {
        if (xadd.payload === "m1") refusing = !passes; // it is the first of each attempt, so that no attempt is refused in part
        return xadd.key === "k:1" && refusing ? `-${code} 1 127.0.0.1:1\r\n` : fake.store(xadd);
      },
    });
    await using streamer = await connect(redis.url, { reconnect: RECONNECT });
    const producer = await streamer.createProducer("k", { sharder: roundRobinSharder(SHARDS) });
    const sends = numbers(40).map((i) => [`m${i}`, producer.send(`m${i}`)] as const);
    await Promise.all(sends.filter((_, i) => i % SHARDS !== 1).map(([, receipt]) => receipt));
    sends.push(...numbers(40).map((i) => [`m${40 + i}`, producer.send(`m${40 + i}`)] as const));
    await Promise.all(sends.filter((_, i) => i % SHARDS !== 1).map(([, receipt]) => receipt));
    assertEquals(sends.filter((_, i) => i % SHARDS === 1).map(([, { outcome }]) => outcome), Array(20).fill("pending"));
    assert(producer.stats().buffered > 0);
    passes = true;
    const endings = await endingsOf(sends);
    endings.forEach((ending, i) => {
      assert("receipt" in ending);
      assertEquals(ending.receipt.shardId, i % SHARDS);
    });
    for (const shard of numbers(SHARDS)) assertEquals(redis.payloads(`k:${shard}`), inShard(shard, 80));
  });
}

for (const code of ["OOM", "WRONGTYPE", "NOPERM"]) {
  test(`${code} for one shard rejects its messages at once, and nothing else waits or fails`, async () => {
    await using redis = await FakeRedis.start({
      judge: (xadd, fake) => xadd.key === "k:2" ? `-${code} it is so\r\n` : fake.store(xadd),
    });
    await using streamer = await connect(redis.url, { reconnect: RECONNECT });
    const producer = await streamer.createProducer("k", { sharder: roundRobinSharder(SHARDS) });
    const endings = await endingsOf(numbers(40).map((i) => [`m${i}`, producer.send(`m${i}`)]));
    endings.forEach((ending, i) => {
      if (i % SHARDS !== 2) return assert("receipt" in ending);
      assert("error" in ending);
      assertInstanceOf(ending.error, RedisError);
      assertEquals([ending.error.code, ending.outcome], [code, "not-written"]);
    });
    for (const shard of [0, 1, 3]) assertEquals(redis.payloads(`k:${shard}`), inShard(shard, 40));
    assertEquals(producer.stats().resent, 0);
  });
}

test("sendTimeout ends the wait for a shard that stays refused; its messages are not written, the others are", async () => {
  await using redis = await FakeRedis.start({
    judge: (xadd, fake) => xadd.key === "k:3" ? "-CLUSTERDOWN no\r\n" : fake.store(xadd),
  });
  // So slow that no attempt is in flight at the timeout: then the outcome would be unknown.
  await using streamer = await connect(redis.url, { reconnect: { initialDelay: 10_000, maxDelay: 10_000 } });
  const producer = await streamer.createProducer("k", { sharder: roundRobinSharder(SHARDS), sendTimeout: 500 });
  const endings = await endingsOf(numbers(12).map((i) => [`m${i}`, producer.send(`m${i}`)]));
  endings.forEach((ending, i) => {
    if (i % SHARDS !== 3) return assert("receipt" in ending);
    assert("error" in ending && ending.error instanceof Error);
    assertEquals([Reflect.get(ending.error, "code"), ending.outcome], ["TIMEOUT", "not-written"]);
  });
  await producer.flush();
  assertEquals(producer.stats().buffered, 0);
});

test("a cut while one shard is held sends the unanswered messages of each shard again, in order", async () => {
  let passes = false;
  let refusing = true;
  let cut = false;
  await using redis = await FakeRedis.start({
    judge: async (xadd, fake) => {
      if (xadd.payload === "m0") refusing = !passes; // it is the first of each attempt, so that no attempt is refused in part
      if (xadd.key === "k:0" && refusing) return "-TRYAGAIN later\r\n";
      if (xadd.payload === "m9" && !cut) {
        cut = true;
        return await xadd.cut({ gently: true });
      }
      return fake.store(xadd);
    },
  });
  await using streamer = await connect(redis.url, { reconnect: RECONNECT });
  const producer = await streamer.createProducer("k", { sharder: roundRobinSharder(SHARDS) });
  const lost = nextEvent(streamer, "disconnect");
  const sends = numbers(20).map((i) => [`m${i}`, producer.send(`m${i}`)] as const);
  await lost;
  sends.push(...numbers(20).map((i) => [`m${20 + i}`, producer.send(`m${20 + i}`)] as const));
  await until(() => redis.payloads("k:1").includes("m37"));
  passes = true;
  const endings = await endingsOf(sends);
  assert(endings.every((ending) => "receipt" in ending));
  for (const shard of numbers(SHARDS)) assertEquals([...new Set(redis.payloads(`k:${shard}`))], inShard(shard, 40));
});

const seed = freshSeed();
for (const delivery of ["at-least-once", "at-most-once"] as const) {
  test(`${delivery}: any mix of stored, refused and cut keeps each shard's order and promises (seed ${seed})`, async () => {
    const random = new Random(seed);
    let quiet = false;
    let count = 0;
    let cuts = 0;
    // Shards that the current connection has refused a message for: a stored message of these shards must be answered,
    // or the client cannot know that the refused one has lost its place.
    let refusing = new Set<string>();
    await using redis = await FakeRedis.start({
      judge: async (xadd, fake) => {
        const dice = quiet ? 99 : ++count % 40 === 0 ? 20 + random.below(3) : random.below(100);
        if (dice < 15) {
          refusing.add(xadd.key);
          return "-TRYAGAIN later\r\n";
        }
        if (dice < 18) return "-OOM no\r\n";
        if (dice >= 20 && dice < 23) {
          cuts++;
          if (dice > 20 && !refusing.has(xadd.key)) fake.store(xadd); // it ran, and its reply is lost
          refusing = new Set();
          return await xadd.cut({ gently: true });
        }
        return fake.store(xadd);
      },
    });
    await using streamer = await connect(redis.url, { reconnect: RECONNECT });
    const producer = await streamer.createProducer("k", { delivery, sharder: roundRobinSharder(SHARDS) });
    const sends = numbers(160).map((i) => [`m${i}`, producer.send(`m${i}`)] as const);
    const timer = setTimeout(() => quiet = true, 1_000);
    const endings = await endingsOf(sends);
    clearTimeout(timer);
    for (const shard of numbers(SHARDS)) {
      const stored = redis.payloads(`k:${shard}`);
      const firsts = [...new Set(stored)];
      assertEquals(
        firsts,
        inShard(shard, 160).filter((payload) => firsts.includes(payload)),
        "first occurrences ascend",
      );
      if (delivery === "at-most-once") assertEquals(firsts.length, stored.length);
      for (const ending of endings.filter((_, i) => i % SHARDS === shard)) {
        if ("receipt" in ending) {
          const entry = redis.streams.get(`k:${shard}`)?.find(({ id }) => id === ending.receipt.id);
          assertEquals([ending.receipt.shardId, entry?.payload], [shard, ending.payload]);
        } else if (ending.outcome === "not-written") assert(!stored.includes(ending.payload), ending.payload);
        else assertEquals(ending.outcome, "unknown");
      }
    }
    assert(cuts > 0);
    assertEquals(producer.stats().buffered, 0);
  });
}
