// Tests back-pressure: which messages are accepted, when `ready` waits, which are refused, and web streams on top of
// it.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { delay } from "@std/async";
import { connect, StreamerError } from "../../../mod.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { startProxy } from "../../support/network/proxy.ts";
import { OWN, PROXIED } from "../../support/one_server.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";
import { FakeRedis } from "../../support/producer/fake_redis.ts";
import { entriesOf } from "../../support/producer/stream_checks.ts";
import { MESSAGE_OVERHEAD } from "../../support/producer/wire_bytes.ts";

const server = await sharedServer();

/** A fake server that replies to nothing until `answer` is called. */
async function waitingServer(options: { readonly refuse?: string } = {}) {
  const { promise, resolve: answer } = Promise.withResolvers<void>();
  const redis = await FakeRedis.start({
    judge: async (xadd, fake) => {
      await promise;
      return xadd.payload === options.refuse ? "-OOM no\r\n" : fake.store(xadd);
    },
  });
  return { redis, answer };
}

test("desiredSize counts each message with its bytes on the wire and 256 more, and clones share it", async () => {
  const { redis, answer } = await waitingServer();
  await using _ = redis;
  await using streamer = await connect(redis.url);
  const producer = await streamer.createProducer("k", { highWaterMark: 10_000 });
  const clone = producer.clone();
  assertEquals([producer.desiredSize, clone.desiredSize], [10_000, 10_000]);
  producer.send("x".repeat(1_000));
  const left = producer.desiredSize;
  const wire = (payload: string) => `*5\r\n$4\r\nXADD\r\n$1\r\nk\r\n$1\r\n*\r\n$3\r\nmsg\r\n${payload}\r\n`.length;
  assertEquals(left, 10_000 - wire(`$1000\r\n${"x".repeat(1_000)}`) - MESSAGE_OVERHEAD);
  assertEquals(producer.stats().buffered, 10_000 - left);
  clone.send("ü".repeat(1_000));
  assertEquals(clone.desiredSize, producer.desiredSize);
  const bytes = wire(`$2000\r\n${"x".repeat(2_000)}`);
  assertEquals(left - clone.desiredSize, bytes + MESSAGE_OVERHEAD, "bytes are counted, not characters");
  answer();
  await Promise.all([producer.flush(), clone.flush()]);
  assertEquals([producer.desiredSize, clone.desiredSize, producer.stats().buffered], [10_000, 10_000, 0]);
}, { oneServer: OWN });

test("ready is settled below the mark, pending above it, and settles again, for every handle", async () => {
  const { redis, answer } = await waitingServer();
  await using _ = redis;
  await using streamer = await connect(redis.url);
  const producer = await streamer.createProducer("k", { highWaterMark: 1_000 });
  const clone = producer.clone();
  await producer.ready;
  producer.send("x".repeat(500));
  await producer.ready;
  producer.send("x".repeat(500));
  assert(producer.desiredSize <= 0);
  let ready = 0;
  const waits = [producer.ready, clone.ready, producer.ready].map((promise) => promise.then(() => ready++));
  const late = producer.send("still accepted"); // ready is advice
  await until(() => producer.stats().inFlight === 3);
  assertEquals(ready, 0);
  answer();
  await Promise.all(waits);
  await late;
  await producer.ready;
}, { oneServer: OWN });

test("the default highWaterMark is 2 MiB, about 3,600 messages of 256 bytes", async () => {
  const { redis, answer } = await waitingServer();
  await using _ = redis;
  await using streamer = await connect(redis.url);
  const producer = await streamer.createProducer("orders");
  assertEquals(producer.desiredSize, 2 * 1024 * 1024);
  let sent = 0;
  for (; producer.desiredSize > 0; sent++) producer.send("x".repeat(256));
  answer();
  assert(sent > 3_500 && sent < 3_800, `${sent}`);
  await producer.flush();
  const small = await streamer.createProducer("k", { maxBuffered: 1_000_000 });
  assertEquals(small.desiredSize, 1_000_000, "never above maxBuffered");
}, { oneServer: OWN });

test("past maxBuffered a send fails with BUFFER_FULL, not written, and later ones are accepted again", async () => {
  const { redis, answer } = await waitingServer();
  await using _ = redis;
  await using streamer = await connect(redis.url);
  const producer = await streamer.createProducer("k", { maxBuffered: 12_500, highWaterMark: 2_000 });
  const payload = "x".repeat(900);
  const sends = Array.from({ length: 50 }, () => producer.send(payload));
  assert(producer.stats().buffered <= 12_500);
  const full = sends.filter(({ outcome }) => outcome === "not-written");
  assertEquals(full.length, 40);
  assertEquals(sends.slice(0, 50 - full.length).every(({ outcome }) => outcome === "pending"), true);
  const error = await assertRejects(() => Promise.resolve(full[0]), StreamerError);
  assertEquals([error.code, error.outcome], ["BUFFER_FULL", "not-written"]);
  const small = producer.send("s"); // a message that still fits is accepted
  assertEquals(small.outcome, "pending");
  answer();
  const failed = await assertRejects(() => producer.flush(), StreamerError);
  assertEquals([failed.code, failed.count], ["SEND_FAILED", full.length - 1]);
  await producer.send(payload);
  assertEquals(redis.payloads("k").length, 50 - full.length + 2);
}, { oneServer: OWN });

