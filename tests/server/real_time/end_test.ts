// Tests the end of a real-time consumer: waiting calls reject, loops finish quietly, connections close, a second end is
// harmless.

import { assert, assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { connect, StreamerError } from "../../../mod.ts";
import { addMany, blockedClient, clientsNamed, take } from "../../support/consumer/reading.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { COUNTED } from "../../support/one_server.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();

async function endedWith(asked: Promise<unknown>): Promise<StreamerError> {
  const error = await assertRejects(() => asked, StreamerError);
  assertEquals(error.code, "CONSUMER_ENDED");
  return error;
}

test("waiting calls reject with CONSUMER_ENDED, and later ones too", async () => {
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(uniqueKey(), { mode: "real-time" });
  const waiting = [consumer.next(), consumer.next()];
  await consumer.end();
  for (const asked of waiting) await endedWith(asked);
  await endedWith(consumer.next());
  await endedWith(consumer.seek(new Date()));
  await endedWith(consumer.rewind("beginning"));
});

test("loops over messages, batches and readable finish quietly", async () => {
  const key = uniqueKey();
  await addMany(server, key, 5);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { mode: "real-time", autoStreamReset: "earliest" });
  let seen = 0;
  const all = Promise.withResolvers<void>();
  const count = (more: number) => {
    seen += more;
    if (seen === 5) all.resolve();
  };
  const loops = [
    (async () => {
      for await (const _ of consumer) count(1);
    })(),
    (async () => {
      for await (const batch of consumer.batches({ max: 1 })) count(batch.length);
    })(),
    (async () => {
      for await (const _ of consumer.readable) count(1);
    })(),
  ];
  await all.promise;
  await consumer.end();
  await Promise.all(loops);
  for await (const _ of consumer) assert(false, "a loop begun after the end has nothing");
  for await (const _ of consumer.batches()) assert(false, "nor has one over batches");
  assertEquals(seen, 5);
});

test("prefetched messages are not returned after the end", async () => {
  const key = uniqueKey();
  await addMany(server, key, 50);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { mode: "real-time", autoStreamReset: "earliest" });
  await take(consumer, 1);
  await consumer.end();
  await endedWith(consumer.next());
  assertEquals([consumer.stats().queued, consumer.stats().queuedBytes, consumer.stats().delivered], [0, 0, 1]);
});

test("ending twice, at once or later, is harmless", async () => {
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(uniqueKey(), { mode: "real-time" });
  await Promise.all([consumer.end(), consumer.end()]);
  await consumer.end({ timeout: 10 });
  await consumer[Symbol.asyncDispose]();
  const first = await endedWith(consumer.next());
  assertStrictEquals(await endedWith(consumer.next()), first);
});

test("await using ends the consumer", async () => {
  await using streamer = await connect(server.url);
  let asked: Promise<unknown>;
  {
    await using consumer = await streamer.createConsumer(uniqueKey(), { mode: "real-time" });
    asked = consumer.next();
    asked.catch(() => {});
    assertEquals(streamer.stats().consumers, 1);
  }
  await endedWith(asked);
  assertEquals(streamer.stats().consumers, 0);
});

test("its connection closes during a blocked read, and others continue", async () => {
  const key = uniqueKey();
  const name = uniqueKey("client");
  await using streamer = await connect(server.url, { clientName: name });
  const [one, two] = [
    await streamer.createConsumer(key, { mode: "real-time" }),
    await streamer.createConsumer(key, { mode: "real-time" }),
  ];
  await blockedClient(server, name);
  assertEquals((await clientsNamed(server, name)).length, 3);
  await one.end();
  await until(async () => (await clientsNamed(server, name)).length === 2);
  await addMany(server, key, 1, "after");
  assertEquals((await two.next()).text(), "after0");
}, { oneServer: COUNTED });

test("the end settles a pending rewind", async () => {
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(uniqueKey(), { mode: "real-time" });
  const settled = Promise.allSettled([
    consumer.rewind("end"),
    consumer.seek(new Date(0)),
    consumer.rewind("beginning"),
  ]);
  await consumer.end();
  for (const result of await settled) {
    if (result.status === "rejected") assertEquals(result.reason.code, "CONSUMER_ENDED");
  }
});

test("disconnect ends a consumer that a program forgot, and closes every connection", async () => {
  const name = uniqueKey("client");
  const streamer = await connect(server.url, { clientName: name });
  const consumer = await streamer.createConsumer(uniqueKey(), { mode: "real-time" });
  const waiting = consumer.next();
  const loop = (async () => {
    for await (const _ of consumer) assert(false);
  })();
  await blockedClient(server, name);
  await streamer.disconnect();
  await endedWith(waiting);
  await loop;
  assertEquals(streamer.stats().consumers, 0);
  await until(async () => (await clientsNamed(server, name)).length === 0);
  await consumer.end();
  const refused = await assertRejects(() => streamer.createConsumer("k", { mode: "real-time" }), StreamerError);
  assertEquals(refused.code, "DISCONNECTED");
});

test("a consumer whose streamer disconnects during its creation is ended", async () => {
  const name = uniqueKey("client");
  const streamer = await connect(server.url, { clientName: name });
  const making = streamer.createConsumer(uniqueKey(), { mode: "real-time" });
  const [made] = await Promise.allSettled([making, streamer.disconnect()]);
  if (made.status === "fulfilled") await endedWith(made.value.next());
  else assertEquals(made.reason.code, "DISCONNECTED");
  await until(async () => (await clientsNamed(server, name)).length === 0);
});
