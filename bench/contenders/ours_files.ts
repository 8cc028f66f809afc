// Writes a file with this library, or reads one from beginning to end.

import { join } from "node:path";
import { MessageSink, MessageSource } from "../../streamer/file/mod.ts";
import { contend, type Job } from "./contend.ts";

/** Writes a file; resolves to its size. The flush to the disk is not measured. */
async function write({ payload, folder }: Job, name: string, count: number): Promise<number> {
  const sink = await MessageSink.create(join(folder, name));
  const timestamp = 1_700_000_000_000n;
  for (let i = 0; i < count; i++) {
    const full = sink.write({ streamKey: "bench", shardId: i & 7, sequence: BigInt(i), timestamp, payload });
    if (full) await full;
  }
  await sink.close({ sync: false });
  return sink.stats().bytes;
}

async function read({ folder }: Job, name: string): Promise<number> {
  await using source = await MessageSource.open(join(folder, name));
  let count = 0;
  for await (const _message of source) count++;
  return count;
}

await contend({
  async write(job, measure) {
    await write(job, "warm.ss", job.warmup);
    let bytes = 0;
    await measure(async () => {
      bytes = await write(job, "bench.ss", job.messages);
      return job.messages;
    });
    return { bytes };
  },

  async read(job, measure) {
    await write(job, "warm.ss", job.warmup);
    await read(job, "warm.ss");
    const bytes = await write(job, "bench.ss", job.messages);
    await measure(() => read(job, "bench.ss"));
    return { bytes };
  },
});
