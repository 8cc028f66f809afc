// Drives the consumer groups of this library by its public API. The measurement ends once the server has confirmed every
// acknowledgement, when `end` resolves.

import { connect } from "../../mod.ts";
import { contend, type Form } from "./contend.ts";
import { consume } from "./shapes.ts";

/** Acknowledges message by message; the consumer sends the acknowledgements by itself. */
function rolling(options: { readonly mode: "resumable" | "load-balanced"; readonly batchSize?: number }): Form {
  return async (job, measure) => {
    const streamer = await connect(job.url);
    await consume(job, measure, async (key, count) => {
      const consumer = await streamer.createConsumer(key, {
        group: job.group,
        autoStreamReset: "earliest",
        autoCommit: "rolling",
        ...options,
      });
      let received = 0;
      for await (const batch of consumer.batches()) {
        for (const message of batch) consumer.ack(message);
        received += batch.length;
        if (received >= count) break;
      }
      await consumer.end();
      return received;
    });
  };
}

await contend({
  "pages-of-100": rolling({ mode: "resumable", batchSize: 100 }),
  "pages-of-1000": rolling({ mode: "resumable", batchSize: 1_000 }),
  "load-balanced": rolling({ mode: "load-balanced" }),

  /** Commits each batch; the last commit is awaited. */
  async disabled(job, measure) {
    const streamer = await connect(job.url);
    await consume(job, measure, async (key, count) => {
      const consumer = await streamer.createConsumer(key, {
        mode: "resumable",
        group: job.group,
        autoStreamReset: "earliest",
        autoCommit: "disabled",
        batchSize: 100,
      });
      let received = 0;
      for await (const batch of consumer.batches()) {
        for (const message of batch) consumer.ack(message);
        received += batch.length;
        const committed = consumer.commit();
        if (received < count) continue;
        await committed;
        break;
      }
      await consumer.end();
      return received;
    });
  },

  /** Acknowledges nothing explicitly: returned messages are acknowledged without delay. */
  async delayed(job, measure) {
    const streamer = await connect(job.url);
    await consume(job, measure, async (key, count) => {
      const consumer = await streamer.createConsumer(key, {
        mode: "resumable",
        group: job.group,
        autoStreamReset: "earliest",
        autoCommit: "delayed",
        autoCommitDelay: 0,
        autoCommitInterval: 0,
        batchSize: 100,
      });
      let received = 0;
      for await (const batch of consumer.batches()) {
        received += batch.length;
        if (received >= count) break;
      }
      await consumer.end();
      return received;
    });
  },
});
