// A program that processes a stream into another one, exactly once, until it is stopped. It is killed, so it must not use the
// test runner.

import process from "node:process";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { connect, type Message, processMessages } from "../../../mod.ts";

const [, , url, key, name, text] = process.argv;
const tell = (what: string, detail: object = {}) => process.stdout.write(`${JSON.stringify({ what, ...detail })}\n`);
// A checked border: the value comes from a test.
const { output, slowEvery, slow, ...options } = JSON.parse(text) as {
  readonly output: string;
  /** One of so many handlers takes `slow` milliseconds. */
  readonly slowEvery: number;
  readonly slow: number;
  readonly autoClaimIdle: number;
  readonly autoClaimInterval: number;
  readonly keepAlive: boolean;
};

const streamer = await connect(url, { reconnect: { initialDelay: 1, maxDelay: 50 }, timeout: 20_000, wait: true });
const consumer = await streamer.createConsumer(key, {
  mode: "load-balanced",
  group: "g",
  consumerId: name,
  autoCommit: "rolling",
  ...options,
});
const producer = await streamer.createProducer(output);
const stop = new AbortController();
createInterface({ input: process.stdin }).on("line", () => stop.abort());
let handlers = 0;
const handle = async (message: Message) => {
  if (++handlers % slowEvery === 0) await sleep(slow);
  return [`${message.text()} a`, `${message.text()} b`];
};
tell("ready");
const onError = (error: unknown) => tell("error", { text: String(error) });
const settings = {
  delivery: "exactly-once",
  concurrency: 32,
  retryDelay: 20,
  producer,
  onError,
  signal: stop.signal,
} as const;
try {
  tell("counts", await processMessages(consumer, handle, settings));
} catch (error) {
  tell("failed", { text: String(error) });
}
await streamer.disconnect().catch(() => {});
process.exit(0);
