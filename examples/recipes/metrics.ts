// Metrics for Prometheus without a library: numbers of a producer and a consumer, events, and the lag of a group.
//
//   deno run -A examples/recipes/metrics.ts
//   curl http://localhost:8000/metrics

import { createServer } from "node:http";
import process from "node:process";
import { connect, processMessages } from "@sea/streamer-redis";

const streamer = await connect();
const manager = await streamer.createManager();
const producer = await streamer.createProducer("greetings");
const consumer = await streamer.createConsumer("names", {
  mode: "load-balanced",
  group: "greeters",
  autoCommit: "rolling",
});

const events = { claimed: 0, lost: 0, deadLettered: 0, disconnects: 0 };
streamer.addEventListener("claimed", ({ detail }) => events.claimed += detail.ids.length);
streamer.addEventListener("lost", ({ detail }) => events.lost += detail.ids.length);
streamer.addEventListener("dead-letter", () => events.deadLettered++);
streamer.addEventListener("disconnect", () => events.disconnects++);

/** One line for each number, such as `streamer_consumer_unsent_acks{group="greeters"} 3`. A lag or age of `null` is unknown. */
function format(subject: string, labels: string, values: object): string {
  return Object.entries(values).filter(([, value]) => typeof value === "number").map(([name, value]) => {
    const metric = name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    return `streamer_${subject}_${metric}{${labels}} ${value}\n`;
  }).join("");
}

async function metrics(): Promise<string> {
  const { length, groups } = await manager.info("names");
  return [
    format("producer", `stream="greetings"`, producer.stats()),
    format("consumer", `stream="names",group="greeters"`, consumer.stats()),
    format("events", `stream="names"`, events),
    format("stream", `stream="names"`, { length }),
    ...groups.map((group) => format("group", `stream="names",group=${JSON.stringify(group.name)}`, group)),
  ].join("");
}

const server = createServer((_request, response) => {
  metrics().then(
    (text) => response.setHeader("content-type", "text/plain; version=0.0.4").end(text),
    (error) => response.writeHead(503).end(`${error.message}\n`),
  );
});
server.listen(Number(process.env.PORT ?? 8000), () => console.log("Listening on", server.address()));
process.once("SIGTERM", () => consumer.end({ drain: 5_000 }));

await processMessages(consumer, (message) => `Hello ${message.text()}`, { producer });
server.close();
await streamer.disconnect();
