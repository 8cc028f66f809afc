// Drives ioredis. "plain": a promise for each command, at most 10,000 in flight. "best": the fastest way known to us, pipelines given
// as arrays, two of them in flight.

import { Redis } from "ioredis";
import { contend, type Job } from "./contend.ts";
import { readAhead, readInTurn } from "./group_reads.ts";
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

  async "group-plain"(job, measure) {
    const client = open(job);
    const { group } = job;
    await consume(job, measure, async (key) => {
      await client.xgroup("CREATE", key, group, "0");
      return await readInTurn({
        read: async () => {
          const streams = await client.xreadgroup("GROUP", group, "me", "COUNT", 100, "STREAMS", key, ">");
          return streams?.[0][1].map(([id]) => id);
        },
        ack: (ids) => client.xack(key, group, ...ids),
      });
    });
  },

  /**
   * Buffers instead of strings, and eight pages in flight. Pipelines given as arrays, `call` and strings are about as fast. Automatic
   * pipelining is a third slower.
   */
  async "group-best"(job, measure) {
    const client = open(job);
    const { group } = job;
    await consume(job, measure, async (key) => {
      await client.xgroup("CREATE", key, group, "0");
      return await readAhead(8, {
        read: async () => {
          const streams = await client.xreadgroupBuffer("GROUP", group, "me", "COUNT", 100, "STREAMS", key, ">");
          return streams?.[0][1].map(([id]) => id.toString());
        },
        ack: (ids) => client.xack(key, group, ...ids),
      });
    });
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
