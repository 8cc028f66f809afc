// Order per key across processes. The stream has a fixed number of shards, and a key always goes to the same shard. Each
// shard has exactly one worker, which handles the messages of a key one at a time.
//
//   deno run -A examples/recipes/order_per_key.ts work 0 2        # worker 0 of 2
//   deno run -A examples/recipes/order_per_key.ts work 1 2        # worker 1 of 2
//   deno run -A examples/recipes/order_per_key.ts send 100        # 100 changes for each of four accounts
//
// To change the number of workers, stop all of them first. The number of shards stays as it is.

import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { connect, keyHashSharder, type Message, processMessages } from "@sea/streamer-redis";

const SHARDS = 8;
const [role, ...numbers] = process.argv.slice(2);
await using streamer = await connect();
if (role === "send") await send(Number(numbers[0]));
else await work(Number(numbers[0]), Number(numbers[1]));

async function send(count: number): Promise<void> {
  await using producer = await streamer.createProducer("accounts", { sharder: keyHashSharder(SHARDS) });
  for (let change = 1; change <= count; change++) {
    for (const account of ["ann", "ben", "cleo", "dan"]) {
      producer.send(`${change}`, { key: account, headers: { account } }); // the key itself is not stored
    }
  }
}

async function work(worker: number, workers: number): Promise<void> {
  const consumer = await streamer.createConsumer("accounts", {
    mode: "resumable", // one consumer per shard; a restarted worker first gets what it had not acknowledged
    group: "ledger",
    shards: Array.from({ length: SHARDS }, (_, shard) => shard).filter((shard) => shard % workers === worker),
    autoStreamReset: "earliest",
    autoCommit: "rolling",
  });
  process.once("SIGTERM", () => consumer.end({ drain: 10_000 }));
  console.log("Ready");
  await processMessages(consumer, retried, { orderBy: { header: "account" } });
}

/** Retries here: a handler that throws lets later messages of its key overtake the failed one. */
async function retried(message: Message): Promise<void> {
  for (let delay = 10;; delay = Math.min(2 * delay, 10_000)) {
    try {
      return await apply(message.headers.get("account") ?? "", Number(message.text()));
    } catch (error) {
      console.error(`${error}; trying again in ${delay} ms`);
      await sleep(delay);
    }
  }
}

async function apply(account: string, change: number): Promise<void> {
  await sleep(Math.random() * 10); // instead of a database
  if (Math.random() < 0.02) throw new Error(`Change ${change} of ${account} failed`);
  console.log(`${account} ${change}`);
}
