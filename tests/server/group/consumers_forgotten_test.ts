// Tests that a streamer forgets consumers that have failed for good: they are not counted, and their acks are committed
// all the same.

import { assertEquals, assertRejects } from "@std/assert";
import { connect, StreamerError } from "../../../mod.ts";
import { countPending } from "../../support/consumer/group_faults.ts";
import { addMany, connectHastily, take } from "../../support/consumer/reading.ts";
import { uniqueKey } from "../../support/keys.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();
const group = "g";

test("a consumer that fails during its creation, or while it reads, is no longer counted", async () => {
  const text = uniqueKey();
  await server.command("SET", text, "x");
  await using streamer = await connectHastily(server.url, { timeout: 300 });
  for (
    const options of [{ mode: "real-time" }, { mode: "resumable", group, mkstream: true }, {
      mode: "load-balanced",
      group,
      mkstream: true,
    }] as const
  ) {
    const failed = await streamer.createConsumer(text, options);
    assertEquals(streamer.stats().consumers, 0);
    assertEquals((await assertRejects(() => failed.next(), StreamerError)).code, "WRONGTYPE");
    const key = uniqueKey();
    const consumer = await streamer.createConsumer(key, options);
    assertEquals(streamer.stats().consumers, 1);
    const waiting = assertRejects(() => consumer.next(), StreamerError);
    await server.command("DEL", key);
    await server.command("SET", key, "x");
    assertEquals((await waiting).code, "WRONGTYPE");
    assertEquals(streamer.stats().consumers, 0);
    await consumer.end();
    assertEquals(streamer.stats().consumers, 0);
  }
}, { timeout: 60_000 });

test("messages acked before a consumer failed are committed when the streamer ends", async () => {
  const [key, other] = [uniqueKey(), uniqueKey()];
  await server.command("XGROUP", "CREATE", key, group, "0", "MKSTREAM");
  await addMany(server, key, 3);
  const streamer = await connect(server.url);
  const consumer = await streamer.createConsumer([key, other], {
    mode: "resumable",
    group,
    mkstream: true,
    autoCommit: "disabled",
  });
  const [first, second] = await take(consumer, 3);
  const waiting = assertRejects(() => consumer.next(), StreamerError);
  await server.command("DEL", other);
  await server.command("SET", other, "x");
  await waiting;
  assertEquals(streamer.stats().consumers, 0);
  consumer.ack(first);
  consumer.ack(second);
  await streamer.disconnect();
  assertEquals(await countPending(server, key, group), 1);
  await consumer.end();
}, { timeout: 30_000 });
