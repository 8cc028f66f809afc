// Tests `process` with a real server: nothing is lost between two streams, whatever fails.

import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  connect,
  type ConsumerOptions,
  exponentialDelay,
  jsonCodec,
  type Message,
  process,
  type ProcessableConsumer,
  type RedisStreamer,
  StreamerError,
  type TypedMessage,
} from "../../../mod.ts";
import { addMany } from "../../support/consumer/reading.ts";
import { until } from "../../support/events.ts";
import { uniqueKey } from "../../support/keys.ts";
import { startProxy } from "../../support/network/proxy.ts";
import { PROXIED } from "../../support/one_server.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

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
  test(`a relay (${autoCommit}) forwards every message in order, once, and leaves nothing pending`, async () => {
    await using streamer = await connect(server.url);
    const { input, output, consumer, producer } = await open(streamer, autoCommit);
    await addMany(server, input, 3_000);
    const stop = new AbortController();
    const running = process(consumer, (message) => message.bytes(), { producer, signal: stop.signal });
    await until(() => producer.stats().acked === 3_000);
    stop.abort();
    assertEquals(await running, { handled: 3_000, failed: 0, repeated: 0 });
    assertEquals(await payloads(output), Array.from({ length: 3_000 }, (_, i) => String(i)));
    assertEquals(await pending(input, "relay"), 0);
  });
}

test("a message whose handler throws is redelivered, one delivery later, while others continue", async () => {
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
  assertEquals(await running, { handled: 100, failed: 20, repeated: 0 });
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
}, { oneServer: PROXIED, timeout: 40_000 });

test("on the signal running handlers finish, acks are committed, and the rest is left to a later run", async () => {
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
  assertEquals(await running, { handled: 4, failed: 0, repeated: 0 });
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

test("consumers whose messages are not acknowledged by ack are refused, and keep their messages", async () => {
  await using streamer = await connect(server.url);
  const key = uniqueKey();
  await server.command("XGROUP", "CREATE", key, "g", "0", "MKSTREAM");
  await addMany(server, key, 1);
  const kinds: [ConsumerOptions, string][] = [
    [{ mode: "real-time", autoStreamReset: "earliest" }, "real-time"],
    [{ mode: "resumable", group: "g" }, "delayed"],
    [{ mode: "load-balanced", group: "h", autoStreamReset: "earliest", autoCommit: "immediate" }, "immediate"],
  ];
  for (const [options, policy] of kinds) {
    const consumer = await streamer.createConsumer(key, options);
    // A checked border: a call that the types forbid.
    const error = await assertRejects(
      () => process(consumer as unknown as ProcessableConsumer, () => {}),
      StreamerError,
    );
    assertEquals(error.code, "INVALID_OPTION");
    assertEquals(error.message.split("got ").at(-1), `"${policy}"`);
    assertEquals((await consumer.next()).text(), "0");
  }
});

/** Never called: it compiles only while the types have these members. */
export async function typed(streamer: RedisStreamer): Promise<void> {
  const realTime = await streamer.createConsumer("s", { mode: "real-time" });
  // @ts-expect-error: a real-time consumer has no ack
  await process(realTime, () => {});
  const delayed = await streamer.createConsumer("s", { mode: "load-balanced" });
  // @ts-expect-error: time acknowledges its messages
  await process(delayed, () => {});
  const codec = jsonCodec<{ readonly user: string }>();
  const consumer = await streamer.createConsumer("s", { mode: "resumable", autoCommit: "rolling", codec });
  await process(consumer, ({ value }) => value.user, {
    producer: await streamer.createProducer("out"),
    retryDelay: ({ value, deliveries }) => value.user.length * deliveries,
    onError: (_, { value }) => value.user,
  });
  await process(consumer, () => {}, { retryDelay: exponentialDelay({ first: 1, max: 2 }) });
  // @ts-expect-error: a delay is a number
  await process(consumer, () => {}, { retryDelay: () => "1" });
  const wrapped: ProcessableConsumer<TypedMessage<{ readonly user: string }>> = {
    batches: (options) => consumer.batches(options),
    ack: (message) => consumer.ack(message),
    nack: (message, options) => consumer.nack(message, options),
  };
  await process(wrapped, ({ value }) => void value.user);
}
