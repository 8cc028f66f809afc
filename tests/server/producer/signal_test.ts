// Tests that a signal takes back messages that are not written, and only ends the wait for written ones.

import { assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { connect } from "../../../mod.ts";
import { until } from "../../support/events.ts";
import { OWN, PROXIED } from "../../support/one_server.ts";
import { test } from "../../support/runner.ts";
import { uniqueKey } from "../../support/keys.ts";
import { startProxy } from "../../support/network/proxy.ts";
import { sharedServer } from "../../support/servers/server.ts";
import { FakeRedis } from "../../support/producer/fake_redis.ts";
import { entriesOf } from "../../support/producer/stream_checks.ts";

const server = await sharedServer();
const reason = new Error("changed my mind");

test("aborted before it is written, a message is taken back: not written, and never sent", async () => {
  await using streamer = await connect(server.url);
  const producer = await streamer.createProducer(uniqueKey());
  const controller = new AbortController();
  producer.send("before");
  const taken = producer.send("taken back", { signal: controller.signal });
  const after = producer.send("after");
  controller.abort(reason);
  assertEquals(taken.outcome, "not-written");
  assertStrictEquals(await taken.catch((error) => error), reason);
  await after;
  await producer.flush();
  assertEquals((await entriesOf(server, producer.streamKey)).map(({ payload }) => payload), ["before", "after"]);
  assertEquals(producer.stats().buffered, 0);
});

test("an aborted signal is enough to send nothing", async () => {
  await using streamer = await connect(server.url);
  const producer = await streamer.createProducer(uniqueKey());
  const receipt = producer.send("x", { signal: AbortSignal.abort(reason) });
  assertEquals(receipt.outcome, "not-written");
  assertStrictEquals(await receipt.catch((error) => error), reason);
  await producer.send("y");
  assertEquals(await server.command("XLEN", producer.streamKey), 1);
});

test(
  "aborted after it is written, only the wait ends: the message is stored, and its outcome says so later",
  async () => {
    const { promise, resolve: answer } = Promise.withResolvers<void>();
    await using redis = await FakeRedis.start({
      judge: async (xadd, fake) => {
        await promise;
        return fake.store(xadd);
      },
    });
    await using streamer = await connect(redis.url);
    const producer = await streamer.createProducer("k");
    const controller = new AbortController();
    const receipt = producer.send("a", { signal: controller.signal });
    const next = producer.send("b");
    await until(() => redis.added.length === 1);
    controller.abort(reason);
    assertStrictEquals(await receipt.catch((error) => error), reason);
    assertEquals(receipt.outcome, "pending");
    answer();
    assertEquals((await next).id, redis.streams.get("k")?.[1].id);
    assertEquals(receipt.outcome, "acked");
    assertStrictEquals(await receipt.catch((error) => error), reason);
    assertEquals(redis.payloads("k"), ["a", "b"]);
    await producer.flush();
  },
  { oneServer: OWN },
);

test("aborted while the server is away, unwritten messages are taken back, and those in flight are not", async () => {
  await using proxy = await startProxy(server);
  await using streamer = await connect(proxy.url, { reconnect: { initialDelay: 10 } });
  const producer = await streamer.createProducer(uniqueKey());
  await producer.send("before");
  const controller = new AbortController();
  const { signal } = controller;
  proxy.toServer.hold();
  const flown = producer.send("in flight", { signal });
  await until(() => producer.stats().inFlight === 1);
  proxy.refuse();
  const cut = proxy.cut();
  proxy.toServer.release();
  await cut;
  await until(() => producer.stats().inFlight === 0);
  const fresh = producer.send("fresh", { signal });
  const kept = producer.send("kept");
  controller.abort(reason);
  assertEquals([flown.outcome, fresh.outcome], ["pending", "not-written"]);
  for (const receipt of [flown, fresh]) assertStrictEquals(await receipt.catch((error) => error), reason);
  proxy.refuse(false);
  await kept;
  const stored = (await entriesOf(server, producer.streamKey)).map(({ payload }) => payload);
  assertEquals([...new Set(stored)], ["before", "in flight", "kept"]);
  assertEquals(flown.outcome, "acked");
}, { oneServer: PROXIED });

test("a signal shared by many sends has no listeners left once they are settled", async () => {
  await using streamer = await connect(server.url);
  const producer = await streamer.createProducer(uniqueKey());
  let listeners = 0;
  const signal = new AbortController().signal;
  const { addEventListener, removeEventListener } = signal;
  signal.addEventListener = (...args: Parameters<typeof addEventListener>) => {
    listeners++;
    addEventListener.apply(signal, args);
  };
  signal.removeEventListener = (...args: Parameters<typeof removeEventListener>) => {
    listeners--;
    removeEventListener.apply(signal, args);
  };
  await Promise.all(Array.from({ length: 100 }, (_, i) => producer.send(`${i}`, { signal })));
  await producer.flush({ signal });
  await producer.trim({ maxLength: 1, signal });
  assertEquals(listeners, 0);
});

test("an aborted trim rejects with the reason and affects no other call", async () => {
  await using proxy = await startProxy(server);
  await using streamer = await connect(proxy.url);
  const producer = await streamer.createProducer(uniqueKey());
  for (let i = 0; i < 10; i++) producer.send(`${i}`);
  await producer.flush();
  proxy.toServer.hold();
  const controller = new AbortController();
  const trimming = producer.trim({ maxLength: 8, exact: true, signal: controller.signal });
  const other = producer.trim({ maxLength: 5, exact: true });
  controller.abort(reason);
  assertStrictEquals(await assertRejects(() => trimming), reason);
  proxy.toServer.release();
  // Whether the aborted one was written before is not specified. The other one gets its own reply in any case.
  assertEquals([3, 5].includes(await other), true);
  assertEquals(await server.command("XLEN", producer.streamKey), 5);
}, { oneServer: PROXIED });
