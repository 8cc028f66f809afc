// Tests `next()`: concurrent calls, in order, and aborted ones, which take nothing.

import { assert, assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { connect, type Consumer } from "../../../mod.ts";
import { Random } from "../../support/resp/drive.ts";
import { addMany, restUpToMark, takeTexts, texts } from "../../support/consumer/reading.ts";
import { uniqueKey } from "../../support/keys.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();

test("concurrent calls are answered in the order in which they were made", async () => {
  const key = uniqueKey();
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { mode: "real-time" });
  const answered: string[] = [];
  const calls = Array.from({ length: 50 }, () =>
    consumer.next().then((message) => {
      answered.push(message.text());
      return message.text();
    }));
  await addMany(server, key, 20);
  await addMany(server, key, 30, "b");
  const expected = [...texts(20), ...texts(30, "b")];
  assertEquals(await Promise.all(calls), expected);
  assertEquals(answered, expected);
});

test("calls that find queued messages are answered in order too", async () => {
  const key = uniqueKey();
  await addMany(server, key, 250);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { mode: "real-time", autoStreamReset: "earliest" });
  const calls = Array.from({ length: 250 }, () => consumer.next());
  assertEquals((await Promise.all(calls)).map((message) => message.text()), texts(250));
});

test("an aborted call rejects with the signal's reason and takes no message", async () => {
  const key = uniqueKey();
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { mode: "real-time" });
  const controller = new AbortController();
  const reason = new Error("no longer");
  const [first, second, third] = [consumer.next(), consumer.next({ signal: controller.signal }), consumer.next()];
  controller.abort(reason);
  assertStrictEquals(await assertRejects(() => second), reason);
  await addMany(server, key, 3);
  assertEquals([(await first).text(), (await third).text()], ["0", "1"]);
  assertEquals(await takeTexts(consumer, 1), ["2"]);
});

test("a call whose signal is already aborted rejects at once, also with queued messages", async () => {
  const key = uniqueKey();
  await addMany(server, key, 2);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { mode: "real-time", autoStreamReset: "earliest" });
  assertEquals(await takeTexts(consumer, 1), ["0"]);
  const reason = new Error("before");
  assertStrictEquals(await assertRejects(() => consumer.next({ signal: AbortSignal.abort(reason) })), reason);
  assertEquals(await takeTexts(consumer, 1), ["1"]);
});

test("an abort after the answer has no effect", async () => {
  const key = uniqueKey();
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { mode: "real-time" });
  const controller = new AbortController();
  const asked = consumer.next({ signal: controller.signal });
  await addMany(server, key, 2);
  assertEquals((await asked).text(), "0");
  controller.abort();
  assertEquals(await takeTexts(consumer, 1), ["1"]);
});

/** Calls with signals that are aborted at random while messages arrive. Resolves to the messages received. */
async function askAndAbort(consumer: Consumer, random: Random, all: number): Promise<string[]> {
  const got: string[] = [];
  const open = new Set<AbortController>();
  const calls: Promise<void>[] = [];
  while (got.length < all) {
    const controller = new AbortController();
    open.add(controller);
    const call = consumer.next({ signal: controller.signal }).then(
      (message) => void got.push(message.text()),
      (error) => assertStrictEquals(error, controller.signal.reason),
    ).finally(() => open.delete(controller));
    calls.push(call);
    if (random.once(3)) { for (const one of open) if (random.once(2)) one.abort(new Error("random")); }
    if (open.size > 20 || random.once(4)) await new Promise((resolve) => setTimeout(resolve, 0));
  }
  for (const one of open) one.abort(new Error("rest"));
  await Promise.all(calls);
  return got;
}

for (const seed of [11, 12, 13]) {
  test(`calls that are aborted at random neither lose nor repeat messages (seed ${seed})`, async () => {
    const key = uniqueKey();
    const random = new Random(seed);
    await using streamer = await connect(server.url);
    const consumer = await streamer.createConsumer(key, { mode: "real-time", batchSize: 1 + random.below(30) });
    const adding = (async () => {
      for (let n = 0; n < 1_500; n += 50) await addMany(server, key, 50, `${n}+`);
    })();
    const got = await askAndAbort(consumer, random, 1_500);
    await adding;
    const expected = Array.from({ length: 30 }, (_, i) => texts(50, `${i * 50}+`)).flat();
    assertEquals(got, expected);
    assertEquals(await restUpToMark(server, consumer, key), []);
    assert(consumer.stats().delivered === 1_501, `${consumer.stats().delivered} delivered`);
  });
}
