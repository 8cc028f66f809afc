// Tests a replay and a claim at the same time: a consumer restarts with a long pending list of its own, beside the list
// of a crashed one. Also a stream that did not exist in any earlier run.

import { assertEquals } from "@std/assert";
import { connectEagerly, eventsOf, listOf, pendingOf, readAndDie } from "../../support/consumer/group_faults.ts";
import { Random } from "../../support/resp/drive.ts";
import { addMany, restUpToMark, take, takeIds } from "../../support/consumer/reading.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { startProxy } from "../../support/network/proxy.ts";
import { PROXIED } from "../../support/one_server.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();
const group = "g";
const SEED = Math.floor(Math.random() * 1e9);

test("messages that are claimed during a replay are delivered once", async () => {
  const key = uniqueKey();
  await server.command("XGROUP", "CREATE", key, group, "0", "MKSTREAM");
  await addMany(server, key, 40);
  const mine = await readAndDie(server, { key, group, consumer: "me", count: 20 });
  const dead = await readAndDie(server, { key, group, consumer: "dead" });
  await using streamer = await connectEagerly(server.url);
  const claimed = eventsOf(streamer, "claimed");
  const consumer = await streamer.createConsumer(key, {
    mode: "load-balanced",
    group,
    consumerId: "me",
    autoCommit: "rolling",
    autoCommitInterval: 10,
    batchSize: 5,
    autoClaimIdle: 50,
    autoClaimInterval: 20,
  });
  const seen: string[] = [];
  const deliveries: number[] = [];
  while (seen.length < 40) {
    const message = await consumer.next();
    // Holds the first page until the other consumer's list can be claimed, as soon as capacity is free.
    if (seen.length === 2) {
      await until(async () =>
        listOf(await server.command("XPENDING", key, group, "IDLE", 150, "-", "+", 99, "dead")).length === 20
      );
    }
    consumer.ack(message);
    seen.push(message.id);
    deliveries.push(message.deliveries);
  }
  assertEquals(claimed.flatMap(({ ids }) => ids), dead);
  assertEquals(await restUpToMark(server, consumer, key), []);
  assertEquals(new Set(seen), new Set([...mine, ...dead]));
  assertEquals(deliveries, Array.from({ length: 40 }, () => 2));
});

test("messages in flight of a stream that was created late are not redelivered after a reconnect", async () => {
  const key = uniqueKey();
  await using proxy = await startProxy(server);
  await using streamer = await connectEagerly(proxy.url);
  const consumer = await streamer.createConsumer(key, { mode: "resumable", group, autoCommit: "rolling" });
  const ids = await addMany(server, key, 3); // there was no stream until now
  assertEquals(await takeIds(consumer, 3), ids);
  await proxy.cut();
  assertEquals(await restUpToMark(server, consumer, key), []);
  assertEquals((await pendingOf(server, key, group)).map(({ deliveries }) => deliveries), [1, 1, 1, 1]);
}, { oneServer: PROXIED });

test(
  `cuts in a replay (seed ${SEED}) neither lose nor repeat messages, and each message counts as delivered once more`,
  async () => {
    const random = new Random(SEED);
    for (let round = 0; round < 20; round++) {
      const key = uniqueKey();
      await server.command("XGROUP", "CREATE", key, group, "0", "MKSTREAM");
      const ids = await addMany(server, key, 60);
      await readAndDie(server, { key, group, consumer: "me" });
      await using proxy = await startProxy(server);
      await using streamer = await connectEagerly(proxy.url);
      let left = 3;
      streamer.addEventListener("disconnect", () => {
        if (left-- > 0) proxy.toClient.cutAfter(1 + random.below(6_000));
      });
      const consumer = await streamer.createConsumer(key, {
        mode: "resumable",
        group,
        consumerId: "me",
        autoCommit: "disabled",
        batchSize: 20,
      });
      proxy.toClient.cutAfter(1 + random.below(4_000));
      const messages = await take(consumer, 60);
      left = 0;
      proxy.toClient.cutAfter(Infinity);
      assertEquals(messages.map(({ id }) => id), ids);
      const counted = (await pendingOf(server, key, group)).map(({ deliveries }) => deliveries);
      assertEquals(messages.map(({ deliveries }) => deliveries), counted);
      for (const message of messages) consumer.ack(message);
      await consumer.commit();
      assertEquals(await restUpToMark(server, consumer, key), []);
      assertEquals(counted, ids.map(() => 2));
    }
  },
  { oneServer: PROXIED },
);
