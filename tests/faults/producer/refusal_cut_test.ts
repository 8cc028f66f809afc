// Tests cuts during refusals: which messages are refused, which are unknown, which are sent again.

import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import { connect, type Delivery, RedisError, StreamerError } from "../../../mod.ts";
import { nextEvent } from "../../support/events.ts";
import { test } from "../../support/runner.ts";
import { FakeRedis } from "../../support/producer/fake_redis.ts";
import { type Ending, endingsOf } from "../../support/producer/stream_checks.ts";
import { freshSeed, Random } from "../../support/resp/drive.ts";

const RECONNECT = { initialDelay: 1, maxDelay: 5 };

/** Refuses the first message, does not answer the second, and cuts. After that it works. */
async function refusedThenCut(delivery: Delivery) {
  let cut = false;
  await using redis = await FakeRedis.start({
    judge: async (xadd, fake) => {
      if (cut) return fake.store(xadd);
      if (xadd.payload === "m0") return "-LOADING not yet\r\n";
      cut = true;
      return await xadd.cut({ gently: true }); // the refusal of m0 arrives
    },
  });
  await using streamer = await connect(redis.url, { reconnect: RECONNECT });
  const producer = await streamer.createProducer("k", { delivery, sendTimeout: 3_000 });
  const sends = ["m0", "m1"].map((payload) => [payload, producer.send(payload)] as const);
  const endings = await endingsOf(sends);
  const later = await endingsOf([["m2", producer.send("m2")]]);
  return { endings: [...endings, ...later], stored: redis.payloads("k") };
}

test("at-least-once: refused messages and cut ones are both sent again, in order", async () => {
  const { endings, stored } = await refusedThenCut("at-least-once");
  assert(endings.every((ending) => "receipt" in ending));
  assertEquals(stored, ["m0", "m1", "m2"]);
});

test("at-most-once: refused messages are sent again, cut ones are ambiguous, and later sends continue", async () => {
  const { endings, stored } = await refusedThenCut("at-most-once");
  assert("receipt" in endings[0], "m0 was refused only: nothing keeps it from being sent again");
  assert("error" in endings[1] && endings[1].error instanceof StreamerError);
  assertEquals([endings[1].error.code, endings[1].outcome], ["AMBIGUOUS", "unknown"]);
  assert("receipt" in endings[2]);
  assertEquals(stored, ["m0", "m2"]);
});

test("a message in flight at a cut that is refused permanently later stays unknown", async () => {
  let cut = false;
  await using redis = await FakeRedis.start({
    judge: async (xadd) => {
      if (cut) return "-OOM no\r\n";
      cut = true;
      return await xadd.cut();
    },
  });
  await using streamer = await connect(redis.url, { reconnect: RECONNECT });
  const producer = await streamer.createProducer("k");
  const [ending] = await endingsOf([["a", producer.send("a")]]);
  assert("error" in ending);
  assertInstanceOf(ending.error, RedisError);
  assertEquals([ending.error.code, ending.error.outcome, ending.outcome], ["OOM", "unknown", "unknown"]);
});

test("a message in flight at a cut that cannot be sent again in time stays unknown", async () => {
  await using redis = await FakeRedis.start({
    judge: (xadd) => xadd.cut(),
    greet: (peer, index) => index > 1 ? peer.cut() : undefined, // no connection is accepted again
  });
  await using streamer = await connect(redis.url, { reconnect: RECONNECT });
  const producer = await streamer.createProducer("k", { sendTimeout: 100 });
  const [ending] = await endingsOf([["a", producer.send("a")]]);
  assert("error" in ending && ending.error instanceof StreamerError);
  assertEquals([ending.error.code, ending.outcome], ["TIMEOUT", "unknown"]);
});

