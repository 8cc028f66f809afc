// Collects quotes until a signal, then prints a table of them.

import process from "node:process";
import { connect } from "../../mod.ts";
import { Candles } from "./candles.ts";
import { BELL, type Quote, streamsOf } from "./feed.ts";
import { readArguments, redisUrl, stopSignal } from "./program.ts";
import { formatTable } from "./table.ts";

const { feed } = readArguments({ feed: "prices" });
const signal = stopSignal();
const candles = new Candles();

await using streamer = await connect(redisUrl, { reconnect: { maxAttempts: 10 } });
const consumer = await streamer.createConsumer(streamsOf(feed).quotes, {
  mode: "resumable",
  group: "candles",
  autoStreamReset: "earliest",
  autoCommit: "disabled", // a restarted collector continues after the last commit
});
const batches = consumer.batches();
signal.addEventListener("abort", () => batches.return?.()); // the loop ends, the consumer with the streamer
console.error("is ready");

let reported = false;
for await (const messages of batches) {
  for (const message of messages) {
    const symbol = message.headers.get("symbol") ?? "";
    const bell = message.headers.get(BELL);
    if (bell === undefined) candles.add(symbol, message.json<Quote>());
    else candles.ring(symbol, Number(bell));
    consumer.ack(message);
  }
  // A real collector stores its candles here: committed messages are not delivered again.
  await consumer.commit();
  if (candles.complete && !reported) console.error("is complete");
  reported = candles.complete;
}

console.log(`\n${formatTable(candles)}`);
process.exitCode = candles.complete ? 0 : 1;
