// An HTTP interface to a stream with Hono: appends messages, reads a page, and follows the stream as lines of JSON.
//
//   deno add npm:hono npm:@hono/node-server         # or npm install, bun add
//   deno run -A examples/recipes/hono.ts
//   curl -d "An order" http://localhost:8000/orders
//   curl "http://localhost:8000/orders?from=0-0"
//   curl -N http://localhost:8000/orders/live
//
// `serve` runs on Deno, Bun and Node. `Deno.serve(app.fetch)` and `Bun.serve(app)` serve the same app.

import process from "node:process";
import { serve } from "@hono/node-server";
import { connect, StreamerError } from "@sea/streamer-redis";
import { Hono } from "hono";
import { streamText } from "hono/streaming";

const streamer = await connect();
const manager = await streamer.createManager();
const producer = await streamer.createProducer("orders-hono", { sendTimeout: 5_000 });

const app = new Hono();
app.post("/orders", async (context) => {
  const { id } = await producer.send(await context.req.text()); // answers once the order is stored
  return context.json({ id }, 201);
});
app.get("/orders", async (context) => {
  const messages = await manager.range("orders-hono", context.req.query("from") ?? "-", "+", { count: 100 });
  return context.json(messages);
});
app.get("/orders/live", (context) =>
  streamText(context, async (response) => {
    const left = new AbortController();
    response.onAbort(() => left.abort());
    await using consumer = await streamer.createConsumer("orders-hono", { mode: "real-time" });
    for await (const message of consumer.messages({ signal: left.signal })) {
      await response.writeln(JSON.stringify(message)); // waits for a slow client
    }
  }));
app.onError((error, context) => {
  const isRequest = error instanceof StreamerError && error.code === "INVALID_OPTION";
  return context.json({ error: error.message }, isRequest ? 400 : 503);
});

const port = Number(process.env.PORT ?? 8000);
const server = serve({ fetch: app.fetch, port }, (address) => console.log("Listening on", address));
process.once("SIGTERM", async () => {
  server.close();
  await streamer.disconnect(); // ends the consumers, and with them the responses
  if ("closeAllConnections" in server) server.closeAllConnections(); // also idle ones
});
