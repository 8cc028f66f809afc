// A script for cron: reads the messages that are new since its last run, sends one report, and exits.
//
//   deno run -A jsr:@sea/streamer-redis/cli produce orders      # each line is an amount, such as 12.50
//   deno run -A examples/recipes/cron.ts
//
// Orders are acknowledged after the report is stored. If a run fails before that, the next run reads the same orders again.
// Two runs must not overlap: with cron, use `flock -n`.

import { connect, type MessageIdentifier } from "@sea/streamer-redis";

const QUIET = 1_000; // milliseconds without a message after which everything has been read

await using streamer = await connect();
const consumer = await streamer.createConsumer("orders", {
  mode: "resumable",
  group: "daily-report",
  autoStreamReset: "earliest", // the first run reads everything
  autoCommit: "rolling",
  maxUnacked: 1_000_000, // orders that one run can read
});

const orders: MessageIdentifier[] = [];
let total = 0;
for (;;) {
  const message = await consumer.next({ signal: AbortSignal.timeout(QUIET) }).catch((error) => {
    if (error.name !== "TimeoutError") throw error;
  });
  if (!message) break;
  orders.push(message.identifier);
  total += Number(message.text());
}

if (orders.length > 0) {
  const reports = await streamer.createProducer("reports");
  await reports.send(JSON.stringify({ count: orders.length, total }));
  for (const order of orders) consumer.ackWith(order); // sent when the streamer is disposed of
}
console.log(`${orders.length} orders, ${total} in total`);
