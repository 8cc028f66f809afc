// Tests a running consumer that loses its messages: prefetched ones are dropped, those in flight are reported, and
// reading continues.

import { assertEquals } from "@std/assert";
import { connectEagerly, eventsOf, listOf } from "../../support/consumer/group_faults.ts";
import { addMany, take } from "../../support/consumer/reading.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();
const group = "g";

test("a consumer that lost all of its messages, and is called much later, continues with new ones", async () => {
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
  await until(() => lost.flatMap((one) => one.ids).length >= 6); // two pages, which may be checked in sequence
  assertEquals(lost.flatMap((one) => one.ids), ids.slice(0, 6));
  // So late that the content of the page is forgotten.
  await until(async () =>
    listOf(await server.command("XPENDING", key, group, "IDLE", 200, "-", "+", 99)).length === 15
  );
  const [mark] = await addMany(server, key, 1);
  assertEquals((await consumer.next()).id, mark);
  assertEquals([consumer.stats().queued, consumer.stats().inHand], [0, 1]);
  await server.command("XGROUP", "DELCONSUMER", key, group, "thief");
});
