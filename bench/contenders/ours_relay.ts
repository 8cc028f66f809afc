// Relays with this library: `process` from a group to another stream, acknowledged after the receipt.

import { connect, process } from "../../mod.ts";
import { contend } from "./contend.ts";
import { relay } from "./shapes.ts";

await contend({
  async process(job, measure) {
    const streamer = await connect(job.url);
    await relay(job, measure, async (from, to, count) => {
      const consumer = await streamer.createConsumer(from, {
        mode: "resumable",
        group: job.group,
        autoStreamReset: "earliest",
        autoCommit: "rolling",
      });
      const producer = await streamer.createProducer(to);
      const stop = new AbortController();
      let seen = 0;
      const { handled } = await process(
        consumer,
        (message) => {
          if (++seen === count) stop.abort();
          return message.bytes();
        },
        { producer, signal: stop.signal },
      );
      await consumer.end();
      await producer.end();
      return handled;
    });
  },
});
