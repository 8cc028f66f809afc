// Tests several streams in one consumer: a flood on one starves no other, and order holds in each.

import { assert, assertEquals, assertLess } from "@std/assert";
import { connect } from "../../../mod.ts";
import { addMany, addVeryMany, restUpToMark, take, takeTexts, texts } from "../../support/consumer/reading.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { TOGETHER } from "../../support/one_server.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();

test("messages of each stream are in order, whatever the others do", async () => {
  const keys = Array.from({ length: 5 }, () => uniqueKey());
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(keys, { mode: "real-time" });
  await Promise.all(keys.map(async (key, i) => {
    for (let round = 0; round < 5; round++) await addMany(server, key, 20 * (i + 1), `${round}/`);
  }));
  const got = new Map<string, string[]>(keys.map((key) => [key, []]));
  for (const message of await take(consumer, 1_500)) got.get(message.streamKey)?.push(message.text());
  for (const [i, key] of keys.entries()) {
    assertEquals(got.get(key), Array.from({ length: 5 }, (_, round) => texts(20 * (i + 1), `${round}/`)).flat());
  }
});

test("a stream that is silent while another is flooded is read as soon as it has an entry", async () => {
  const [flooded, silent] = [uniqueKey("flooded"), uniqueKey("silent")];
  await addVeryMany(server, flooded, 20_000);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer([flooded, silent], {
    mode: "real-time",
    autoStreamReset: "earliest",
    batchSize: 100,
  });
  await take(consumer, 50);
  await addMany(server, silent, 1, "now");
  let between = 0;
  while ((await consumer.next()).streamKey === flooded) between++;
  // Messages prefetched or in flight at that time, and the page of the entry.
  assertLess(between, 500);
  assertEquals((await takeTexts(consumer, 20_000 - 50 - between)).length, 20_000 - 50 - between);
  assertEquals(await restUpToMark(server, consumer, flooded, silent), []);
});

test("five rounds of a busy and three quiet streams lose nothing", async () => {
  const busy = uniqueKey("busy");
  const quiet = [uniqueKey(), uniqueKey(), uniqueKey()];
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer([busy, ...quiet], { mode: "real-time" });
  for (let round = 0; round < 5; round++) {
    const adding = addMany(server, busy, 300, `b${round}/`);
    for (const key of quiet) await addMany(server, key, 1, `q${round}/`);
    await adding;
    const got = await take(consumer, 303);
    assertEquals(got.filter(({ streamKey }) => streamKey === busy).map((one) => one.text()), texts(300, `b${round}/`));
    for (const key of quiet) {
      assertEquals(got.filter(({ streamKey }) => streamKey === key).map((one) => one.text()), [`q${round}/0`]);
    }
  }
});

test("entries of two streams added in one transaction are both delivered", async () => {
  const keys = [uniqueKey(), uniqueKey()];
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(keys, { mode: "real-time" });
  for (let round = 0; round < 5; round++) {
    const asked = [consumer.next(), consumer.next()];
    const replies = await server.commands([
      ["MULTI"],
      ["XADD", keys[1], "*", "msg", `${round}`],
      ["XADD", keys[0], "*", "msg", `${round}`],
      ["EXEC"],
    ]);
    assert(!replies.some((reply) => reply instanceof Error));
    const got = (await Promise.all(asked)).map((message) => [message.streamKey, message.text()]);
    assertEquals(got.toSorted(), keys.map((key) => [key, `${round}`]).toSorted());
  }
}, { oneServer: TOGETHER });

test("an entry that is added and deleted in one transaction wakes no caller", async () => {
  const key = uniqueKey();
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { mode: "real-time" });
  const asked = consumer.next();
  await server.commands([["MULTI"], ["XADD", key, "5-0", "msg", "gone"], ["XDEL", key, "5-0"], ["EXEC"]]);
  await server.command("XADD", key, "6-0", "msg", "there");
  assertEquals((await asked).text(), "there");
});

test("two hundred streams in one consumer are all read", async () => {
  const keys = Array.from({ length: 200 }, () => uniqueKey());
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(keys, { mode: "real-time" });
  await server.commands(keys.flatMap((key) => [1, 2].map((n) => ["XADD", key, "*", "msg", `${n}`])));
  const got = new Map<string, string[]>();
  for (const message of await take(consumer, 400)) {
    got.set(message.streamKey, [...got.get(message.streamKey) ?? [], message.text()]);
  }
  assertEquals(got.size, 200);
  for (const seen of got.values()) assertEquals(seen, ["1", "2"]);
});

test("a hundred consumers of one streamer each get everything", async () => {
  const key = uniqueKey();
  await using streamer = await connect(server.url);
  const making = Array.from({ length: 100 }, () => streamer.createConsumer(key, { mode: "real-time" }));
  const consumers = await Promise.all(making);
  await addMany(server, key, 20);
  const got = await Promise.all(consumers.map((consumer) => takeTexts(consumer, 20)));
  for (const seen of got) assertEquals(seen, texts(20));
  assertEquals(streamer.stats().consumers, 100);
  await Promise.all(consumers.map((consumer) => consumer.end()));
  await until(() => streamer.stats().consumers === 0);
});
