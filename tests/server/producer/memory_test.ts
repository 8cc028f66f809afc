// Tests that a producer's memory has a bound whatever the server does, and does not grow with the number of messages.

import { assert, assertEquals } from "@std/assert";
import { connect } from "../../../mod.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { MemoryWatch } from "../../support/memory.ts";
import { OWN } from "../../support/one_server.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";
import { FakeRedis } from "../../support/producer/fake_redis.ts";

const server = await sharedServer();
const MIB = 1024 * 1024;

test("with a server that reads nothing and never answers, memory stays near maxBuffered", async () => {
  await using redis = await FakeRedis.start({ judge: () => undefined });
  await using streamer = await connect(redis.url);
  const producer = await streamer.createProducer("k", { maxBuffered: 64 * MIB });
  producer.send("first");
  await until(() => redis.added.length === 1);
  redis.added[0].peer.stall();
  const memory = new MemoryWatch();
  const payload = "x".repeat(1_000);
  let accepted = 0;
  for (let refused = 0; refused < 100;) {
    if (producer.send(payload).outcome === "pending") accepted++;
    else refused++;
    if (accepted % 1_000 === 0) await new Promise((resolve) => setTimeout(resolve, 0));
  }
  memory.sample();
  assert(producer.stats().buffered <= 64 * MIB);
  assert(accepted > 50_000, `${accepted} accepted`);
  assert(memory.growth < 3 * 64 * MIB, `${Math.round(memory.growth / MIB)} MiB for 64 MiB of messages`);
  await producer.end({ timeout: 0 }).catch(() => {});
  assertEquals(producer.stats().buffered, 0);
}, { oneServer: OWN, timeout: 60_000 });

test("with back-pressure any number of messages needs the same memory", async () => {
  await using streamer = await connect(server.url);
  const producer = await streamer.createProducer(uniqueKey(), { maxLength: 1_000, highWaterMark: MIB });
  const payload = new Uint8Array(1_000).fill(120);
  const pass = async (count: number) => {
    for (let i = 0; i < count; i++) {
      producer.send(payload);
      if (producer.desiredSize <= 0) await producer.ready;
    }
    await producer.flush();
  };
  await pass(20_000);
  const memory = new MemoryWatch();
  await pass(150_000); // 150 MB
  memory.sample();
  assert(memory.growth < 64 * MIB, `${Math.round(memory.growth / MIB)} MiB`);
  await server.command("DEL", producer.streamKey);
}, { timeout: 60_000 });

test("messages to very many streams leave no memory behind", async () => {
  await using redis = await FakeRedis.start({ judge: () => "$3\r\n1-1\r\n" });
  await using streamer = await connect(redis.url);
  const producer = await streamer.createGenericProducer();
  for (let i = 0; i < 6_000; i++) {
    producer.sendTo(`key-${i}`, "x");
    if (i % 1_000 === 999) await producer.flush();
  }
  assertEquals(producer.stats().acked, 6_000);
  assertEquals(redis.added.map(({ key }) => key), Array.from({ length: 6_000 }, (_, i) => `key-${i}`));
}, { oneServer: OWN });
