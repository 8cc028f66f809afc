// The smallest complete program: sends two messages and receives them. It needs a Redis server at REDIS_URL, or on this machine.

import { connect } from "../mod.ts";

await using streamer = await connect();

// A real-time consumer receives messages that are sent after its creation.
const consumer = await streamer.createConsumer("quick-start", { mode: "real-time" });
const producer = await streamer.createProducer("quick-start");

producer.send("Hello"); // not awaited: sends are pipelined
const { id } = await producer.send("world", { headers: { from: "quick_start.ts" } });
console.log(`stored as ${id}`);

for await (const message of consumer) {
  console.log(`received ${message.id}: ${message.text()}`);
  if (message.id === id) break;
}
