// Tests that a message which makes the server close the connection fails alone: the others are stored, in order and
// hardly twice. A scripted server closes for payloads that say so.

import { assert, assertEquals } from "@std/assert";
import { connect, keyHashSharder } from "../../../mod.ts";
import { until } from "../../support/events.ts";
import { test } from "../../support/runner.ts";
import { FakeRedis, type Xadd } from "../../support/producer/fake_redis.ts";
import {
  checkUndeliverable,
  failureOf,
  KEY,
  once,
  poisonable,
  RECONNECT,
  sendAll,
} from "../../support/producer/poison.ts";
import { type Ending, endingsOf } from "../../support/producer/stream_checks.ts";

const isPoison = ({ payload }: Ending) => payload.startsWith("poison");

/** The XADDs of each connection, in order. */
function flights(redis: FakeRedis): Xadd[][] {
  const connections = [...new Set(redis.added.map(({ connection }) => connection))];
  return connections.map((connection) => redis.added.filter((xadd) => xadd.connection === connection));
}

const PAYLOADS = Array.from({ length: 100 }, (_, i) => i === 40 ? "poison" : `m${i}`);

test("one message that the server closes for fails alone, at the tenth cut; all others are stored in order", async () => {
  await using redis = await poisonable();
  const endings = await sendAll(redis, PAYLOADS);
  endings.filter(isPoison).forEach(checkUndeliverable);
  for (const ending of endings) {
    if (isPoison(ending)) continue;
    assert("receipt" in ending, ending.payload);
    assertEquals(redis.streams.get(KEY)?.find(({ id }) => id === ending.receipt.id)?.payload, ending.payload);
  }
  assertEquals(once(redis.streams.get(KEY)), ["first", ...PAYLOADS.filter((payload) => payload !== "poison"), "last"]);
  // Each time some messages may have been stored whose replies were lost with the connection.
  const stored = redis.payloads(KEY).length;
  assert(stored <= 101 + 2 * 40, `${stored} entries for 101 messages`);
});

test("after the second cut with the same head messages are in flight one at a time, and after a PING", async () => {
  await using redis = await poisonable();
  await sendAll(redis, ["poison", "a", "b", "c"]);
  const sent = flights(redis);
  const poisoned = sent.slice(0, 10); // the first connection also had the earlier messages
  assertEquals(poisoned.map((flight) => flight.at(-1)?.payload), Array(10).fill("poison"));
  for (const [{ peer }] of poisoned.slice(1, 2)) assert(!peer.commands.some(([name]) => name === "PING"));
  for (const [{ peer }] of poisoned.slice(2)) {
    const names = peer.commands.map((words) => words.slice(0, 2).join(" ")).filter((name) =>
      /KILL|PING|XADD/.test(name)
    );
    assertEquals(
      names,
      ["CLIENT KILL", "PING", `XADD ${KEY}`],
      "the fence first, then a sign of life, then one message",
    );
  }
  assertEquals(redis.kills.map(([, id]) => id), poisoned.map(([{ connection }]) => `${100 + connection}`));
  assertEquals(redis.payloads(KEY), ["first", "a", "b", "c", "last"]);
});

test("several such messages, adjacent and apart, each fail alone", async () => {
  await using redis = await poisonable();
  const payloads = Array.from({ length: 60 }, (_, i) => [0, 1, 2, 30, 59].includes(i) ? `poison${i}` : `m${i}`);
  const endings = await sendAll(redis, payloads);
  endings.filter(isPoison).forEach(checkUndeliverable);
  assert(endings.every((ending) => isPoison(ending) || "receipt" in ending));
  const good = payloads.filter((payload) => !payload.startsWith("poison"));
  assertEquals(once(redis.streams.get(KEY)), ["first", ...good, "last"]);
});

test("messages sent meanwhile wait for their turn and are stored after it", async () => {
  await using redis = await poisonable();
  await using streamer = await connect(redis.url, { reconnect: RECONNECT });
  const producer = await streamer.createProducer(KEY);
  const poison = producer.send("poison");
  const sends = [];
  for (let i = 0; poison.outcome === "pending"; i++) {
    sends.push([`m${i}`, producer.send(`m${i}`)] as const);
    await new Promise((resolve) => setTimeout(resolve, 1)); // between the cuts, so that some are sent during the isolation
  }
  const endings = await endingsOf([["poison", poison], ...sends]);
  checkUndeliverable(endings[0]);
  assert(endings.slice(1).every((ending) => "receipt" in ending));
  assertEquals(once(redis.streams.get(KEY)), sends.map(([payload]) => payload));
});

test("other keys and shards of the same pipeline keep their messages and their orders", async () => {
  await using redis = await poisonable();
  await using streamer = await connect(redis.url, { reconnect: RECONNECT });
  const producer = await streamer.createGenericProducer({ sharder: keyHashSharder(4) });
  const sends = Array.from({ length: 120 }, (_, i) => {
    const streamKey = `s${i % 3}`;
    const payload = i === 50 ? "poison" : `m${i}`;
    const headers = i % 4 === 0 ? { trace: `t${i}` } : undefined;
    return { streamKey, payload, receipt: producer.sendTo(streamKey, payload, { key: `${i % 7}`, headers }) };
  });
  const endings = await endingsOf(sends.map(({ payload, receipt }) => [payload, receipt]));
  endings.filter(isPoison).forEach(checkUndeliverable);
  assert(endings.every((ending) => isPoison(ending) || "receipt" in ending));
  for (const [key, entries] of redis.streams) {
    const called = endings.flatMap((ending, i) =>
      "receipt" in ending && `${sends[i].streamKey}:${ending.receipt.shardId}` === key ? [ending.payload] : []
    );
    assertEquals(once(entries), called, key);
  }
});

