// Owns how ioredis is driven. "plain": a promise for each command, at most 10,000 unanswered. "best": the fastest way known to us,
// pipelines given as arrays, two of them in flight. Must not know other clients.

import { Redis } from "ioredis";
import { contend, type Job } from "./contend.ts";
import { Stopwatch } from "./latency.ts";
import { overlapped } from "./pacing.ts";
import { consume, endToEnd, produce, readPages } from "./shapes.ts";

/** Commands in one pipeline; 100 to 1,000 are alike. */
const PIPELINE = 300;

function open({ url }: Job): Redis {
  return new Redis(url);
}

await contend({
  async "produce-plain"(job, measure) {
    const client = open(job);
    await produce(
      job,
      measure,
      (key, count) => overlapped(count, 5_000, () => client.xadd(key, "*", "msg", job.payload)),
    );
  },

  async "produce-best"(job, measure) {
    const client = open(job);
    await produce(job, measure, async (key, count) => {
      const pipeline = (size: number) => new Array(size).fill(["xadd", key, "*", "msg", job.payload]);
      const whole = pipeline(PIPELINE);
      await overlapped(Math.floor(count / PIPELINE), 1, () => client.pipeline(whole).exec());
      await client.pipeline(pipeline(count % PIPELINE)).exec();
    });
  },

  async "consume-best"(job, measure) {
    const client = open(job);
    await consume(job, measure, (key, count) =>
      readPages(count, async (id) => {
        const entries = (await client.xread("COUNT", 1_000, "STREAMS", key, id))?.[0][1];
        return entries && { length: entries.length, lastId: entries[entries.length - 1][0] };
      }));
  },

  async latency(job, measure) {
    const [writer, reader] = [open(job), open(job)];
    const watch = new Stopwatch(job);
    return await endToEnd(job, measure, watch, {
      send: (payload) => writer.xadd(job.key, "*", "msg", payload),
      async receive() {
        for (let id = "0-0"; !watch.done;) {
          const streams = await reader.xread("COUNT", 100, "BLOCK", 2_000, "STREAMS", job.key, id);
          for (const [next, fields] of streams?.[0][1] ?? []) {
            watch.arrive(fields[1]);
            id = next;
          }
        }
      },
    });
  },
});
