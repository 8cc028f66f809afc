// Tests the end of a producer: the messages it still sends, those it gives up, and that its socket closes.

import { assert, assertEquals, assertInstanceOf, assertRejects, assertStrictEquals } from "@std/assert";
import { connect, StreamerError } from "../../../mod.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { startProxy } from "../../support/network/proxy.ts";
import { PROXIED } from "../../support/one_server.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";
import { endingsOf, entriesOf } from "../../support/producer/stream_checks.ts";

const server = await sharedServer();

test("end sends all accepted messages, and later everything rejects with PRODUCER_ENDED", async () => {
  await using streamer = await connect(server.url);
  const key = uniqueKey();
  const producer = await streamer.createProducer(key);
  for (let i = 0; i < 100; i++) producer.send(`m${i}`);
  await producer.end();
  assertEquals(
    (await entriesOf(server, key)).map(({ payload }) => payload),
    Array.from({ length: 100 }, (_, i) => `m${i}`),
  );
  const late = producer.send("late");
  for (const failing of [() => late, () => producer.flush(), () => producer.trim({ maxLength: 1 })]) {
    const error = await assertRejects(() => Promise.resolve(failing()), StreamerError);
    assertEquals(error.code, "PRODUCER_ENDED");
  }
  assertEquals(late.outcome, "not-written");
  await producer.end();
  await producer[Symbol.asyncDispose]();
  assertEquals((await entriesOf(server, key)).length, 100);
});

test("await using ends a producer", async () => {
  await using streamer = await connect(server.url);
  const key = uniqueKey();
  {
    await using producer = await streamer.createProducer(key);
    producer.send("a");
  }
  assertEquals((await entriesOf(server, key)).length, 1);
  assertEquals(streamer.stats().producers, 0);
});

test("an ended handle ends neither its clones nor their connection; the last one does", async () => {
  await using proxy = await startProxy(server);
  await using streamer = await connect(proxy.url);
  const key = uniqueKey();
  const producer = await streamer.createProducer(key);
  const clone = producer.clone();
  await producer.send("a");
  const open = proxy.open;
  await producer.end();
  await clone.send("b");
  assertEquals(proxy.open, open);
  assertEquals((await assertRejects(() => Promise.resolve(producer.send("c")), StreamerError)).code, "PRODUCER_ENDED");
  await clone.end();
  await until(() => proxy.open === open - 1);
  assertEquals((await entriesOf(server, key)).map(({ payload }) => payload), ["a", "b"]);
}, { oneServer: PROXIED });

test(
  "at the timeout of end waiting sends reject with DISCONNECTED and their outcomes, and the socket closes",
  async () => {
    await using proxy = await startProxy(server);
    await using streamer = await connect(proxy.url);
    const key = uniqueKey();
    const producer = await streamer.createProducer(key);
    await producer.send("before");
    const open = proxy.open;
    proxy.toServer.hold();
    const receipt = producer.send("held");
    const ending = producer.end({ timeout: 20 });
    const [held] = await endingsOf([["held", receipt]]);
    assert("error" in held && held.error instanceof StreamerError);
    assertEquals([held.error.code, held.outcome], ["DISCONNECTED", "unknown"]);
    await ending; // the failure was awaited: nothing is left to report
    proxy.toServer.release();
    await until(() => proxy.open === open - 1);
  },
  { oneServer: PROXIED },
);

test("end reports ignored sends that it gave up", async () => {
  await using proxy = await startProxy(server);
  await using streamer = await connect(proxy.url);
  const producer = await streamer.createProducer(uniqueKey());
  await producer.send("before");
  proxy.toServer.hold();
  for (const payload of ["a", "b", "c"]) producer.send(payload);
  const error = await assertRejects(() => producer.end({ timeout: 20 }), StreamerError);
  assertEquals([error.code, error.count], ["SEND_FAILED", 3]);
  assertInstanceOf(error.cause, StreamerError);
  assertEquals(error.cause.code, "DISCONNECTED");
  proxy.toServer.release();
}, { oneServer: PROXIED });

