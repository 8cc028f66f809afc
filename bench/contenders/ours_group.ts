// Owns how this module's consumer groups are driven: by its public API and nothing else. What is measured ends when the
// server has confirmed every ack, which is when `end` resolves. Must not know other clients.

import { connect } from "../../mod.ts";
import { contend, type Form } from "./contend.ts";
import { consume } from "./shapes.ts";

/** Acks message by message; the consumer sends the acks by itself. */
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

  /** A commit for each batch, of which the last is awaited. */
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

  /** Nothing is acked by hand: what was returned is, without delay. */
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
