// Typed events with a schema of Valibot; Zod, ArkType and other libraries with Standard Schema work in the same way. Sends
// are checked, and a payload that does not match goes to the dead letters.
//
//   deno add npm:valibot                  # or npm install valibot, bun add valibot
//   deno run -A examples/recipes/typed_events.ts
//   deno run -A jsr:@sea/streamer-redis/cli produce orders-typed      # not an order: try it

import process from "node:process";
import { connect, jsonCodec, processMessages } from "@sea/streamer-redis";
import * as v from "valibot";

const Order = v.object({ id: v.number(), customer: v.string(), cents: v.pipe(v.number(), v.integer(), v.minValue(1)) });
const Invoice = v.object({ order: v.number(), text: v.string() });

await using streamer = await connect();
const orders = await streamer.createProducer("orders-typed", { codec: jsonCodec(Order) });
const invoices = await streamer.createProducer("invoices", { codec: jsonCodec(Invoice) });
const consumer = await streamer.createConsumer("orders-typed", {
  mode: "load-balanced",
  group: "invoicing",
  autoStreamReset: "earliest",
  autoCommit: "rolling",
  codec: jsonCodec(Order),
  onDecodeError: "dead-letter",
  deadLetter: "orders-refused",
});
streamer.addEventListener("dead-letter", ({ detail }) => console.error("Refused", detail.id, detail.reason));
process.once("SIGTERM", () => consumer.end({ drain: 5_000 }));

await orders.send({ id: 1, customer: "Ann", cents: 1250 });
await orders.send({ id: 2, customer: "Ben", cents: 0 }).catch((error) => console.error(error.message));

await processMessages(consumer, ({ value: { id, customer, cents } }) => {
  console.log(`Order ${id} of ${customer}`);
  return { payload: { order: id, text: `${customer} owes ${cents / 100}` } }; // the compiler knows the type
}, { producer: invoices });
