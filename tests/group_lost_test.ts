// Owns what is taken from a consumer that lives: what it has read ahead is dropped, what its user has is told, and it goes on.

import { assertEquals } from "@std/assert";
import { connectEagerly, eventsOf, listOf } from "./streamer/consumer/group_faults.ts";
import { addMany, take } from "./streamer/consumer/reading.ts";
import { until } from "./support/events.ts";
import { uniqueKey } from "./support/keys.ts";
import { test } from "./support/runner.ts";
import { sharedServer } from "./support/server.ts";

const server = await sharedServer();
const group = "g";

test("a consumer from which all was taken that it had, and that is asked much later, goes on with what is new", async () => {
  const key = uniqueKey();
  const ids = await addMany(server, key, 15);
  await using streamer = await connectEagerly(server.url);
  const lost = eventsOf(streamer, "lost");
  const consumer = await streamer.createConsumer(key, {
    mode: "load-balanced",
    group,
    autoCommit: "rolling",
    autoStreamReset: "earliest",
    batchSize: 5,
    autoClaimIdle: 90,
    autoClaimInterval: null,
  });
  await take(consumer, 6);
  await until(() => consumer.stats().queued === 9, { what: "a whole page is read ahead" });
  await server.command("XCLAIM", key, group, "thief", 0, ...ids);
  await until(() => lost.length > 0);
  assertEquals(lost.flatMap((one) => one.ids), ids.slice(0, 6));
  // So late that what the page was is forgotten.
  await until(async () =>
    listOf(await server.command("XPENDING", key, group, "IDLE", 200, "-", "+", 99)).length === 15
  );
  const [mark] = await addMany(server, key, 1);
  assertEquals((await consumer.next()).id, mark);
  assertEquals([consumer.stats().queued, consumer.stats().inHand], [0, 1]);
  await server.command("XGROUP", "DELCONSUMER", key, group, "thief");
});
