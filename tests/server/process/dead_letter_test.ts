// Tests the header `x-dead-letter-error`: the last error that `process` saw of a dead-lettered message, and when it is
// absent.

import { assert, assertEquals } from "@std/assert";
import { connect, type Message, process, type RedisStreamer } from "../../../mod.ts";
import { eventsOf, groupOf, leftBy, pendingRows, untilPending } from "../../support/consumer/grouping.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();
const group = "g";

/** Options of a consumer whose failing messages are dead-lettered after so many deliveries. */
function limited(maxDeliveries: number, deadLetter: string) {
  return {
    mode: "load-balanced",
    group,
    consumerId: "me",
    autoCommit: "rolling",
    autoCommitInterval: 1,
    maxDeliveries,
    deadLetter,
  } as const;
}

/** The dead letters' payloads with their headers of this prefix. */
async function deadLetters(streamer: RedisStreamer, key: string): Promise<[string, Record<string, string>][]> {
  const manager = await streamer.createManager();
  const found = await manager.range(key, "-", "+");
  return found.map((message) => [
    message.text(),
    Object.fromEntries([...message.headers].map(([name]) => [name, String(message.headers.get(name))])),
  ]);
}

/** Resolves with the dead letters once there are so many. */
async function untilDead(streamer: RedisStreamer, key: string, count: number) {
  await until(async () => Number(await server.command("XLEN", key)) === count, { what: `${count} dead letters` });
  return await deadLetters(streamer, key);
}

test("a message that fails until the limit carries the text of its last error, escaped and cut", async () => {
  const { key, ids } = await groupOf(server, group, 3);
  const deadLetter = uniqueKey("dead");
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, limited(3, deadLetter));
  const stop = new AbortController();
  const handle = (message: Message) => {
    if (message.text() === "1") throw new Error(`delivery ${message.deliveries}\n${"é".repeat(600)}`);
  };
  const running = process(consumer, handle, { retryDelay: 1, signal: stop.signal });
  const [[payload, headers]] = await untilDead(streamer, deadLetter, 1);
  await untilPending(server, key, group, 0);
  stop.abort();
  assertEquals(await running, { handled: 2, failed: 3, repeated: 0 });
  assertEquals(payload, "1");
  const { "x-dead-letter-error": text, ...others } = headers;
  assert(text.startsWith("delivery 3\\x0aéé") && text.endsWith("é…") && text.length === 512, text);
  assertEquals(others, {
    "x-dead-letter-stream": key,
    "x-dead-letter-shard": "0",
    "x-dead-letter-id": ids[1],
    "x-dead-letter-group": group,
    "x-dead-letter-deliveries": "3",
    "x-dead-letter-reason": "max-deliveries",
  });
});

test("a message that onError terminates carries the text of the error that onError got", async () => {
  const { key } = await groupOf(server, group, 1);
  const deadLetter = uniqueKey("dead");
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, limited(9, deadLetter));
  const stop = new AbortController();
  const running = process(consumer, () => Promise.reject(new TypeError("bad card")), {
    signal: stop.signal,
    onError: (_, message) => consumer.term(message, "rejected"),
  });
  const [[, headers]] = await untilDead(streamer, deadLetter, 1);
  stop.abort();
  assertEquals(await running, { handled: 0, failed: 1, repeated: 0 });
  assertEquals([headers["x-dead-letter-reason"], headers["x-dead-letter-error"]], ["rejected", "bad card"]);
});

test("an output that cannot be stored is an error like one of the handler", async () => {
  const { key } = await groupOf(server, group, 1);
  const [deadLetter, output] = [uniqueKey("dead"), uniqueKey("out")];
  await server.command("SET", output, "no stream");
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, limited(1, deadLetter));
  const producer = await streamer.createProducer(output);
  const stop = new AbortController();
  const running = process(consumer, () => "out", { producer, signal: stop.signal });
  const [[, headers]] = await untilDead(streamer, deadLetter, 1);
  stop.abort();
  assertEquals(await running, { handled: 0, failed: 1, repeated: 0 });
  assert(headers["x-dead-letter-error"].startsWith("WRONGTYPE"), headers["x-dead-letter-error"]);
});

test("a message that passes the limit later, in the same consumer, carries the text of its last failure here", async () => {
  const { key } = await groupOf(server, group, 1);
  const deadLetter = uniqueKey("dead");
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, {
    ...limited(2, deadLetter),
    autoClaimInterval: 20,
    autoClaimIdle: 60,
    maxHold: 60,
  });
  const stop = new AbortController();
  const counts = await process(consumer, () => Promise.reject(new Error("once")), {
    retryDelay: 1,
    signal: stop.signal,
    onError: () => stop.abort(),
  });
  assertEquals(counts, { handled: 0, failed: 1, repeated: 0 });
  // The program takes the next delivery and does not settle it. It is released, and redelivered once too often.
  assertEquals((await consumer.next()).deliveries, 2);
  const [[, headers]] = await untilDead(streamer, deadLetter, 1);
  assertEquals([headers["x-dead-letter-deliveries"], headers["x-dead-letter-error"]], ["2", "once"]);
});

test("without process, or after a failure in another consumer, the header is absent", async () => {
  const { key } = await groupOf(server, group, 2);
  const deadLetter = uniqueKey("dead");
  await leftBy(server, { key, group, consumer: "other", count: 1 }); // another consumer has failed
  await using streamer = await connect(server.url);
  const options = { ...limited(1, deadLetter), autoClaimInterval: 20, autoClaimIdle: 60 };
  const consumer = await streamer.createConsumer(key, options);
  const message = await consumer.next();
  consumer.nack(message); // without process
  consumer.next().catch(() => {}); // a call is made, so that the consumer claims
  const letters = await untilDead(streamer, deadLetter, 2);
  assertEquals(letters.map(([, headers]) => "x-dead-letter-error" in headers), [false, false]);
  assertEquals(letters.map(([text]) => text).toSorted(), ["0", "1"]);
});

test("a failure here is forgotten once another consumer has the message", async () => {
  const { key, ids } = await groupOf(server, group, 1);
  const deadLetter = uniqueKey("dead");
  await using streamer = await connect(server.url);
  const options = { ...limited(2, deadLetter), autoClaimInterval: 20, autoClaimIdle: 60 };
  const consumer = await streamer.createConsumer(key, options);
  const stop = new AbortController();
  const running = process(consumer, () => Promise.reject(new Error("here")), {
    retryDelay: 3_600_000,
    signal: stop.signal,
  });
  await until(async () => (await pendingRows(server, key, group)).length === 1 && consumer.stats().inHand === 0);
  await server.command("XCLAIM", key, group, "other", 0, ids[0]); // its second delivery, in which it fails
  await until(() => consumer.stats().inHand === 0);
  const dead = eventsOf(streamer, "dead-letter");
  await until(async () => {
    await server.command("XCLAIM", key, group, "other", 0, ids[0], "IDLE", 3_600_000, "JUSTID");
    return Number(await server.command("XLEN", deadLetter)) === 1;
  });
  await until(() => dead.length === 1);
  assertEquals(dead[0].deliveries, 2);
  stop.abort();
  assertEquals((await running).failed, 1);
  const [[, headers]] = await deadLetters(streamer, deadLetter);
  assertEquals("x-dead-letter-error" in headers, false);
});
