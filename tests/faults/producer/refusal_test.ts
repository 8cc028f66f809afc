// Tests that temporary refusals are retried in order, and the fate of messages that cannot keep their place, for all
// patterns of refused and stored ones of up to five messages on two keys.

import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import { setTimeout as sleep } from "node:timers/promises";
import { connect, RedisError } from "../../../mod.ts";
import { until } from "../../support/events.ts";
import { test } from "../../support/runner.ts";
import { FakeRedis, type Xadd } from "../../support/producer/fake_redis.ts";
import { type Ending, endingsOf } from "../../support/producer/stream_checks.ts";

const RETRIED = ["MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN", "LOADING", "BUSY", "MASTERDOWN", "READONLY"];
const FINAL = ["OOM", "WRONGTYPE", "NOPERM", "ERR", "NOREPLICAS", "MISCONF", "NOAUTH", "STALE"];
const RECONNECT = { initialDelay: 1, maxDelay: 5 };

/** The key of each message, and which of them are refused in the first flight. */
interface Pattern {
  readonly name: string;
  readonly keys: readonly string[];
  readonly refused: readonly boolean[];
}

function* patterns(): Generator<Pattern> {
  for (let length = 1; length <= 5; length++) {
    for (let keys = 0; keys < 1 << length; keys++) {
      if (keys & 1) continue; // the other key for the first message gives the same pattern
      for (let refused = 0; refused < 1 << length; refused++) {
        const name = `p${length}-${keys}-${refused}`;
        const bits = Array.from({ length }, (_, i) => i);
        yield {
          name,
          keys: bits.map((i) => `${name}${keys >> i & 1 ? "b" : "a"}`),
          refused: bits.map((i) => (refused >> i & 1) === 1),
        };
      }
    }
  }
}

/** Reads so many messages before it answers the first, so that all of them are in flight at once. */
class OneFlight {
  #left: number;
  #replies: string[] = [];

  constructor(size: number) {
    this.#left = size;
  }

