// Tests producers whose messages the server remembers (Redis 8.6): against a scripted server, and a real one if the run has one.

import { assert, assertEquals, assertLessOrEqual, assertRejects } from "@std/assert";
import { connect, type ProducerOptions, StreamerError } from "../../../mod.ts";
import { knowsIdempotency } from "../../../streamer/producer/ids/idempotency.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { startProxy } from "../../support/network/proxy.ts";
import { PROXIED } from "../../support/one_server.ts";
import { startRemembering } from "../../support/producer/remembering_redis.ts";
import { checkExactlyOnce, sendMany } from "../../support/producer/single_writer.ts";
import { endingsOf, entriesOf } from "../../support/producer/stream_checks.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();
const isKnown = server.isRedis && server.atLeast("8.6.0");
const EXACTLY: ProducerOptions = { delivery: "exactly-once" };
const RECONNECT = { initialDelay: 1, maxDelay: 5 };

test("the version of a server decides", () => {
  for (const name of ["redis 8.6.0", "redis 8.10.1", "redis 9.0.0", "redis 10.2.0"]) {
    assert(knowsIdempotency(name), name);
  }
  for (
    const name of ["redis 8.5.9", "redis 8.0.6", "redis 7.0.15", "valkey 9.1.2", "valkey 10.0.0", "dragonfly 8.6.0"]
  ) {
    assert(!knowsIdempotency(name), name);
  }
});

test("another server rejects the creation with UNSUPPORTED, and the error names singleWriter", async () => {
  if (isKnown) return;
  await using streamer = await connect(server.url);
  const error = await assertRejects(() => streamer.createProducer("k", EXACTLY), StreamerError);
  assertEquals(error.code, "UNSUPPORTED");
  assert(/singleWriter/.test(error.message), error.message);
});

test("options that do not fit each other are refused", async () => {
  const { redis } = await startRemembering();
  await using _ = redis;
  await using streamer = await connect(redis.url);
  const codeOf = async (options: ProducerOptions) =>
    await streamer.createProducer("k", options).then(() => undefined, ({ code }) => code);
  assertEquals(await codeOf({ producerId: "billing" }), "INVALID_OPTION");
  assertEquals(await codeOf({ ...EXACTLY, singleWriter: true, producerId: "billing" }), "INVALID_OPTION");
  for (const producerId of ["", "x".repeat(129), "é", "a\n"]) {
    assertEquals(await codeOf({ ...EXACTLY, producerId }), "INVALID_OPTION", JSON.stringify(producerId));
  }
  await using nanoseconds = await connect(redis.url, { timestampFormat: "nanoseconds" });
  assertEquals(await nanoseconds.createProducer("k", EXACTLY).catch(({ code }) => code), "INVALID_OPTION");
  const plain = await streamer.createProducer("k", EXACTLY);
  const named = await streamer.createProducer("k", { ...EXACTLY, producerId: "billing" });
  const other = await streamer.createProducer("k");
  const sends = [
    plain.send("x", { timestamp: new Date() }),
    plain.send("x", { idempotencyKey: "a" }),
    other.send("x", { idempotencyKey: "a" }),
    named.send("x", { idempotencyKey: "" }),
    named.send("x", { idempotencyKey: "é".repeat(129) }),
  ];
  for (const send of sends) {
    const error = await assertRejects(() => Promise.resolve(send), StreamerError);
    assertEquals([error.code, error.outcome], ["INVALID_OPTION", "not-written"], error.message);
  }
  assertEquals(redis.added.length, 0);
});

test("each message has a number of its own in its command, and the server chooses the id", async () => {
  const { redis } = await startRemembering();
  await using _ = redis;
  await using streamer = await connect(redis.url);
  const producer = await streamer.createProducer("k", { ...EXACTLY, maxLength: 1_000 });
  for (let i = 0; i < 12; i++) await producer.send(`m${i}`, i === 3 ? { headers: { a: "b" } } : {});
  const name = redis.added[0].words[redis.added[0].words.indexOf("IDMP") + 1];
  assert(/^[0-9a-f]{32}$/.test(name), name);
  for (const [i, { words }] of redis.added.entries()) {
    const rest = i === 3 ? ["msg", "m3", "a", "b"] : ["msg", `m${i}`];
    const trim = ["MAXLEN", "~", "1000"];
    assertEquals(words, ["XADD", "k", ...trim, "IDMP", name, String(i), "*", ...rest]);
  }
});

test("messages whose replies are lost are sent again, and the server stores none twice", async () => {
  const seen = await startRemembering({
    judge: (_xadd, count) => count % 37 === 20 ? "stored" : count % 41 === 9 ? "cut" : undefined,
  });
  await using _ = seen.redis;
  await using streamer = await connect(seen.redis.url, { reconnect: RECONNECT });
  const producer = await streamer.createProducer("k", EXACTLY);
  const payloads = Array.from({ length: 400 }, (_, i) => `m${i}`);
  const endings = await endingsOf(payloads.map((payload) => [payload, producer.send(payload)] as const));
  checkExactlyOnce((seen.redis.streams.get("k") ?? []).map((entry) => ({ ...entry, fields: [] })), endings);
  assert(seen.duplicates > 0);
}, { timeout: 40_000 });

