// Tests sendTimeout: a message that has waited too long rejects with its outcome, and is never sent later.

import { assert, assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import { connect, StreamerError } from "../../../mod.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { startProxy } from "../../support/network/proxy.ts";
import { OWN, PROXIED } from "../../support/one_server.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";
import { FakeRedis } from "../../support/producer/fake_redis.ts";
import { endingsOf, entriesOf } from "../../support/producer/stream_checks.ts";

const server = await sharedServer();
const RECONNECT = { initialDelay: 10, maxDelay: 20 };

test(
  "a message that could not be written in time rejects with TIMEOUT, not written, and is not sent after the reconnect",
  async () => {
    await using proxy = await startProxy(server);
    await using streamer = await connect(proxy.url, { reconnect: RECONNECT });
    const producer = await streamer.createProducer(uniqueKey(), { sendTimeout: 500 });
    await producer.send("before");
    proxy.refuse();
    await proxy.cut();
    await until(() => proxy.refused > 0);
    const late = Array.from({ length: 20 }, (_, i) => [`late ${i}`, producer.send(`late ${i}`)] as const);
    for (const ending of await endingsOf(late)) {
      assert("error" in ending);
      assertInstanceOf(ending.error, StreamerError);
      assertEquals([ending.error.code, ending.outcome], ["TIMEOUT", "not-written"]);
      assert(ending.error.cause !== undefined, "the cause names the obstacle");
    }
    assertEquals(producer.stats().buffered, 0);
    proxy.refuse(false);
    const patient = await streamer.createProducer(producer.streamKey);
    await patient.send("patient");
    await until(async () => {
      try {
        await producer.send("after");
        return true;
      } catch {
        return false;
      }
    });
    const stored = (await entriesOf(server, producer.streamKey)).map(({ payload }) => payload);
    assertEquals(stored.filter((payload) => payload.startsWith("late")), []);
  },
  { oneServer: PROXIED },
);

test("a message in flight when its time is up rejects with TIMEOUT, unknown; the connection stays", async () => {
  const { promise, resolve: answer } = Promise.withResolvers<void>();
  await using redis = await FakeRedis.start({
    judge: async (xadd, fake) => {
      await promise;
      return fake.store(xadd);
    },
  });
  await using streamer = await connect(redis.url);
  let lost = 0;
  streamer.addEventListener("disconnect", () => lost++);
  // Long enough for both to be written, also on a busy machine.
  const producer = await streamer.createProducer("k", { sendTimeout: 1_000 });
  const endings = await endingsOf(["a", "b"].map((payload) => [payload, producer.send(payload)]));
  for (const ending of endings) {
    assert("error" in ending && ending.error instanceof StreamerError);
    assertEquals([ending.error.code, ending.outcome], ["TIMEOUT", "unknown"]);
  }
  await producer.flush();
  assertEquals(producer.desiredSize, 2 * 1024 * 1024);
  answer();
  await until(() => redis.payloads("k").length === 2);
  const third = await producer.send("c");
  assertEquals(redis.streams.get("k")?.find(({ id }) => id === third.id)?.payload, "c");
  assertEquals([lost, redis.added.length], [0, 3]);
  assertEquals({ ...producer.stats() }, {
    buffered: 0,
    inFlight: 0,
    sent: 3,
    acked: 1,
    failed: 2,
    resent: 0,
    conflicts: 0,
  });
}, { oneServer: OWN });

test(
  "a message in flight at a cut whose time is up before the reconnect stays unknown and is not sent again",
  async () => {
    await using proxy = await startProxy(server);
    await using streamer = await connect(proxy.url, { reconnect: RECONNECT });
    const producer = await streamer.createProducer(uniqueKey(), { sendTimeout: 500 });
    await producer.send("before");
    proxy.toServer.hold();
    const flown = producer.send("flown");
    await until(() => producer.stats().inFlight === 1);
    proxy.refuse();
    const cut = proxy.cut(); // held bytes are lost with it
    proxy.toServer.release();
    await cut;
    const error = await assertRejects(() => Promise.resolve(flown), StreamerError);
    assertEquals([error.code, error.outcome], ["TIMEOUT", "unknown"]);
    const before = await entriesOf(server, producer.streamKey);
    proxy.refuse(false);
    await until(() => producer.send("after").then(() => true, () => false));
    const after = await entriesOf(server, producer.streamKey);
    assertEquals(
      after.filter(({ payload }) => payload === "flown").length,
      before.filter(({ payload }) => payload === "flown").length,
    );
  },
  { oneServer: PROXIED },
);

test("every message has its own time, counted from its call", async () => {
  await using redis = await FakeRedis.start({ judge: () => undefined });
  await using streamer = await connect(redis.url);
  const producer = await streamer.createProducer("k", { sendTimeout: 100 });
  const order: string[] = [];
  const sends = [];
  for (const name of ["a", "b", "c"]) {
    sends.push(producer.send(name).catch(() => order.push(name)));
    await new Promise((resolve) => setTimeout(resolve, 20)); // between the calls, so that their times differ
  }
  await Promise.all(sends);
  assertEquals(order, ["a", "b", "c"]);
}, { oneServer: OWN });

test("without a sendTimeout a message waits without a limit", async () => {
  await using proxy = await startProxy(server);
  await using streamer = await connect(proxy.url, { reconnect: RECONNECT });
  const producer = await streamer.createProducer(uniqueKey(), { sendTimeout: null });
  proxy.refuse();
  await proxy.cut();
  const receipt = producer.send("patient");
  await until(() => proxy.refused >= 5);
  assertEquals(receipt.outcome, "pending");
  proxy.refuse(false);
  await receipt;
}, { oneServer: PROXIED });

test("a buffer full of messages that timed out is free again, also if no reply ever arrives", async () => {
  await using redis = await FakeRedis.start({ judge: () => undefined });
  await using streamer = await connect(redis.url);
  const producer = await streamer.createProducer("k", { sendTimeout: 40, maxBuffered: 20_000 });
  for (let round = 0; round < 3; round++) {
    const sends = Array.from({ length: 400 }, () => producer.send("x".repeat(100)));
    assert(sends.some(({ outcome }) => outcome === "not-written"), "BUFFER_FULL");
    await producer.flush().catch(() => {});
    assertEquals(producer.stats().buffered, 0);
  }
}, { oneServer: OWN });