test("overtaken messages each have their own outcome: unknown for those in flight at an earlier cut", async () => {
  let flight = 0;
  const held: string[] = [];
  await using redis = await FakeRedis.start({
    judge: async (xadd, fake) => {
      if (flight === 0) {
        flight = 1;
        return await xadd.cut(); // m0: unknown
      }
      if (flight > 1) return fake.store(xadd);
      held.push(xadd.payload === "m2" ? fake.store(xadd) : "-LOADING not yet\r\n");
      if (held.length < 3) return undefined; // all three are in flight at once
      flight = 2;
      return held.join("");
    },
  });
  await using streamer = await connect(redis.url, { reconnect: { initialDelay: 20 } });
  const producer = await streamer.createProducer("k");
  const lost = nextEvent(streamer, "disconnect");
  const doubtful = producer.send("m0");
  await lost;
  const endings = await endingsOf([["m0", doubtful], ["m1", producer.send("m1")], ["m2", producer.send("m2")]]);
  assertEquals(endings.map((ending) => "error" in ending ? ending.outcome : "acked"), [
    "unknown",
    "not-written",
    "acked",
  ]);
  for (const ending of endings.slice(0, 2)) {
    assert("error" in ending);
    assertInstanceOf(ending.error, RedisError);
    assertEquals(ending.error.code, "LOADING");
  }
  assertEquals(redis.payloads("k"), ["m2"]);
});

interface Known {
  /** The payloads of the stream. */
  readonly stored: readonly string[];
  /** Whether the stream has the message under that id. */
  readonly isStored: (id: string) => boolean | undefined;
  readonly delivery: Delivery;
  readonly refusedForGood: ReadonlySet<string>;
}

/** Fails unless the outcome of a send agrees with the server's stream. */
function assertExplained(ending: Ending, { stored, isStored, delivery, refusedForGood }: Known): void {
  const times = stored.filter((payload) => payload === ending.payload).length;
  if (delivery === "at-most-once") assert(times <= 1, `${ending.payload} stands ${times} times`);
  if ("receipt" in ending) return assert(isStored(ending.receipt.id));
  if (ending.outcome === "not-written") return assertEquals(times, 0, ending.payload);
  assertEquals(ending.outcome, "unknown");
  if (delivery === "at-least-once") assert(refusedForGood.has(ending.payload) || ending.error instanceof RedisError);
}

const seed = freshSeed();
for (const delivery of ["at-least-once", "at-most-once"] as const) {
  test(`${delivery}: any mix of stored, refused for now, refused permanently and cut keeps order and promises (seed ${seed})`, async () => {
    const random = new Random(seed);
    let quiet = false;
    let cuts = 0;
    let count = 0;
    const refusedForGood = new Set<string>();
    // Keys that the current connection has refused a message for: a stored message of these keys must be answered, or
    // the client cannot know that the refused one has lost its place.
    let refusing = new Set<string>();
    await using redis = await FakeRedis.start({
      judge: async (xadd, fake) => {
        const dice = quiet ? 99 : ++count % 25 === 0 ? 20 + random.below(3) : random.below(100);
        if (dice < 15) {
          refusing.add(xadd.key);
          return "-TRYAGAIN later\r\n";
        }
        if (dice < 20) {
          refusedForGood.add(xadd.payload);
          return "-OOM no\r\n";
        }
        if (dice < 23) {
          cuts++;
          if (dice > 20 && !refusing.has(xadd.key)) fake.store(xadd); // it ran, and its reply is lost
          refusing = new Set();
          return await xadd.cut({ gently: true });
        }
        return fake.store(xadd);
      },
    });
    await using streamer = await connect(redis.url, { reconnect: RECONNECT });
    const producer = await streamer.createGenericProducer({ delivery });
    const keys = ["a", "b", "c"];
    const sends = Array.from({ length: 120 }, (_, i) => {
      const key = random.of(keys);
      const payload = `${key}${i}`;
      return { key, send: [payload, producer.sendTo(key, payload)] as const };
    });
    const all = endingsOf(sends.map(({ send }) => send));
    const timer = setTimeout(() => quiet = true, 1_000);
    const endings = await all;
    clearTimeout(timer);
    for (const key of keys) {
      const called = sends.filter((send) => send.key === key).map(({ send }) => send[0]);
      const own = endings.filter(({ payload }) => called.includes(payload));
      const stored = redis.payloads(key);
      const firsts = [...new Set(stored)];
      assertEquals(firsts, called.filter((payload) => firsts.includes(payload)), "first occurrences ascend");
      for (const ending of own) {
        const isStored = (id: string) =>
          redis.streams.get(key)?.some((one) => one.id === id && one.payload === ending.payload);
        assertExplained(ending, { stored, isStored, delivery, refusedForGood });
      }
    }
    assert(cuts > 0);
  });
}
