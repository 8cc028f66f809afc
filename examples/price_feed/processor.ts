// Makes a quote from each tick. Any number of these processes share the ticks, and may crash at any time.

import { setTimeout as sleep } from "node:timers/promises";
import { connect, type Message, type OutputMessage, processMessages } from "../../mod.ts";
import { BELL, type Quote, streamsOf, type Tick } from "./feed.ts";
import { readArguments, redisUrl, stopSignal } from "./program.ts";

const { feed, name } = readArguments({ feed: "prices", name: `processor-${crypto.randomUUID().slice(0, 4)}` });
const { ticks, quotes } = streamsOf(feed);
const signal = stopSignal();

// If the server stays away, the process exits; a service manager would restart it.
await using streamer = await connect(redisUrl, { reconnect: { maxAttempts: 10 } });
streamer.addEventListener("claimed", ({ detail: { from, ids } }) => console.error(`claims ${ids.length} of ${from}`));

const consumer = await streamer.createConsumer(ticks, {
  mode: "load-balanced",
  group: "quotes",
  consumerId: name, // unique among running processes
  autoStreamReset: "earliest", // the first process creates the group, at the first tick
  autoCommit: "rolling",
  autoCommitInterval: 250, // acknowledgements that a crashed process has not sent are repeated by another one
  autoClaimIdle: 1_000, // short, for a demonstration; the default is a minute
  autoClaimInterval: 500,
});
const producer = await streamer.createProducer(quotes);
console.error("is ready");

const { handled, failed } = await processMessages(consumer, quote, {
  producer, // receives the quotes; a tick is acknowledged once its quote is stored
  orderBy: { header: "symbol" }, // one tick of a symbol at a time, different symbols concurrently
  onError: (error, message) => console.error(`fails at ${message.id}: ${error}`), // then the tick is retried
  signal,
});
console.error(`stops: ${handled} handled, ${failed} failed, ${consumer.stats().claimed} claimed`);

async function quote(message: Message): Promise<OutputMessage> {
  const { headers } = message;
  if (headers.has(BELL)) return { payload: "", headers };
  const { number, dollars } = message.json<Tick>();
  const euros = dollars * await exchangeRate();
  const result: Quote = { number, euros, by: name };
  return { payload: JSON.stringify(result), headers };
}

/** Stands for a slow request to another service. */
async function exchangeRate(): Promise<number> {
  await sleep(15);
  return 0.9;
}