test("no more messages of a stream are in flight than the server remembers", async () => {
  let most = 0;
  const seen = await startRemembering({ maxSize: 7 });
  await using _ = seen.redis;
  await using proxy = await startProxy(seen.redis.server);
  await using streamer = await connect(proxy.url, { reconnect: RECONNECT });
  const producer = await streamer.createProducer("k", EXACTLY);
  const sends = Array.from({ length: 500 }, (_, i) => [`m${i}`, producer.send(`m${i}`)] as const);
  const timer = setInterval(() => most = Math.max(most, producer.stats().inFlight), 0);
  const all = endingsOf(sends);
  for (let round = 0; round < 5; round++) {
    proxy.toClient.hold();
    const { received } = proxy.toClient;
    await until(() => proxy.toClient.received > received || producer.stats().buffered === 0);
    most = Math.max(most, producer.stats().inFlight);
    await proxy.cut();
    proxy.toClient.release();
  }
  const endings = await all.finally(() => clearInterval(timer));
  checkExactlyOnce((seen.redis.streams.get("k") ?? []).map((entry) => ({ ...entry, fields: [] })), endings);
  assertLessOrEqual(most, 7);
  assert(most > 1, `${most} in flight`);
}, { timeout: 40_000 });

test("a message in doubt for longer than the server remembers rejects AMBIGUOUS, and is not sent again", async () => {
  let isDown = false;
  const seen = await startRemembering({
    duration: 1,
    judge: ({ payload }) => payload === "doubt" ? "stored" : undefined,
  });
  await using _ = seen.redis;
  await using proxy = await startProxy(seen.redis.server);
  await using streamer = await connect(proxy.url, { reconnect: RECONNECT });
  const producer = await streamer.createProducer("k", EXACTLY);
  await producer.send("first");
  streamer.addEventListener("disconnect", () => {
    if (!isDown) proxy.refuse();
    isDown = true;
  });
  const sent = performance.now();
  const error = await producer.send("doubt").then(() => undefined, (reason) => reason);
  const took = performance.now() - sent;
  assertEquals([error?.code, error?.outcome], ["AMBIGUOUS", "unknown"]);
  assert(took > 800 && took < 5_000, `${took} ms`);
  proxy.refuse(false);
  await producer.send("last");
  assertEquals(seen.redis.payloads("k"), ["first", "doubt", "last"]);
  assertEquals(seen.redis.added.filter(({ payload }) => payload === "doubt").length, 1);
});

test("a server that does not know the option after all: the message rejects UNSUPPORTED, and is not written", async () => {
  const refusal = "-ERR Invalid stream ID specified as stream command argument\r\n";
  const { redis } = await startRemembering({ judge: () => refusal });
  await using _ = redis;
  await using streamer = await connect(redis.url);
  const producer = await streamer.createProducer("k", EXACTLY);
  const error = await assertRejects(() => Promise.resolve(producer.send("x")), StreamerError);
  assertEquals([error.code, error.outcome], ["UNSUPPORTED", "not-written"]);
  assert(/8\.6.*singleWriter/.test(error.message), error.message);
});

test("the same key again, also of another producer of that name, is stored once: the receipt has the first id", async () => {
  const seen = await startRemembering();
  await using _ = seen.redis;
  const options = { ...EXACTLY, producerId: "billing" };
  await using one = await connect(seen.redis.url);
  await using other = await connect(seen.redis.url);
  const first = await (await one.createProducer("k", options)).send("invoice", { idempotencyKey: "17" });
  const producer = await other.createProducer("k", options);
  const second = await producer.send("invoice again", { idempotencyKey: "17" });
  assertEquals(second.id, first.id);
  for (let i = 0; i < 20; i++) await producer.send(`m${i}`);
  const third = await one.createProducer("k", options);
  for (let i = 20; i < 40; i++) await third.send(`m${i}`);
  const rest = Array.from({ length: 40 }, (_, i) => `m${i}`);
  assertEquals(seen.redis.payloads("k"), ["invoice", ...rest], "numbers of another run are no repeats");
  assert(seen.numbers.every(([name]) => name === "billing"));
});

test("on a server that remembers: resets every 200 ms, and three producers on one stream", async () => {
  if (!isKnown) return;
  await using proxy = await startProxy(server);
  await using streamer = await connect(proxy.url, { reconnect: RECONNECT });
  const key = uniqueKey();
  const producers = await Promise.all([1, 2, 3].map(() => streamer.createProducer(key, EXACTLY)));
  const timer = setInterval(() => proxy.cut(), 200);
  const sending = producers.map((producer, i) => sendMany(producer, 3_000, i * 3_000));
  const endings = await Promise.all(sending).finally(() => clearInterval(timer));
  const entries = await entriesOf(server, key);
  for (const [i, own] of endings.entries()) {
    const isOwn = ({ payload }: { readonly payload: string }) => Math.floor(Number(payload.slice(1)) / 3_000) === i;
    checkExactlyOnce(entries.filter(isOwn), own);
  }
  await server.command("DEL", key);
}, { timeout: 40_000, oneServer: PROXIED });
