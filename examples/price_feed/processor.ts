// Makes a quote of each tick, sharing the ticks with other processes like this one. It must not know how many they are, nor
// notice when one of them dies.

import { setTimeout as sleep } from "node:timers/promises";
import { connect, type Message, type OutputMessage, process } from "../../mod.ts";
import { BELL, type Quote, streamsOf, type Tick } from "./feed.ts";
import { readArguments, redisUrl, stopSignal } from "./program.ts";

const { feed, name } = readArguments({ feed: "prices", name: `processor-${crypto.randomUUID().slice(0, 4)}` });
const { ticks, quotes } = streamsOf(feed);
const signal = stopSignal();

// Where the server is gone for good, so are we: whoever watches over services starts us again.
await using streamer = await connect(redisUrl, { reconnect: { maxAttempts: 10 } });
streamer.addEventListener("claimed", ({ detail: { from, ids } }) => console.error(`claims ${ids.length} of ${from}`));

const consumer = await streamer.createConsumer(ticks, {
  mode: "load-balanced",
  group: "quotes",
  consumerId: name, // two that live at the same time must not have the same
  autoStreamReset: "earliest", // whoever comes first makes the group, and it begins at the first tick
  mkstream: true, // also if that is not there yet
  autoCommit: "rolling",
  autoCommitInterval: 250, // what was acked and not sent when a process dies is made again by another
  autoClaimIdle: 1_000, // short, for a demonstration: a minute by default
  autoClaimInterval: 500,
});
const producer = await streamer.createProducer(quotes);
console.error("is ready");

const { handled, failed } = await process(consumer, quote, {
  producer, // where quotes go; a tick is acked once its quote is stored
  orderBy: { header: "symbol" }, // one at a time of each symbol, different ones at the same time
  onError: (error, message) => console.error(`fails at ${message.id}: ${error}`), // and it is tried again
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

/** Asks somebody who takes his time. */
async function exchangeRate(): Promise<number> {
  await sleep(15);
  return 0.9;
}
