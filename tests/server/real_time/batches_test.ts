// Tests `batches()`: never empty, one shard each, never larger than requested, never waiting to fill one.

import { assert, assertEquals, assertThrows } from "@std/assert";
import { connect, type Message, StreamerError } from "../../../mod.ts";
import { addMany, texts } from "../../support/consumer/reading.ts";
import { uniqueKey } from "../../support/keys.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();
const names = (batch: readonly Message[]) => batch.map((message) => message.text());

test("a batch has the queued messages of one shard, in order", async () => {
  const keys = [uniqueKey(), uniqueKey(), uniqueKey()];
  for (const key of keys) await addMany(server, key, 400, `${key}:`);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(keys, { mode: "real-time", autoStreamReset: "earliest" });
  const got = new Map<string, string[]>(keys.map((key) => [key, []]));
  let left = 1_200;
  for await (const batch of consumer.batches()) {
    assert(batch.length > 0);
    assertEquals(new Set(batch.map(({ streamKey }) => streamKey)).size, 1, "one shard each");
    got.get(batch[0].streamKey)?.push(...names(batch));
    left -= batch.length;
    if (left <= 0) break;
  }
  for (const key of keys) assertEquals(got.get(key), texts(400, `${key}:`));
});

test("a batch has at most max messages, and the next ones have the rest", async () => {
  const key = uniqueKey();
  await addMany(server, key, 250);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { mode: "real-time", autoStreamReset: "earliest" });
  for (const max of [1, 7, 100]) {
    await consumer.rewind("beginning");
    const got: string[] = [];
    for await (const batch of consumer.batches({ max })) {
      assert(batch.length >= 1 && batch.length <= max, `${batch.length} of ${max}`);
      got.push(...names(batch));
      if (got.length === 250) break;
    }
    assertEquals(got, texts(250));
  }
});

test("a batch does not wait to be filled", async () => {
  const key = uniqueKey();
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { mode: "real-time" });
  const batches = consumer.batches({ max: 1_000 });
  for (let round = 0; round < 5; round++) {
    const asked = batches.next();
    await addMany(server, key, 1, `round${round}-`);
    const { value } = await asked;
    assertEquals(value && names(value), [`round${round}-0`]);
  }
});

test("leaving the loop over batches loses nothing", async () => {
  const key = uniqueKey();
  await addMany(server, key, 100);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { mode: "real-time", autoStreamReset: "earliest" });
  const got: string[] = [];
  while (got.length < 100) {
    for await (const batch of consumer.batches({ max: 9 })) {
      got.push(...names(batch));
      break;
    }
  }
  assertEquals(got, texts(100));
});

test("a waiting batch that is left takes no message", async () => {
  const key = uniqueKey();
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { mode: "real-time" });
  const batches = consumer.batches();
  const waiting = batches.next();
  await batches.return?.();
  assertEquals(await waiting, { value: undefined, done: true });
  await addMany(server, key, 1);
  assertEquals((await consumer.next()).text(), "0");
});

test("a max that is not a whole number of at least 1 is refused", async () => {
  const key = uniqueKey();
  await addMany(server, key, 5);
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { mode: "real-time", autoStreamReset: "earliest" });
  for (const max of [0, -1, 1.5, NaN, Number("x")]) {
    const error = assertThrows(() => consumer.batches({ max }), StreamerError, "max", String(max));
    assertEquals(error.code, "INVALID_OPTION");
  }
  const { value } = await consumer.batches().next();
  assertEquals(value && names(value), texts(5));
});
