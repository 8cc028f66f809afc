// A log shipper with back-pressure: each line of stdin becomes a message. While Redis is slow or away, the shipper stops
// reading, so its memory stays small and the program before the pipe waits.
//
//   my-program 2>&1 | deno run -A examples/recipes/log_shipper.ts
//   deno run -A jsr:@sea/streamer-redis/cli consume logs

import { hostname } from "node:os";
import process from "node:process";
import { createInterface } from "node:readline";
import { connect } from "@sea/streamer-redis";

const streamer = await connect(undefined, { wait: true }); // also if Redis starts later than this program
const producer = await streamer.createProducer("logs", {
  maxLength: 1_000_000, // lines that the stream keeps
  highWaterMark: 1024 * 1024, // bytes that wait here
  sendTimeout: null, // a line waits as long as Redis is away
});

const headers = { host: hostname(), pid: `${process.pid}` };
for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
  producer.send(line, { headers }); // not awaited: pipelined
  if (producer.desiredSize <= 0) await producer.ready;
}

await producer.end(); // waits until every line is stored, and rejects if one is not
console.error(`${producer.stats().acked} lines are stored`);
await streamer.disconnect();