test("a message larger than maxBuffered is refused even if nothing else waits; exactly that size is accepted", async () => {
  await using streamer = await connect(server.url);
  const key = uniqueKey();
  const probe = await streamer.createProducer(key, { highWaterMark: 100_000 });
  probe.send(new Uint8Array(50_000));
  const size = 100_000 - probe.desiredSize;
  await probe.flush();
  const exact = await streamer.createProducer(key, { maxBuffered: size });
  await exact.send(new Uint8Array(50_000));
  const tight = await streamer.createProducer(key, { maxBuffered: size - 1 });
  const error = await assertRejects(() => Promise.resolve(tight.send(new Uint8Array(50_000))), StreamerError);
  assertEquals(error.code, "BUFFER_FULL");
  for (const text of ["x".repeat(50_001), "€".repeat(20_000)]) {
    assertEquals((await assertRejects(() => Promise.resolve(tight.send(text)), StreamerError)).code, "BUFFER_FULL");
  }
  assertEquals(tight.stats().buffered, 0);
  assertEquals(await server.command("XLEN", key), 2);
});

test("while the server is away the buffer is bounded in the same way", async () => {
  await using proxy = await startProxy(server);
  await using streamer = await connect(proxy.url, { reconnect: { initialDelay: 10 } });
  const producer = await streamer.createProducer(uniqueKey(), { maxBuffered: 100_000 });
  await producer.send("before");
  proxy.refuse();
  await proxy.cut();
  const sends = Array.from({ length: 2_000 }, (_, i) => producer.send(`${i} ${"x".repeat(100)}`));
  assert(producer.stats().buffered <= 100_000);
  const accepted = sends.filter(({ outcome }) => outcome === "pending");
  assert(accepted.length > 200 && accepted.length < 300, `${accepted.length}`);
  proxy.refuse(false);
  await Promise.all(accepted);
  for (const receipt of sends) if (receipt.outcome !== "acked") await receipt.catch(() => {});
  await producer.flush();
  assertEquals(await server.command("XLEN", producer.streamKey), accepted.length + 1);
}, { oneServer: PROXIED });

test("a pipe into writable stores everything in order, and slows its source down", async () => {
  await using streamer = await connect(server.url);
  const producer = await streamer.createProducer(uniqueKey(), { highWaterMark: 5_000 });
  let made = 0;
  let most = 0;
  const source = new ReadableStream<string | Uint8Array>({
    pull(controller) {
      most = Math.max(most, producer.stats().buffered);
      if (made === 3_000) return controller.close();
      const text = `chunk ${made++}`;
      controller.enqueue(made % 2 ? text : new TextEncoder().encode(text));
    },
  }, { highWaterMark: 0 });
  await source.pipeTo(producer.writable);
  const entries = await entriesOf(server, producer.streamKey);
  assertEquals(entries.map(({ payload }) => payload), Array.from({ length: 3_000 }, (_, i) => `chunk ${i}`));
  assert(most <= 5_200 + MESSAGE_OVERHEAD, `${most} bytes were waiting`); // one message more than the mark
  await producer.send("closing the stream did not end the producer");
});

test("a failed send errors the writable and cancels the piped source, with the cause", async () => {
  const { redis, answer } = await waitingServer({ refuse: "bad" });
  await using _ = redis;
  answer();
  await using streamer = await connect(redis.url);
  const producer = await streamer.createProducer("k");
  let cancelled: unknown;
  let count = 0;
  const source = new ReadableStream<string>({
    async pull(controller) {
      await delay(0); // a source that never pauses would fill the buffer before any reply is read
      controller.enqueue(count++ === 5 ? "bad" : "good");
    },
    cancel: (reason) => void (cancelled = reason),
  });
  const error = await assertRejects(() => source.pipeTo(producer.writable), StreamerError);
  assertEquals(error.code, "OOM");
  assertEquals(cancelled, error);
  await producer.flush(); // the stream has reported it
}, { oneServer: OWN });

test("closing the writer waits until everything is stored", async () => {
  const { redis, answer } = await waitingServer();
  await using _ = redis;
  await using streamer = await connect(redis.url);
  const producer = await streamer.createProducer("k");
  const writer = producer.writable.getWriter();
  writer.write("a");
  writer.write("b");
  let closed = false;
  const closing = writer.close().then(() => closed = true);
  await until(() => redis.added.length === 1);
  assertEquals(closed, false);
  answer();
  await closing;
  assertEquals(redis.payloads("k"), ["a", "b"]);
}, { oneServer: OWN });
