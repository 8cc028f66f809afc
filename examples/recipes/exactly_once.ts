// Orders in, invoices out: each order gets one invoice, also if a worker is killed or handles an order twice. Start several:
//
//   deno run -A examples/recipes/exactly_once.ts
//   deno run -A jsr:@sea/streamer-redis/cli produce {shop}:orders    # each line is an order
//   deno run -A jsr:@sea/streamer-redis/cli consume {shop}:invoices --from beginning
//
// Both streams have the same hash tag, so that they are in one slot of a cluster.

import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { connect, exponentialDelay, type Message, processMessages } from "@sea/streamer-redis";

const streamer = await connect();
const orders = await streamer.createConsumer("{shop}:orders", {
  mode: "load-balanced",
  group: "billing",
  autoStreamReset: "earliest", // the first worker creates the group, which begins with the first order
  autoCommit: "rolling",
  autoClaimInterval: 1_000,
  autoClaimIdle: 3_000,
  maxDeliveries: 10,
  deadLetter: "{shop}:orders-failed",
});
const invoices = await streamer.createProducer("{shop}:invoices");

const stop = () => orders.end({ drain: 25_000 }).catch(console.error);
process.once("SIGTERM", stop);
process.once("SIGINT", stop);

console.log("Ready for orders");
const { handled, failed, repeated } = await processMessages(orders, invoice, {
  delivery: "exactly-once",
  producer: invoices,
  concurrency: 8,
  retryDelay: exponentialDelay({ first: 100, max: 10_000 }),
  onError: (error, order) => console.error(`Order ${order.id} failed`, error),
});
console.log(`Stopped: ${handled} invoices, ${repeated} had been stored before, ${failed} failures`);
await streamer.disconnect();

/** May run twice for one order. A payment provider would get `order.id` as the key that makes the payment idempotent. */
async function invoice(order: Message) {
  await sleep(20); // instead of real work
  return { payload: `invoice for ${order.text()}`, headers: { order: order.id } };
}
