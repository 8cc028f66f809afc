// An HTTP interface to a stream with Express: a request answers once its message is stored.
//
//   deno add npm:express                  # or npm install express, bun add express
//   deno run -A examples/recipes/express.ts
//   curl -H "content-type: application/json" -d '{"id":1}' http://localhost:8000/orders
//   curl "http://localhost:8000/orders?count=10"

import process from "node:process";
import { connect, StreamerError } from "@sea/streamer-redis";
import express, { type NextFunction, type Request, type Response } from "express";

const streamer = await connect();
const manager = await streamer.createManager();
const producer = await streamer.createProducer("orders-express", {
  sendTimeout: 5_000, // an order that Redis has not stored by then is not stored later either
  maxBuffered: 16 * 1024 * 1024, // bytes of orders that wait for Redis at the same time; then 503 at once
});

const app = express();
app.use(express.json());

app.post("/orders", async (request, response) => {
  const { id } = await producer.send(JSON.stringify(request.body));
  response.status(201).json({ id });
});

app.get("/orders", async (request, response) => {
  const count = Math.min(Number(request.query.count ?? 10), 1_000);
  const messages = await manager.range("orders-express", "-", "+", { count, reverse: true });
  response.json(messages.map((message) => ({ id: message.id, order: message.json() })));
});

// Express 5 passes on what a handler rejects with.
app.use((error: Error, _request: Request, response: Response, next: NextFunction) => {
  if (!(error instanceof StreamerError)) return next(error);
  // "not-written": the order is not stored. "unknown": it may be. Either way the caller may try again.
  response.status(error.code === "INVALID_OPTION" ? 400 : 503).json({ error: error.code, outcome: error.outcome });
});

const server = app.listen(Number(process.env.PORT ?? 8000), () => console.log("Listening on", server.address()));
process.once("SIGTERM", () => server.close(() => streamer.disconnect()));
