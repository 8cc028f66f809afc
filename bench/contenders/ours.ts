// Drives this library by its public API.

import { readFileSync } from "node:fs";
import { memoryUsage } from "node:process";
import { connect, roundRobinSharder } from "../../mod.ts";
import { contend, type Form } from "./contend.ts";
import { Stopwatch } from "./latency.ts";
import { overlapped } from "./pacing.ts";
import { consume, endToEnd, produce } from "./shapes.ts";

const MIB = 1024 * 1024;

/** Consumes batches; `look` is called with each message. */
function byBatches(options: { readonly batchSize?: number }, look?: (message: { bytes(): Uint8Array }) => void): Form {
  return async (job, measure) => {
    const streamer = await connect(job.url);
    await consume(job, measure, async (key, count) => {
      const consumer = await streamer.createConsumer(key, {
        mode: "real-time",
        autoStreamReset: "earliest",
        ...options,
      });
      let received = 0;
      for await (const batch of consumer.batches()) {
        if (look) { for (const message of batch) look(message); }
        received += batch.length;
        if (received >= count) break;
      }
      return received;
    });
  };
}

let bytesSeen = 0;

/** Sends as fast as back-pressure allows, awaits no receipt, and flushes. */
const produceIgnored: Form = async (job, measure) => {
  const streamer = await connect(job.url);
  await produce(job, measure, async (key, count) => {
    const sharder = job.shards === 0 ? undefined : roundRobinSharder(job.shards);
    const producer = await streamer.createProducer(key, { sharder });
    for (let i = 0; i < count; i++) {
      producer.send(job.payload);
      if ((producer.desiredSize ?? 1) <= 0) await producer.ready;
    }
    await producer.flush();
  });
};

await contend({
  "produce-ignored": produceIgnored,
  "produce-sharded": produceIgnored,

  async "produce-awaited"(job, measure) {
    const streamer = await connect(job.url);
    await produce(job, measure, async (key, count) => {
      const producer = await streamer.createProducer(key);
      await overlapped(count, 5_000, () => producer.send(job.payload));
    });
  },

  "consume-batches": byBatches({ batchSize: 1_000 }),
  "consume-default": byBatches({}),
  "consume-bytes": byBatches({ batchSize: 1_000 }, (message) => bytesSeen += message.bytes().length),

  async "consume-each"(job, measure) {
    const streamer = await connect(job.url);
    await consume(job, measure, async (key, count) => {
      const consumer = await streamer.createConsumer(key, {
        mode: "real-time",
        autoStreamReset: "earliest",
        batchSize: 1_000,
      });
      let received = 0;
      for await (const _message of consumer) if (++received >= count) break;
      return received;
    });
  },

  async latency(job, measure) {
    const streamer = await connect(job.url);
    const producer = await streamer.createProducer(job.key);
    const consumer = await streamer.createConsumer(job.key, { mode: "real-time", autoStreamReset: "earliest" });
    const watch = new Stopwatch(job);
    return await endToEnd(job, measure, watch, {
      send: (payload) => producer.send(payload),
      async receive() {
        for await (const message of consumer) {
          watch.arrive(message.text());
          if (watch.done) break;
        }
      },
    });
  },

  /** Sends that respect `ready`: the peak of resident memory, and its growth. */
  async memory(job, measure) {
    const streamer = await connect(job.url);
    const producer = await streamer.createProducer(job.key);
    const before = memoryUsage().rss;
    let highest = before;
    await measure(async () => {
      for (let i = 0; i < job.messages; i++) {
        producer.send(job.payload);
        if ((producer.desiredSize ?? 1) <= 0) await producer.ready;
        if (i % 5_000 === 0) highest = Math.max(highest, memoryUsage().rss);
      }
      await producer.flush();
      return job.messages;
    });
    highest = Math.max(highest, memoryUsage().rss, highWaterMark());
    return { residentMiB: highest / MIB, growthMiB: (highest - before) / MIB };
  },
});

/** The kernel's record of this process's peak resident memory, in bytes; 0 if there is none. */
function highWaterMark(): number {
  try {
    return Number(/^VmHWM:\s*(\d+) kB/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}