  async take({ peer }: Xadd, reply: string): Promise<string | undefined> {
    if (this.#left === 0) return reply;
    this.#replies.push(reply);
    if (--this.#left === 0) await peer.send(this.#replies.join(""));
    return undefined;
  }
}

function checkPattern({ name, keys, refused }: Pattern, endings: readonly Ending[], redis: FakeRedis): void {
  for (const key of new Set(keys)) {
    const own = keys.flatMap((other, i) => other === key ? [i] : []);
    const lastStored = own.findLast((i) => !refused[i]) ?? -1;
    const overtaken = own.filter((i) => refused[i] && i < lastStored);
    const stays = own.filter((i) => !overtaken.includes(i));
    assertEquals(redis.payloads(key), stays.map((i) => `${name}/${i}`), "stored once each, in the order of the calls");
    for (const i of own) {
      const ending = endings[i];
      if (!overtaken.includes(i)) {
        assert("receipt" in ending, `${ending.payload} must be acked`);
        assertEquals([ending.receipt.streamKey, ending.receipt.shardId], [key, 0]);
        continue;
      }
      assert("error" in ending, `${ending.payload} was overtaken and must not be retried`);
      assertInstanceOf(ending.error, RedisError);
      assertEquals([ending.error.code, ending.error.command, ending.outcome], ["LOADING", "XADD", "not-written"]);
    }
  }
}

test("every pattern of refused and stored messages in one flight keeps the order; overtaken ones reject as not written", async () => {
  const seen = new Set<string>();
  let flight = new OneFlight(0);
  const all = [...patterns()];
  const refused = new Map<string, boolean>(
    all.flatMap(({ name, refused }) => refused.map((is, i) => [`${name}/${i}`, is] as const)),
  );
  await using redis = await FakeRedis.start({
    judge: (xadd, fake) => {
      const again = seen.has(xadd.payload);
      seen.add(xadd.payload);
      return flight.take(xadd, !again && refused.get(xadd.payload) ? "-LOADING not yet\r\n" : fake.store(xadd));
    },
  });
  await using streamer = await connect(redis.url, { reconnect: RECONNECT });
  const producer = await streamer.createGenericProducer();
  // Many patterns share a flight: their keys are their own.
  for (let at = 0; at < all.length; at += 100) {
    const group = all.slice(at, at + 100);
    flight = new OneFlight(group.reduce((sum, { keys }) => sum + keys.length, 0));
    const sends = group.map(({ name, keys }) =>
      keys.map((key, i) => [`${name}/${i}`, producer.sendTo(key, `${name}/${i}`)] as const)
    );
    const endings = await Promise.all(sends.map(endingsOf));
    group.forEach((pattern, i) => checkPattern(pattern, endings[i], redis));
  }
  await producer.flush();
  assertEquals(all.length, 682);
});

for (const code of RETRIED) {
  test(`${code} is retried, in order, until it passes`, async () => {
    const tries = new Map<string, number>();
    await using redis = await FakeRedis.start({
      judge: (xadd, fake) => {
        const count = (tries.get(xadd.payload) ?? 0) + 1;
        tries.set(xadd.payload, count);
        return count <= 3 ? `-${code} 1 127.0.0.1:1\r\n` : fake.store(xadd);
      },
    });
    await using streamer = await connect(redis.url, { reconnect: RECONNECT });
    const producer = await streamer.createProducer("k");
    const payloads = ["a", "b", "c", "d"];
    const endings = await endingsOf(payloads.map((payload) => [payload, producer.send(payload)]));
    assert(endings.every((ending) => "receipt" in ending));
    assertEquals(redis.payloads("k"), payloads);
    assert(producer.stats().resent >= 3);
    assertEquals(producer.stats().failed, 0);
  });
}

test("a redirection by a server outside of a cluster is never followed", async () => {
  await using elsewhere = await FakeRedis.start();
  const { port } = elsewhere.server;
  let refusals = 0;
  await using redis = await FakeRedis.start({
    judge: (xadd, fake) =>
      refusals++ < 3 ? `-${refusals % 2 ? "MOVED" : "ASK"} 5061 127.0.0.1:${port}\r\n` : fake.store(xadd),
  });
  await using streamer = await connect(redis.url, { reconnect: RECONNECT });
  const producer = await streamer.createProducer("k");
  await producer.send("a");
  assertEquals([redis.payloads("k"), elsewhere.server.peers.length], [["a"], 0]);
});

for (const code of FINAL) {
  test(`${code} rejects at once, as not written, and later messages are stored`, async () => {
    await using redis = await FakeRedis.start({
      judge: (xadd, fake) => xadd.payload === "b" ? `-${code} it is so\r\n` : fake.store(xadd),
    });
    await using streamer = await connect(redis.url, { reconnect: RECONNECT });
    const producer = await streamer.createProducer("k");
    const endings = await endingsOf(["a", "b", "c"].map((payload) => [payload, producer.send(payload)]));
    assert("receipt" in endings[0] && "error" in endings[1] && "receipt" in endings[2]);
    assertInstanceOf(endings[1].error, RedisError);
    const { code: got, command, message, outcome } = endings[1].error;
    assertEquals([got, command, message, outcome], [code, "XADD", `${code} it is so`, "not-written"]);
    assertEquals(redis.added.map(({ payload }) => payload), ["a", "b", "c"]);
  });
}

test("while a key is held its later sends wait, and other keys continue", async () => {
  let loading = true;
  await using redis = await FakeRedis.start({
    judge: (xadd, fake) => xadd.key === "held" && loading ? "-LOADING not yet\r\n" : fake.store(xadd),
  });
  await using streamer = await connect(redis.url, { reconnect: RECONNECT });
  const producer = await streamer.createGenericProducer();
  const first = producer.sendTo("held", "h0");
  await producer.sendTo("free", "f0");
  const later = Array.from({ length: 20 }, (_, i) => producer.sendTo("held", `h${i + 1}`));
  await producer.sendTo("free", "f1");
  assertEquals([first, ...later].map(({ outcome }) => outcome), Array(21).fill("pending"));
  loading = false;
  await Promise.all([first, ...later]);
  assertEquals(redis.payloads("held"), Array.from({ length: 21 }, (_, i) => `h${i}`));
  assertEquals(redis.payloads("free"), ["f0", "f1"]);
});

test("a held key is retried a few times a second, not in a loop, and never with more than it has to send", async () => {
  let tries = 0;
  let loading = true;
  await using redis = await FakeRedis.start({
    judge: (xadd, fake) => loading ? (tries++, "-LOADING not yet\r\n") : fake.store(xadd),
  });
  await using streamer = await connect(redis.url); // the default delays
  const producer = await streamer.createProducer("k");
  const began = performance.now();
  const receipt = producer.send("a");
  await sleep(400);
  // 50 ms at least, ± a fifth, between two attempts.
  assert(tries >= 1 && tries <= 2 + (performance.now() - began) / 40, `${tries} tries`);
  const before = tries;
  loading = false;
  await receipt;
  assertEquals([tries, redis.payloads("k")], [before, ["a"]]);
});

test("a refused key is retried with one message at a time, however many wait", async () => {
  let tries = 0;
  let loading = true;
  await using redis = await FakeRedis.start({
    judge: (xadd, fake) => loading ? (tries++, "-LOADING not yet\r\n") : fake.store(xadd),
  });
  await using streamer = await connect(redis.url);
  const producer = await streamer.createGenericProducer();
  const payloads = Array.from({ length: 200 }, (_, i) => `${i}`);
  const receipts = payloads.map((payload, i) => producer.sendTo(`k${i % 4}`, payload));
  await until(() => tries >= 206);
  assert(producer.stats().inFlight <= 1);
  loading = false;
  await Promise.all(receipts.map((receipt) => receipt.then()));
  assert(tries < 220, `${tries} tries`); // the first write, and then one message after another, of whichever key
  for (let k = 0; k < 4; k++) assertEquals(redis.payloads(`k${k}`), payloads.filter((_, i) => i % 4 === k));
});

test("a permanent refusal ends at sendTimeout: TIMEOUT, not written, with the server's error as its cause", async () => {
  await using redis = await FakeRedis.start({ judge: () => "-READONLY You can't write\r\n" });
  // So slow that no attempt is in flight at the timeout: then the outcome would be unknown.
  await using streamer = await connect(redis.url, { reconnect: { initialDelay: 10_000, maxDelay: 10_000 } });
  const producer = await streamer.createProducer("k", { sendTimeout: 500 }); // long enough for the connection and one attempt
  const endings = await endingsOf(["a", "b"].map((payload) => [payload, producer.send(payload)]));
  for (const ending of endings) {
    assert("error" in ending && ending.error instanceof Error);
    assertEquals([Reflect.get(ending.error, "code"), ending.outcome], ["TIMEOUT", "not-written"]);
    assertInstanceOf(ending.error.cause, RedisError);
    assertEquals(ending.error.cause.code, "READONLY");
  }
});
