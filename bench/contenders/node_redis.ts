// Drives node-redis. "plain": its typed commands with default options, at most 10,000 in flight. "best": the fastest way known to us.

import { createClient, RESP_TYPES } from "redis";
import { contend, type Job } from "./contend.ts";
import { readAhead, readInTurn } from "./group_reads.ts";
import { Stopwatch } from "./latency.ts";
import { overlapped, sliding } from "./pacing.ts";
import { consume, endToEnd, produce, readPages } from "./shapes.ts";

function open({ url }: Job) {
  return createClient({ url }).on("error", fail).connect();
}

/** Without the timeout for each command, which costs more than the command itself. */
function openWithoutTimeout({ url }: Job) {
  return createClient({ url, commandOptions: { timeout: undefined } }).on("error", fail).connect();
}

function fail(error: Error): never {
  throw error;
}

await contend({
  async "produce-plain"(job, measure) {
    const client = await open(job);
    const { payload } = job;
    await produce(
      job,
      measure,
      (key, count) => overlapped(count, 5_000, () => client.xAdd(key, "*", { msg: payload })),
    );
  },

  async "produce-best"(job, measure) {
    const client = await openWithoutTimeout(job);
    const { payload } = job;
    await produce(
      job,
      measure,
      (key, count) => sliding(count, 1_000, () => client.sendCommand(["XADD", key, "*", "msg", payload])),
    );
  },

  async "consume-plain"(job, measure) {
    const client = await open(job);
    await consume(job, measure, (key, count) =>
      readPages(count, async (id) => {
        const streams = await client.xRead({ key, id }, { COUNT: 1_000 });
        const messages = streams?.[0].messages;
        return messages && { length: messages.length, lastId: messages[messages.length - 1].id };
      }));
  },

  /** Raw commands, and Buffers instead of strings. */
  async "consume-best"(job, measure) {
    const client = (await openWithoutTimeout(job)).withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
    await consume(job, measure, (key, count) =>
      readPages(count, async (id) => {
        const reply = await client.sendCommand(["XREAD", "COUNT", "1000", "STREAMS", key, id]);
        // `sendCommand` does not know its reply's shape: { key: [[id, [field, value]], …] } in RESP3.
        const entries = (reply as unknown as Record<string, [Buffer, Buffer[]][]> | null)?.[key];
        return entries && { length: entries.length, lastId: entries[entries.length - 1][0].toString() };
      }));
  },

  async "group-plain"(job, measure) {
    const client = await open(job);
    const { group } = job;
    await consume(job, measure, async (key) => {
      await client.xGroupCreate(key, group, "0");
      return await readInTurn({
        read: async () => {
          const streams = await client.xReadGroup(group, "me", { key, id: ">" }, { COUNT: 100 });
          return streams?.[0].messages.map(({ id }: { id: string }) => id);
        },
        ack: (ids) => client.xAck(key, group, ids),
      });
    });
  },

  /**
   * Raw commands, Buffers instead of strings, and eight pages in flight. In client CPU, strings cost 15 % more, ids that are returned as
   * Buffers 50 % (each is a write of its own), and the typed commands 60 %. Fewer pages in flight are slower; 16 and 32 make no
   * difference.
   */
  async "group-best"(job, measure) {
    const client = (await openWithoutTimeout(job)).withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
    const { group } = job;
    await consume(job, measure, async (key) => {
      await client.xGroupCreate(key, group, "0");
      const command = ["XREADGROUP", "GROUP", group, "me", "COUNT", "100", "STREAMS", key, ">"];
      return await readAhead(8, {
        read: async () => {
          const reply = await client.sendCommand(command);
          // As in "consume-best".
          const entries = (reply as unknown as Record<string, [Buffer, Buffer[]][]> | null)?.[key];
          return entries?.map(([id]) => id.toString());
        },
        ack: (ids) => client.sendCommand<number>(["XACK", key, group, ...ids]),
      });
    });
  },

  async latency(job, measure) {
    const [writer, reader] = await Promise.all([openWithoutTimeout(job), openWithoutTimeout(job)]);
    const watch = new Stopwatch(job);
    return await endToEnd(job, measure, watch, {
      send: (msg) => writer.xAdd(job.key, "*", { msg }),
      async receive() {
        for (let id = "0-0"; !watch.done;) {
          const streams = await reader.xRead({ key: job.key, id }, { BLOCK: 2_000, COUNT: 100 });
          for (const { id: next, message } of streams?.[0].messages ?? []) {
            watch.arrive(message.msg);
            id = next;
          }
        }
      },
    });
  },
});
