// Owns `process` against a real server: nothing is lost between two streams, whatever fails on the way.

import { assert, assertEquals } from "@std/assert";
import { connect, type Message, process, type RedisStreamer } from "../mod.ts";
import { addMany } from "./streamer/consumer/reading.ts";
import { until } from "./support/events.ts";
import { uniqueKey } from "./support/keys.ts";
import { startProxy } from "./support/proxy.ts";
import { test } from "./support/runner.ts";
import { sharedServer } from "./support/server.ts";

const server = await sharedServer();

async function payloads(key: string): Promise<string[]> {
  const entries = await server.command("XRANGE", key, "-", "+") as [string, string[]][];
  return entries.map(([, fields]) => fields[1]);
}

async function pending(key: string, group: string): Promise<number> {
  const [count] = await server.command("XPENDING", key, group) as [number];
  return count;
}

/** A consumer and a producer between two streams. */
async function open(streamer: RedisStreamer, autoCommit: "rolling" | "disabled") {
  const [input, output] = [uniqueKey("in"), uniqueKey("out")];
  await server.command("XGROUP", "CREATE", input, "relay", "0", "MKSTREAM");
  const shared = { mode: "resumable", group: "relay", autoCommitInterval: 5 } as const;
  const consumer = autoCommit === "rolling"
    ? await streamer.createConsumer(input, { ...shared, autoCommit })
    : await streamer.createConsumer(input, { mode: "resumable", group: "relay", autoCommit });
  return { input, output, consumer, producer: await streamer.createProducer(output) };
}

for (const autoCommit of ["rolling", "disabled"] as const) {
  test(`a relay (${autoCommit}) carries every message over in order, once, and leaves nothing pending`, async () => {
    await using streamer = await connect(server.url);
    const { input, output, consumer, producer } = await open(streamer, autoCommit);
    await addMany(server, input, 3_000);
    const stop = new AbortController();
    const running = process(consumer, (message) => message.bytes(), { producer, signal: stop.signal });
    await until(() => producer.stats().acked === 3_000);
    stop.abort();
    assertEquals(await running, { handled: 3_000, failed: 0 });
    assertEquals(await payloads(output), Array.from({ length: 3_000 }, (_, i) => String(i)));
    assertEquals(await pending(input, "relay"), 0);
  });
}

test("a handler that throws has its message again, one delivery later, while others go on", async () => {
  await using streamer = await connect(server.url);
  const { input, output, consumer, producer } = await open(streamer, "rolling");
  await addMany(server, input, 100);
  const deliveries: number[] = [];
  const errors: string[] = [];
  const stop = new AbortController();
  const handler = (message: Message) => {
    const number = Number(message.text());
    if (number % 10 === 0) deliveries.push(message.deliveries);
    if (number % 10 === 0 && message.deliveries < 3) throw new Error(`not yet ${number}`);
    return message.text();
  };
  const running = process(consumer, handler, {
    producer,
    retryDelay: 1,
    signal: stop.signal,
    onError: (error) => void errors.push(String(error)),
  });
  await until(() => producer.stats().acked === 100);
  stop.abort();
  assertEquals(await running, { handled: 100, failed: 20 });
  assertEquals(deliveries.sort(), [...Array(10).fill(1), ...Array(10).fill(2), ...Array(10).fill(3)]);
  assertEquals(errors.length, 20);
  assertEquals((await payloads(output)).map(Number).sort((a, b) => a - b), Array.from({ length: 100 }, (_, i) => i));
  assertEquals(await pending(input, "relay"), 0);
});

test("a relay whose connections are cut again and again loses nothing", async () => {
  await using proxy = await startProxy(server);
  await using streamer = await connect(proxy.url, { reconnect: { initialDelay: 1, maxDelay: 20 } });
  const { input, output, consumer, producer } = await open(streamer, "rolling");
  await addMany(server, input, 2_000);
  const stop = new AbortController();
  let handled = 0;
  const handler = async (message: Message) => {
    if (++handled % 400 === 0) await proxy.cut();
    return message.text();
  };
  const running = process(consumer, handler, { producer, orderBy: "none", signal: stop.signal });
  await until(async () => new Set(await payloads(output)).size === 2_000 && await pending(input, "relay") === 0, {
    timeout: 20_000,
  });
  stop.abort();
  const { failed } = await running;
  assertEquals(failed, 0);
  assert(proxy.connections > 4, "nothing was cut");
}, { timeout: 40_000 });

test("on the signal what runs is finished, acked and committed, and the rest is left to a later life", async () => {
  await using streamer = await connect(server.url);
  const { input, consumer } = await open(streamer, "disabled");
  await addMany(server, input, 50);
  const stop = new AbortController();
  const gate = Promise.withResolvers<void>();
  const started: string[] = [];
  const running = process(consumer, async (message) => {
    started.push(message.text());
    if (started.length === 4) stop.abort();
    await gate.promise;
  }, { concurrency: 4, orderBy: "none", signal: stop.signal });
  await until(() => stop.signal.aborted);
  gate.resolve();
  assertEquals(await running, { handled: 4, failed: 0 });
  await consumer.end();
  await using later = await streamer.createConsumer(input, {
    mode: "resumable",
    group: "relay",
    autoCommit: "rolling",
  });
  const rest: string[] = [];
  while (rest.length < 46) rest.push((await later.next()).text());
  assertEquals([...started, ...rest].map(Number).sort((a, b) => a - b), Array.from({ length: 50 }, (_, i) => i));
});
