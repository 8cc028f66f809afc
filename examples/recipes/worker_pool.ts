// A pool of workers that can be restarted one by one without losing or delaying a job. Start several of them:
//
//   deno run -A examples/recipes/worker_pool.ts
//   deno run -A jsr:@sea/streamer-redis/cli produce jobs        # each line is a job
//
// On SIGTERM or Ctrl-C a worker starts no more jobs, finishes the running ones, and releases the ones it has only prefetched.
// The other workers get these within `autoClaimInterval`. The jobs of a crashed worker follow after `autoClaimIdle`.

import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { connect, exponentialDelay, type Message, processMessages } from "@sea/streamer-redis";

const streamer = await connect();
const consumer = await streamer.createConsumer("jobs", {
  mode: "load-balanced",
  group: "workers",
  autoStreamReset: "earliest", // the first worker creates the group, which begins with the first job
  autoCommit: "rolling",
  autoClaimInterval: 1_000,
  autoClaimIdle: 5_000,
  maxDeliveries: 5,
  deadLetter: "jobs-failed",
});

// The drain must be shorter than the time between SIGTERM and SIGKILL, which is 30 s by default in Kubernetes.
const stop = () => consumer.end({ drain: 25_000 }).catch(console.error);
process.once("SIGTERM", stop);
process.once("SIGINT", stop);

console.log(`Worker ${consumer.consumerId} is ready`);
const { handled, failed } = await processMessages(consumer, work, {
  concurrency: 8,
  retryDelay: exponentialDelay({ first: 100, max: 10_000 }),
  onError: (error, message) => console.error(`Job ${message.id} failed`, error),
});
console.log(`Stopped: ${handled} jobs handled, ${failed} failed`);
await streamer.disconnect();

/** A job may be repeated after a crash: make its effect the same when it runs twice. */
async function work(message: Message): Promise<void> {
  await sleep(50); // instead of real work
  console.log(`Done ${message.id} after ${Date.now() - message.timestamp.getTime()} ms`);
}