test("a header that closes the connection fails its message alone too", async () => {
  await using redis = await FakeRedis.start({
    judge: (xadd, fake) => xadd.words.includes("too much") ? xadd.cut() : fake.store(xadd),
  });
  await using streamer = await connect(redis.url, { reconnect: RECONNECT });
  const producer = await streamer.createProducer(KEY);
  const endings = await endingsOf(
    ["a", "b", "c"].map((payload) => {
      return [payload, producer.send(payload, payload === "b" ? { headers: { h: "too much" } } : undefined)] as const;
    }),
  );
  checkUndeliverable(endings[1]);
  assertEquals(once(redis.streams.get(KEY)), ["a", "c"]);
});

test("at-most-once: each is sent once, so messages in flight with it are ambiguous, and the rest is stored", async () => {
  await using redis = await poisonable();
  await using streamer = await connect(redis.url, { reconnect: RECONNECT });
  const producer = await streamer.createProducer(KEY, { delivery: "at-most-once" });
  for (const round of [1, 2, 3]) {
    const sends = ["a", `poison`, "b"].map((payload) => [payload, producer.send(`${payload}${round}`)] as const);
    const endings = await endingsOf(sends);
    for (const ending of endings.slice(1)) assertEquals(failureOf(ending).code, "AMBIGUOUS");
    await producer.send(`c${round}`);
  }
  const sent = redis.added.map(({ payload }) => payload);
  assertEquals(new Set(sent).size, sent.length, "nothing is sent twice");
  assertEquals(redis.payloads(KEY).filter((payload) => payload.startsWith("c")), ["c1", "c2", "c3"]);
});

for (const delivery of ["at-least-once", "at-most-once"] as const) {
  test(`${delivery}: a server that says it stops reading has not stored later messages: they are sent again`, async () => {
    await using redis = await FakeRedis.start({
      judge: async (xadd, fake) => {
        if (xadd.payload !== "bad") return fake.store(xadd);
        await xadd.peer.send("-ERR Protocol error: invalid bulk length\r\n");
        return await xadd.cut({ gently: true });
      },
    });
    await using streamer = await connect(redis.url, { reconnect: RECONNECT });
    const producer = await streamer.createProducer(KEY, { delivery });
    const endings = await endingsOf(["a", "bad", "b", "c"].map((payload) => [payload, producer.send(payload)]));
    const [bad] = endings.splice(1, 1);
    const { code, outcome } = failureOf(bad);
    assertEquals([code, outcome], ["ERR", "not-written"]);
    assert(endings.every((ending) => "receipt" in ending));
    assertEquals(redis.payloads(KEY), ["a", "b", "c"]);
  });
}

test("after the suspects are cleared a producer sends many at a time again", async () => {
  await using redis = await poisonable();
  await using streamer = await connect(redis.url, { reconnect: RECONNECT });
  const producer = await streamer.createProducer(KEY);
  await endingsOf(["poison", "a", "b"].map((payload) => [payload, producer.send(payload)]));
  let most = 0;
  const receipts = Array.from({ length: 50 }, (_, i) => producer.send(`m${i}`));
  for (let turn = 0; turn < 20 && most <= 1; turn++) {
    most = Math.max(most, producer.stats().inFlight);
    await Promise.resolve();
  }
  assertEquals(most, 50);
  await Promise.all(receipts);
});

test("a suspect that is taken back, or whose stream is refused for now, delays no other message", async () => {
  let loading = true;
  await using redis = await FakeRedis.start({
    judge: (xadd, fake) => {
      if (xadd.payload === "poison") return xadd.cut();
      return xadd.key === "slow" && loading ? "-LOADING not yet\r\n" : fake.store(xadd);
    },
  });
  await using streamer = await connect(redis.url, { reconnect: RECONNECT });
  const producer = await streamer.createGenericProducer();
  const controller = new AbortController();
  const sends = [
    ["poison", producer.sendTo(KEY, "poison")],
    ["slow1", producer.sendTo("slow", "slow1")],
    ["slow2", producer.sendTo("slow", "slow2")],
    ["a", producer.sendTo(KEY, "a")],
  ] as const;
  const endings = endingsOf(sends);
  producer.sendTo(KEY, "b", { signal: controller.signal }).catch(() => {});
  await until(() => redis.added.length > 2);
  controller.abort(new Error("no more"));
  await producer.sendTo(KEY, "c");
  assertEquals(sends[1][1].outcome, "pending");
  loading = false;
  const [poison, slow1, slow2, a] = await endings;
  checkUndeliverable(poison);
  assert("receipt" in slow1 && "receipt" in slow2 && "receipt" in a);
  assertEquals(once(redis.streams.get("slow")), ["slow1", "slow2"]);
});
