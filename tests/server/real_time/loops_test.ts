// Tests `for await`: leaving a loop ends only that loop, and all ways of receiving may be mixed.

import { assertEquals, assertNotStrictEquals } from "@std/assert";
import { connect } from "../../../mod.ts";
import { addMany, restUpToMark, takeTexts, texts } from "../../support/consumer/reading.ts";
import { uniqueKey } from "../../support/keys.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();

test("leaving a loop ends only that loop, and loses no message", async () => {
  const key = uniqueKey();
  await addMany(server, key, 300);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { mode: "real-time", autoStreamReset: "earliest" });
  const got: string[] = [];
  for (let loop = 0; loop < 3; loop++) {
    let left = 60;
    for await (const message of consumer) {
      got.push(message.text());
      if (--left === 0) break;
    }
  }
  got.push(...await takeTexts(consumer, 120));
  assertEquals(got, texts(300));
});

test("an error thrown in a loop does not change the consumer", async () => {
  const key = uniqueKey();
  await addMany(server, key, 2);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { mode: "real-time", autoStreamReset: "earliest" });
  const mine = new Error("mine");
  try {
    for await (const _ of consumer) throw mine;
  } catch (error) {
    assertEquals(error, mine);
  }
  assertEquals(await takeTexts(consumer, 1), ["1"]);
});

test("an iterator that is left while it waits is done, and takes no message", async () => {
  const key = uniqueKey();
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { mode: "real-time" });
  const iterator = consumer[Symbol.asyncIterator]();
  const waiting = iterator.next();
  assertEquals(await iterator.return?.(), { value: undefined, done: true });
  assertEquals(await waiting, { value: undefined, done: true });
  assertEquals(await iterator.next(), { value: undefined, done: true });
  await addMany(server, key, 2);
  assertEquals(await takeTexts(consumer, 2), ["0", "1"]);
});

test("concurrent calls of an iterator are answered in order", async () => {
  const key = uniqueKey();
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { mode: "real-time" });
  const iterator = consumer[Symbol.asyncIterator]();
  const results = Array.from({ length: 5 }, () => iterator.next());
  await addMany(server, key, 5);
  assertEquals((await Promise.all(results)).map(({ value }) => value?.text()), texts(5));
});

test("two iterators share the messages, and leaving one does not affect the other", async () => {
  const key = uniqueKey();
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { mode: "real-time" });
  const [one, two] = [consumer[Symbol.asyncIterator](), consumer[Symbol.asyncIterator]()];
  assertNotStrictEquals(one, two);
  const asked = [one.next(), two.next(), one.next(), two.next()];
  await addMany(server, key, 6);
  const got = (await Promise.all(asked)).map(({ value }) => value?.text());
  assertEquals(got, texts(4));
  await one.return?.();
  assertEquals((await two.next()).value?.text(), "4");
  assertEquals(await takeTexts(consumer, 1), ["5"]);
});

test("iterators, next, batches and readable together: each message goes to exactly one call", async () => {
  const key = uniqueKey();
  const quiet = uniqueKey();
  const total = 3_000;
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer([key, quiet], { mode: "real-time", batchSize: 37 });
  const got: string[][] = [[], [], [], [], []];
  let count = 0;
  const done = Promise.withResolvers<void>();
  const take = (asker: number, text: string) => {
    if (text !== "stop") got[asker].push(text);
    if (text !== "stop" && ++count === total) done.resolve();
  };
  const loops = [
    (async () => {
      for await (const message of consumer) take(0, message.text());
    })(),
    (async () => {
      for await (const message of consumer) take(1, message.text());
    })(),
    (async () => {
      for await (const batch of consumer.batches({ max: 10 })) for (const message of batch) take(2, message.text());
    })(),
    (async () => {
      for await (const message of consumer.readable) take(3, message.text());
    })(),
    (async () => {
      for (;;) {
        const message = await consumer.next().catch(() => undefined);
        if (message === undefined) return;
        take(4, message.text());
      }
    })(),
  ];
  for (let n = 0; n < total; n += 100) await addMany(server, key, 100, `${n}+`);
  await done.promise;
  await consumer.end();
  await Promise.all(loops);
  const expected = Array.from({ length: total / 100 }, (_, i) => texts(100, `${i * 100}+`)).flat();
  assertEquals(got.flat().toSorted(), expected.toSorted());
  const place = new Map(expected.map((text, i) => [text, i]));
  for (const own of got) {
    const places = own.map((text) => place.get(text) ?? -1);
    assertEquals(places, places.toSorted((a, b) => a - b), "each asker sees them in order");
  }
  for (const [asker, own] of got.entries()) assertEquals(own.length > 0, true, `asker ${asker} got something`);
});

test("a loop that ends while others wait does not block them", async () => {
  const key = uniqueKey();
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { mode: "real-time" });
  const iterator = consumer[Symbol.asyncIterator]();
  const [inLoop, batch, single] = [iterator.next(), consumer.batches().next(), consumer.next()];
  await iterator.return?.();
  await addMany(server, key, 1, "a");
  assertEquals((await batch).value?.map((message: { text(): string }) => message.text()), ["a0"]);
  await addMany(server, key, 1, "b");
  assertEquals((await single).text(), "b0");
  assertEquals((await inLoop).done, true);
  assertEquals(await restUpToMark(server, consumer, key), []);
});
