// The shapes of a measured run: produce, consume, relay, end to end.

import type { Job, Measure, Sample } from "./contend.ts";
import type { Stopwatch } from "./latency.ts";
import { paced } from "./pacing.ts";

/** Warms up, then measures `send`, which resolves once `count` messages are stored under `key`. */
export async function produce(
  job: Job,
  measure: Measure,
  send: (key: string, count: number) => Promise<unknown>,
): Promise<void> {
  await send(job.warmKey, job.warmup);
  await measure(async () => {
    await send(job.key, job.messages);
    return job.messages;
  });
}

/** Warms up, then measures `read`, which resolves to the number of messages it received from the beginning of `key`. */
export async function consume(
  job: Job,
  measure: Measure,
  read: (key: string, count: number) => Promise<number>,
): Promise<void> {
  await read(job.warmKey, job.warmup);
  await measure(() => read(job.key, job.messages));
}

/** Warms up, then measures `pass`, which resolves to the number of messages that it copied from one stream to another. */
export async function relay(
  job: Job,
  measure: Measure,
  pass: (from: string, to: string, count: number) => Promise<number>,
): Promise<void> {
  await pass(job.warmKey, job.warmSink, job.warmup);
  await measure(() => pass(job.key, job.sink, job.messages));
}

/** A page of a stream, for clients that leave paging to the user. */
export interface Page {
  readonly length: number;
  readonly lastId: string;
}

/** Reads page after page until `count` messages have arrived; resolves to their number. */
export async function readPages(count: number, read: (after: string) => Promise<Page | undefined>): Promise<number> {
  let received = 0;
  for (let after = "0-0"; received < count;) {
    const page = await read(after);
    if (page === undefined) break;
    received += page.length;
    after = page.lastId;
  }
  return received;
}

/** Measures the time from `send` to `watch.arrive`, at the pace of the job. `receive` resolves once all messages have arrived. */
export async function endToEnd(
  job: Job,
  measure: Measure,
  watch: Stopwatch,
  client: { readonly send: (payload: string) => unknown; readonly receive: () => Promise<void> },
): Promise<Partial<Sample>> {
  await measure(async () => {
    const receiving = client.receive();
    await paced(job.messages, job.rate, (index) => client.send(watch.payload(index)));
    await receiving;
    return watch.arrived;
  });
  return watch.sample();
}
