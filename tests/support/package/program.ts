// A small program of a user: the job `package` installs the packed package into an empty project and type-checks and runs this
// file there. It prints `ok`.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import {
  type Codec,
  connect,
  exponentialDelay,
  jsonCodec,
  type Message,
  processMessages,
  type RedisStreamer,
  StreamerError,
} from "@sea/streamer-redis";
import { main } from "@sea/streamer-redis/cli";
import { MessageSink, MessageSource } from "@sea/streamer-redis/file";
import { encodeCommand, RespDecoder } from "@sea/streamer-redis/resp";

interface Order {
  readonly id: number;
}

const codec: Codec<Order> = jsonCodec<Order>();

/** Inferred types of exported functions must have names. */
export function openConsumer(streamer: RedisStreamer) {
  return streamer.createConsumer("orders", {
    mode: "load-balanced",
    group: "billing",
    autoStreamReset: "earliest",
    autoCommit: "disabled",
    codec,
    signal: AbortSignal.timeout(10_000),
  });
}

/** Types that come from the runtime must be types, and not `any`. */
export async function typed(streamer: RedisStreamer): Promise<void> {
  streamer.addEventListener("reconnect", (event) => event.detail.node.toUpperCase());
  // @ts-expect-error: no such event detail
  streamer.addEventListener("reconnect", (event) => event.detail.nothing);
  // @ts-expect-error: not a listener
  streamer.addEventListener("other", 7);
  streamer.addEventListener("other", { handleEvent: (event) => void event.type.toUpperCase() }, { once: true });
  streamer.removeEventListener("other", null);
  // @ts-expect-error: a signal is not a text
  await streamer.createConsumer("orders", { mode: "real-time", signal: "stop" });
  const consumer = await streamer.createConsumer("orders", { mode: "real-time" });
  const reader = consumer.readable.getReader();
  const { value } = await reader.read();
  value?.id.toUpperCase();
  // @ts-expect-error: no such property of a message
  value?.nothing;
  const { writable } = await streamer.createProducer("orders");
  // @ts-expect-error: a payload is not a number
  await writable.getWriter().write(7);
  const disposed: AsyncDisposable = streamer;
  await disposed[Symbol.asyncDispose]();
}

async function orders(streamer: RedisStreamer): Promise<number[]> {
  const producer = await streamer.createProducer("orders", { codec });
  for (const id of [1, 2, 3]) producer.send({ id }, { headers: { kind: "order" } });
  await producer.flush();
  const consumer = await openConsumer(streamer);
  const seen: number[] = [];
  const stop = new AbortController();
  await processMessages(consumer, ({ value, headers }) => {
    seen.push(value.id);
    if (seen.length === 3) stop.abort();
    return { payload: `invoice ${value.id} of ${headers.get("kind")}` };
  }, {
    producer: await streamer.createProducer("invoices"),
    retryDelay: exponentialDelay({ first: 100, max: 1_000 }),
    signal: stop.signal,
  });
  return seen;
}

async function fileOf(messages: readonly Message[]): Promise<string[]> {
  const folder = await mkdtemp(join(tmpdir(), "sea-package-"));
  try {
    const path = join(folder, "orders.ss");
    const sink = await MessageSink.create(path);
    for (const message of messages) {
      await sink.write({ ...message.identifier, timestamp: message.timestamp, payload: message.bytes() });
    }
    await sink.close();
    const source = await MessageSource.open(path);
    const texts: string[] = [];
    for await (const message of source) texts.push(message.text());
    await source.close();
    return texts;
  } finally {
    await rm(folder, { recursive: true });
  }
}

function check(actual: unknown, expected: unknown): void {
  const [a, b] = [JSON.stringify(actual), JSON.stringify(expected)];
  if (a !== b) throw new Error(`expected ${b}, got ${a}`);
}

const streamer = await connect();
check((await orders(streamer)).sort(), [1, 2, 3]);
const manager = await streamer.createManager();
check((await manager.info("orders")).groups.map(({ name, pending }) => [name, pending]), [["billing", 0]]);
check(await fileOf(await manager.range("orders", "-", "+")), [1, 2, 3].map((id) => JSON.stringify({ id })));
check(await manager.length("invoices"), 3);
await streamer.disconnect();
const decoder = new RespDecoder();
decoder.feed(new TextEncoder().encode(":3\r\n"));
check([encodeCommand(["PING"]).length, decoder.read()?.value], [14, 3]);
check(await main(["--version"]), 0);
check(
  await connect("http://localhost").then(() => "", (error) => error instanceof StreamerError && error.code),
  "INVALID_URL",
);
process.stdout.write("ok\n");
