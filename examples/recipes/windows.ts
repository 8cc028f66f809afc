// Tumbling windows: counts the messages of each minute by their text, and sends one result per minute to another stream.
//
//   deno run -A examples/recipes/windows.ts              # or with a window in milliseconds, such as 5000
//   deno run -A jsr:@sea/streamer-redis/cli produce clicks      # lines such as /home, /about, /home
//   deno run -A jsr:@sea/streamer-redis/cli consume clicks-per-window
//
// A result contains the id of the last message that it counts. After a crash the program resumes there, so every message
// counts once. A lost connection can store a result twice: `start` identifies it. A window closes when the first message of a
// later window arrives. No message is late, because ids rise within a stream that is not split in shards.

import process from "node:process";
import { connect } from "@sea/streamer-redis";

const WINDOW = Number(process.argv[2] ?? 60_000);

const streamer = await connect();
process.once("SIGTERM", () => streamer.disconnect()); // ends the loop below
const results = await streamer.createProducer("clicks-per-window");
const manager = await streamer.createManager();
const consumer = await streamer.createConsumer("clicks", { mode: "real-time", autoStreamReset: "earliest" });
const [result] = await manager.range("clicks-per-window", "-", "+", { count: 1, reverse: true });
if (result) await consumer.rewind(result.headers.get("last-id") ?? "beginning");

let current: { start: number; lastId: string; counts: Map<string, number> } | undefined;
for await (const message of consumer) {
  const start = Math.floor(message.timestamp.getTime() / WINDOW) * WINDOW;
  if (current && current.start !== start) {
    const { lastId, counts } = current;
    const payload = JSON.stringify({ start: new Date(current.start), counts: Object.fromEntries(counts) });
    await results.send(payload, { headers: { "last-id": lastId } });
    console.log(payload);
    current = undefined;
  }
  current ??= { start, lastId: message.id, counts: new Map() };
  current.lastId = message.id;
  current.counts.set(message.text(), (current.counts.get(message.text()) ?? 0) + 1);
}
