// Tests that a disconnected streamer has flushed its sends, reported failed ones, and closed every socket.

import { assert, assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import { connect, type RedisStreamer, StreamerError } from "../../../mod.ts";
import { nextEvent, until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { startProxy } from "../../support/network/proxy.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";
import { endingsOf, entriesOf } from "../../support/producer/stream_checks.ts";

const server = await sharedServer();

test("disconnect flushes every producer and closes every socket", async () => {
  await using proxy = await startProxy(server);
  const streamer = await connect(proxy.url);
  const keys = [uniqueKey(), uniqueKey(), uniqueKey()];
  const [one, two] = [await streamer.createProducer(keys[0]), await streamer.createGenericProducer()];
  const clone = one.clone();
  for (let i = 0; i < 50; i++) {
    one.send(`${i}`);
    clone.sendTo(keys[1], `${i}`);
    two.sendTo(keys[2], `${i}`);
  }
  await streamer.createConsumer(keys[0], { mode: "real-time" });
  assertEquals(countsOf(streamer), [3, 1]);
  await streamer.disconnect();
  for (const key of keys) assertEquals((await entriesOf(server, key)).length, 50);
  assertEquals(countsOf(streamer), [0, 0]);
  await until(() => proxy.open === 0);
});

test("disconnecting again is harmless, at the same time or later, also by await using", async () => {
  const streamer = await connect(server.url);
  await Promise.all([streamer.disconnect(), streamer.disconnect()]);
  await streamer.disconnect({ timeout: 5 });
  await streamer[Symbol.asyncDispose]();
});

test("a disconnected streamer creates nothing more", async () => {
  const streamer = await connect(server.url);
  const producer = await streamer.createProducer(uniqueKey());
  await streamer.disconnect();
  const makes = [
    () => streamer.createProducer(uniqueKey()),
    () => streamer.createGenericProducer(),
    () => streamer.createConsumer(uniqueKey(), { mode: "real-time" }),
  ];
  for (const make of makes) {
    assertEquals((await assertRejects(() => make(), StreamerError)).code, "DISCONNECTED");
  }
  assertEquals((await assertRejects(() => Promise.resolve(producer.send("x")), StreamerError)).code, "PRODUCER_ENDED");
});

test("a disconnect reports sends that had failed unseen, after everything is closed", async () => {
  await using proxy = await startProxy(server);
  const key = uniqueKey();
  await server.command("SET", key, "no stream");
  const streamer = await connect(proxy.url);
  const producer = await streamer.createProducer(key);
  producer.send("a");
  await until(() => producer.stats().failed === 1);
  const error = await assertRejects(() => streamer.disconnect(), StreamerError);
  assertEquals([error.code, error.count], ["SEND_FAILED", 1]);
  await until(() => proxy.open === 0);
  await server.command("DEL", key);
});

test("at the timeout of a disconnect waiting sends reject with DISCONNECTED and every socket closes", async () => {
  await using proxy = await startProxy(server);
  const streamer = await connect(proxy.url);
  const producer = await streamer.createProducer(uniqueKey());
  await producer.send("before");
  proxy.toServer.hold();
  const sends = ["a", "b"].map((payload) => [payload, producer.send(payload)] as const);
  const [endings] = await Promise.all([endingsOf(sends), streamer.disconnect({ timeout: 20 })]);
  for (const ending of endings) {
    assert("error" in ending);
    assertInstanceOf(ending.error, StreamerError);
    assertEquals([ending.error.code, ending.outcome], ["DISCONNECTED", "unknown"]);
  }
  proxy.toServer.release();
  await until(() => proxy.open === 0);
});

test("a disconnect while the server is away ends at its timeout too", async () => {
  await using proxy = await startProxy(server);
  const streamer = await connect(proxy.url);
  const producer = await streamer.createProducer(uniqueKey());
  await producer.send("before");
  const lost = nextEvent(streamer, "disconnect");
  proxy.refuse();
  await proxy.cut();
  await lost;
  const never = producer.send("never");
  await Promise.all([
    streamer.disconnect({ timeout: 20 }),
    assertRejects(() => Promise.resolve(never), StreamerError).then(({ code }) => assertEquals(code, "DISCONNECTED")),
  ]);
  assertEquals(never.outcome, "not-written");
  const { refused } = proxy;
  await until(() => proxy.open === 0);
  assertEquals(proxy.refused, refused);
});

test("a disconnect also ends a producer whose own end is still waiting", async () => {
  await using proxy = await startProxy(server);
  const streamer = await connect(proxy.url);
  const producer = await streamer.createProducer(uniqueKey());
  await producer.send("before");
  proxy.toServer.hold();
  const receipt = producer.send("held");
  const ending = producer.end();
  ending.catch(() => {});
  const [held] = await Promise.all([endingsOf([["held", receipt]]), streamer.disconnect({ timeout: 20 })]);
  assert("error" in held[0] && held[0].error instanceof StreamerError);
  assertEquals(held[0].error.code, "DISCONNECTED");
  await ending;
  proxy.toServer.release();
  await until(() => proxy.open === 0);
}, { timeout: 8_000 });

test("a disconnect with an invalid timeout is refused, and the streamer can still be disconnected", async () => {
  await using proxy = await startProxy(server);
  const streamer = await connect(proxy.url);
  for (const timeout of [-1, NaN]) {
    assertEquals((await assertRejects(() => streamer.disconnect({ timeout }), StreamerError)).code, "INVALID_OPTION");
  }
  await streamer.disconnect();
  await until(() => proxy.open === 0);
});

test("a trim that waits when the streamer is disconnected rejects with DISCONNECTED", async () => {
  await using proxy = await startProxy(server);
  const streamer = await connect(proxy.url);
  const producer = await streamer.createProducer(uniqueKey());
  proxy.toServer.hold();
  const trimming = producer.trim({ maxLength: 1 });
  const [error] = await Promise.all([
    assertRejects(() => trimming, StreamerError),
    streamer.disconnect({ timeout: 20 }),
  ]);
  assertEquals(error.code, "DISCONNECTED");
  proxy.toServer.release();
  await until(() => proxy.open === 0);
});

function countsOf(streamer: RedisStreamer): number[] {
  const { producers, consumers } = streamer.stats();
  return [producers, consumers];
}
