// Tests where a real-time consumer starts: messages after its creation are not missed, older ones are not read.

import { assertEquals } from "@std/assert";
import { connect } from "../../../mod.ts";
import { addAt, addMany, restUpToMark, takeTexts, texts } from "../../support/consumer/reading.ts";
import { uniqueKey } from "../../support/keys.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();

test("entries added right after the creation are read, older ones are not", async () => {
  await using streamer = await connect(server.url);
  for (let round = 0; round < 10; round++) {
    const key = uniqueKey();
    await addMany(server, key, 3, "old");
    const consumer = await streamer.createConsumer(key, { mode: "real-time" });
    await addMany(server, key, 3, "new");
    assertEquals(await takeTexts(consumer, 3), texts(3, "new"));
    assertEquals(await restUpToMark(server, consumer, key), []);
    await consumer.end();
  }
});

test("a stream that does not exist yet is read from its first entry", async () => {
  const key = uniqueKey();
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { mode: "real-time" });
  await addAt(server, key, "0-1", "first");
  assertEquals(await takeTexts(consumer, 1), ["first"]);
});

test("an existing stream that is empty is read from its last id", async () => {
  const made = uniqueKey();
  const emptied = uniqueKey();
  await server.command("XGROUP", "CREATE", made, "g", "$", "MKSTREAM");
  await addMany(server, emptied, 3, "old");
  await server.command("XTRIM", emptied, "MAXLEN", 0);
  await using streamer = await connect(server.url);
  for (const key of [made, emptied]) {
    const consumer = await streamer.createConsumer(key, { mode: "real-time" });
    await addMany(server, key, 2, "new");
    assertEquals(await takeTexts(consumer, 2), texts(2, "new"));
    await consumer.end();
  }
});

test("a stream whose tail was deleted is read from behind the deleted tail", async () => {
  const key = uniqueKey();
  for (const id of ["5-1", "5-2", "5-3"]) await addAt(server, key, id);
  await server.command("XDEL", key, "5-3", "5-2");
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { mode: "real-time" });
  await addAt(server, key, "5-4");
  assertEquals(await takeTexts(consumer, 1), ["5-4"]);
  assertEquals(await restUpToMark(server, consumer, key), []);
});

test("earliest reads all existing entries, then new ones", async () => {
  const key = uniqueKey();
  await addMany(server, key, 250, "old");
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { mode: "real-time", autoStreamReset: "earliest" });
  await addMany(server, key, 50, "new");
  assertEquals(await takeTexts(consumer, 300), [...texts(250, "old"), ...texts(50, "new")]);
});

test("earliest on a stream that does not exist waits for its first entry", async () => {
  const key = uniqueKey();
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { mode: "real-time", autoStreamReset: "earliest" });
  const asked = consumer.next();
  await addAt(server, key, "0-1", "first");
  assertEquals((await asked).text(), "first");
});

test("quiet streams of every kind beside a busy one lose nothing and replay nothing", async () => {
  const busy = uniqueKey("busy");
  const missing = uniqueKey("missing");
  const empty = uniqueKey("empty");
  const tail = uniqueKey("tail");
  await addMany(server, busy, 500, "old");
  await server.command("XGROUP", "CREATE", empty, "g", "$", "MKSTREAM");
  await addMany(server, tail, 3, "old");
  const last = await server.command("XADD", tail, "*", "msg", "deleted");
  await server.command("XDEL", tail, String(last));
  await using streamer = await connect(server.url);
  const keys = [busy, missing, empty, tail];
  const consumer = await streamer.createConsumer(keys, { mode: "real-time" });
  await addMany(server, busy, 2_000, "busy");
  for (const key of [missing, empty, tail]) await addMany(server, key, 2, `${key}-`);
  await addMany(server, busy, 1_000, "more");
  const got = new Map<string, string[]>(keys.map((key) => [key, []]));
  for (let left = 3_006; left > 0; left--) {
    const message = await consumer.next();
    got.get(message.streamKey)?.push(message.text());
  }
  assertEquals(got.get(busy), [...texts(2_000, "busy"), ...texts(1_000, "more")]);
  for (const key of [missing, empty, tail]) assertEquals(got.get(key), texts(2, `${key}-`));
  assertEquals(await restUpToMark(server, consumer, ...keys), []);
});

test("two consumers of one streamer both get everything", async () => {
  const key = uniqueKey();
  await using streamer = await connect(server.url);
  const consumers = await Promise.all([1, 2].map(() => streamer.createConsumer(key, { mode: "real-time" })));
  await addMany(server, key, 300);
  const got = await Promise.all(consumers.map((consumer) => takeTexts(consumer, 300)));
  assertEquals(got, [texts(300), texts(300)]);
  await consumers[0].end();
  await addMany(server, key, 1, "after");
  assertEquals(await takeTexts(consumers[1], 1), ["after0"]);
});

test("a producer's messages arrive with payload and headers, in order", async () => {
  const key = uniqueKey();
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { mode: "real-time" });
  const producer = await streamer.createProducer(key);
  const receipts = [producer.send("a", { headers: { kind: "text" } }), producer.send(new Uint8Array([0, 255]))];
  const [first, second] = [await consumer.next(), await consumer.next()];
  const [one, two] = await Promise.all(receipts);
  assertEquals([first.id, second.id], [one.id, two.id]);
  assertEquals([first.text(), first.headers.get("kind")], ["a", "text"]);
  assertEquals([second.bytes(), second.headers.size], [new Uint8Array([0, 255]), 0]);
});
