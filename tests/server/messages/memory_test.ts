// Tests who owns the bytes of a message: views do not change, copies hold only their own bytes.

import { assert, assertEquals, assertLess, assertNotStrictEquals } from "@std/assert";
import { connect, type Message } from "../../../mod.ts";
import { addAt, addVeryMany, take } from "../../support/consumer/reading.ts";
import { uniqueKey } from "../../support/keys.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();
const earliest = { mode: "real-time", autoStreamReset: "earliest" } as const;

test("bytes, text and headers of old messages are unchanged after 100,000 more were read", async () => {
  const key = uniqueKey();
  await addVeryMany(server, key, 100_000, "payload ");
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, earliest);
  const kept: {
    readonly number: number;
    readonly message: Message;
    readonly bytes: Uint8Array;
    readonly id: string;
  }[] = [];
  let number = 0;
  for await (const batch of consumer.batches()) {
    for (const message of batch) {
      // The first hundred, and then one of each thousand, so that pages of all kinds are kept.
      if (number < 100 || number % 997 === 0) kept.push({ number, message, bytes: message.bytes(), id: message.id });
      number++;
    }
    if (number === 100_000) break;
  }
  for (const { number, message, bytes, id } of kept) {
    assertEquals(new TextDecoder().decode(bytes), `payload ${number}`);
    assertEquals([message.text(), message.headers.get("h"), message.id], [`payload ${number}`, "v", id]);
  }
  assert(kept.length > 190);
});

test("a message of a page that arrived in small pieces is unchanged when the next pages arrive", async () => {
  const key = uniqueKey();
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { mode: "real-time" });
  const kept: Message[] = [];
  for (let i = 0; i < 200; i++) {
    await addAt(server, key, `${i + 1}-0`, `${i}`.repeat(1 + i % 50));
    kept.push(await consumer.next());
  }
  for (const [i, message] of kept.entries()) assertEquals(message.text(), `${i}`.repeat(1 + i % 50));
});

test("a copy has a small buffer of its own, and does not depend on its page", async () => {
  const key = uniqueKey();
  await addVeryMany(server, key, 3_000, "payload ");
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, earliest);
  for (const message of await take(consumer, 2_000)) {
    const copy = message.copy();
    const [ours, page] = [copy.bytes(), message.bytes()];
    assertNotStrictEquals(ours.buffer, page.buffer);
    assertLess(ours.buffer.byteLength, 500);
    assertNotStrictEquals(copy.headers.getBytes("h")?.buffer, page.buffer);
    const before = [copy.id, copy.text(), copy.headers.get("h")];
    page.fill(0x58);
    assertEquals([copy.id, copy.text(), copy.headers.get("h")], before);
  }
});

test("writing into one message's bytes changes no other message", async () => {
  const key = uniqueKey();
  await addVeryMany(server, key, 3_000, "payload ");
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, earliest);
  const messages = await take(consumer, 300);
  for (const message of messages.filter((_, i) => i % 2 === 0)) message.bytes().fill(0);
  for (const [i, message] of messages.entries()) if (i % 2 === 1) assertEquals(message.text(), `payload ${i}`);
  assertEquals((await consumer.next()).text(), "payload 300");
});

test("large payloads across many chunks arrive complete, also when they are kept", async () => {
  const key = uniqueKey();
  const sizes = [0, 1, 65_535, 65_536, 65_537, 300_000, 1_048_576, 2_500_000, 10];
  for (const [i, size] of sizes.entries()) await addAt(server, key, `${i + 1}-0`, new Uint8Array(size).fill(65 + i));
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { ...earliest, batchSize: 2 });
  const messages = await take(consumer, sizes.length);
  for (const [i, message] of messages.entries()) {
    const bytes = message.bytes();
    assertEquals(bytes.length, sizes[i]);
    assert(bytes.every((byte) => byte === 65 + i), `payload ${i}`);
  }
});
