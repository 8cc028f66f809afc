// A stream that other clients write and read: here node-redis, with one field for each property of an event.
//
//   deno add npm:redis                    # or npm install redis, bun add redis
//   deno run -A examples/recipes/foreign_stream.ts

import process from "node:process";
import { connect, fieldsCodec } from "@sea/streamer-redis";
import { createClient } from "redis";

interface Signup {
  readonly user: string;
  readonly plan: string;
}

await using streamer = await connect();
const codec = fieldsCodec<Signup>(); // the payload of a message is its fields
const consumer = await streamer.createConsumer("signups", { mode: "real-time", codec });
const producer = await streamer.createProducer("signups", { codec });

const client = createClient({ url: process.env.REDIS_URL ?? "redis://localhost:6379" });
await client.connect();
await client.xAdd("signups", "*", { user: "Ann", plan: "free" });
const { id } = await producer.send({ user: "Ben", plan: "paid" });

for await (const message of consumer) {
  console.log(`${message.id} ${message.value.user} chose ${message.value.plan}`);
  if (message.id === id) break;
}
console.log("node-redis reads", (await client.xRange("signups", id, id))?.[0]?.message);
await client.close();