test("an aborted end rejects with the reason, gives up waiting sends and closes the socket", async () => {
  await using proxy = await startProxy(server);
  await using streamer = await connect(proxy.url);
  const producer = await streamer.createProducer(uniqueKey());
  await producer.send("before");
  const open = proxy.open;
  proxy.toServer.hold();
  const receipt = producer.send("held");
  const controller = new AbortController();
  const ending = producer.end({ signal: controller.signal });
  const reason = new Error("enough");
  controller.abort(reason);
  assertStrictEquals(await assertRejects(() => ending), reason);
  const error = await assertRejects(() => Promise.resolve(receipt), StreamerError);
  assertEquals(error.code, "DISCONNECTED");
  proxy.toServer.release();
  await until(() => proxy.open === open - 1);
}, { oneServer: PROXIED });

test("a handle that gives up takes nothing from its clones", async () => {
  await using proxy = await startProxy(server);
  await using streamer = await connect(proxy.url);
  const key = uniqueKey();
  const producer = await streamer.createProducer(key);
  const clone = producer.clone();
  await producer.send("before");
  proxy.toServer.hold();
  const given = producer.send("given up");
  const kept = clone.send("kept");
  await producer.end({ timeout: 10 }).catch(() => {});
  assertEquals((await assertRejects(() => Promise.resolve(given), StreamerError)).code, "DISCONNECTED");
  assertEquals(kept.outcome, "pending");
  proxy.toServer.release();
  await kept;
  await clone.flush();
  assertEquals((await entriesOf(server, key)).at(-1)?.payload, "kept");
}, { oneServer: PROXIED });

test("an invalid timeout is refused, and the producer can still be ended", async () => {
  await using proxy = await startProxy(server);
  await using streamer = await connect(proxy.url);
  const producer = await streamer.createProducer(uniqueKey());
  await producer.send("a");
  const open = proxy.open;
  for (const timeout of [-1, NaN]) {
    const error = await assertRejects(() => producer.end({ timeout }), StreamerError);
    assertEquals(error.code, "INVALID_OPTION");
  }
  await producer.end();
  await until(() => proxy.open === open - 1);
}, { oneServer: PROXIED });

test("ignored sends that succeed before the end leave it quiet", async () => {
  await using streamer = await connect(server.url);
  const producer = await streamer.createGenericProducer();
  const [one, two] = [uniqueKey(), uniqueKey()];
  producer.sendTo(one, "a");
  producer.sendTo(two, "b");
  await producer.end();
  assertEquals((await entriesOf(server, one)).length + (await entriesOf(server, two)).length, 2);
});

test("callers that wait for ready or for a flush are rejected when the producer gives up", async () => {
  await using proxy = await startProxy(server);
  await using streamer = await connect(proxy.url);
  const producer = await streamer.createProducer(uniqueKey(), { highWaterMark: 100 });
  const clone = producer.clone();
  await producer.send("before");
  proxy.toServer.hold();
  for (const handle of [producer, clone]) handle.send("x".repeat(100));
  const flushed = producer.flush();
  const waits = [producer.ready, clone.ready];
  const told = (await Promise.allSettled([flushed, producer.end({ timeout: 10 })]))
    .flatMap((result) => result.status === "rejected" ? [[result.reason.code, result.reason.count]] : []);
  assertEquals(told, [["SEND_FAILED", 1]], "one of the two reports it");
  await clone.end({ timeout: 10 }).catch(() => {});
  await Promise.all(waits);
  proxy.toServer.release();
}, { oneServer: PROXIED });

test("a producer created while the server is away works after the reconnect", async () => {
  await using proxy = await startProxy(server);
  await using streamer = await connect(proxy.url, { reconnect: { initialDelay: 5 } });
  proxy.refuse();
  await proxy.cut();
  const producer = await streamer.createProducer(uniqueKey());
  const sends = ["a", "b"].map((payload) => producer.send(payload));
  await until(() => proxy.refused > 0);
  proxy.refuse(false);
  await Promise.all(sends);
  assertEquals((await entriesOf(server, producer.streamKey)).map(({ payload }) => payload), ["a", "b"]);
}, { oneServer: PROXIED });
