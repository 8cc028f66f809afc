// A WebSocket feed. One consumer serves all sockets. A new socket first gets the last 20 messages; a socket that is too slow
// is closed.
//
//   deno add npm:ws                       # or npm install ws, bun add ws
//   deno run -A examples/recipes/websocket.ts
//
// In the console of a browser, or in `deno repl`:
//
//   const socket = new WebSocket("ws://localhost:8000");
//   socket.onmessage = ({ data }) => console.log(data);
//   socket.send("Hello");

import process from "node:process";
import { connect, type Message } from "@sea/streamer-redis";
import { WebSocketServer } from "ws";

const HISTORY = 20; // messages
const MAX_BUFFERED = 1024 * 1024; // bytes that wait for one socket

const streamer = await connect();
const manager = await streamer.createManager();
const producer = await streamer.createProducer("chat", { maxLength: 100_000 });
const consumer = await streamer.createConsumer("chat", { mode: "real-time" });

const format = (message: Message) => JSON.stringify({ id: message.id, text: message.text() });
const past = (await manager.range("chat", "-", "+", { count: HISTORY, reverse: true })).reverse();
const history = past.map(format);
await consumer.rewind(past.at(-1)?.id ?? "beginning"); // continue exactly after the history

const server = new WebSocketServer({ port: Number(process.env.PORT ?? 8000), maxPayload: 65_536 });
server.on("listening", () => console.log("Listening on", server.address()));
server.on("connection", (socket) => {
  for (const text of history) socket.send(text);
  socket.on("message", (data) => {
    producer.send(String(data)).catch(({ message }) => socket.send(JSON.stringify({ error: message })));
  });
  socket.on("error", () => socket.terminate());
});
process.once("SIGTERM", async () => {
  server.close();
  for (const socket of server.clients) socket.close(1001);
  await streamer.disconnect(); // sends what the sockets have published, and ends the loop below
});

for await (const message of consumer) {
  const text = format(message);
  history.push(text);
  if (history.length > HISTORY) history.shift();
  for (const socket of server.clients) {
    if (socket.bufferedAmount > MAX_BUFFERED) socket.terminate();
    else socket.send(text);
  }
}
