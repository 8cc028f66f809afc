// Server-sent events. A browser that reconnects misses nothing: it sends the id of its last event as `Last-Event-ID`.
//
//   deno run -A examples/recipes/sse.ts
//   curl -N http://localhost:8000                               # listens, as `new EventSource(url)` does in a browser
//   curl -d "Good news" http://localhost:8000                   # publishes
//   curl -N -H "Last-Event-ID: ID" http://localhost:8000        # resumes after that event
//
// Each browser has a consumer, so each browser costs one connection to Redis. The stream must not be split in shards.

import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import process from "node:process";
import { text } from "node:stream/consumers";
import { connect } from "@sea/streamer-redis";

const streamer = await connect();
const manager = await streamer.createManager();
const producer = await streamer.createProducer("news", { maxLength: 100_000 });

async function listen(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const left = new AbortController();
  response.once("close", () => left.abort());
  const { signal } = left;
  await using consumer = await streamer.createConsumer("news", { mode: "real-time" });
  const [newest] = await manager.range("news", "-", "+", { count: 1, reverse: true });
  const lastId = String(request.headers["last-event-id"] ?? newest?.id ?? "0-0");
  await consumer.rewind(lastId); // rejects if the browser sent something that is not an id
  response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
  response.write(`id: ${lastId}\n\n`); // for a browser that loses its connection before the first event
  for await (const message of consumer.messages({ signal })) {
    const data = message.text().split(/\r\n|\r|\n/).map((line) => `data: ${line}\n`).join("");
    if (!response.write(`id: ${message.id}\n${data}\n`)) await once(response, "drain", { signal });
  }
  response.end();
}

async function publish(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { id } = await producer.send(await text(request));
  response.writeHead(201).end(`${id}\n`);
}

const server = createServer((request, response) => {
  const answer = request.method === "POST" ? publish(request, response) : listen(request, response);
  answer.catch((error) =>
    response.headersSent ? response.destroy() : response.writeHead(400).end(`${error.message}\n`)
  );
});
server.listen(Number(process.env.PORT ?? 8000), () => console.log("Listening on", server.address()));

process.once("SIGTERM", async () => {
  server.close();
  await streamer.disconnect(); // ends the consumers, and with them the responses
  server.closeAllConnections(); // also of browsers that do not read
});
