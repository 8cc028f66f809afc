// The smallest whole program: sends a message and receives it. Wants a Redis server at REDIS_URL or on this machine.

import process from "node:process";
import { connect } from "../mod.ts";

const streamer = await connect(process.env.REDIS_URL ?? "redis://localhost:6379");

// A real-time consumer receives what is sent after it was made.
const consumer = await streamer.createConsumer("quick-start", { mode: "real-time" });
const producer = await streamer.createProducer("quick-start");

producer.send("Hello"); // not awaited: pipelined
const { id } = await producer.send("world", { headers: { from: "quick_start.ts" } });
console.log(`stored as ${id}`);

for await (const message of consumer) {
  console.log(`received ${message.id}: ${message.text()}`);
  if (message.id === id) break;
}

await streamer.disconnect();
