// The latency of real-time reading of many shards, beside a blocking connection for each shard.

import type { Sample } from "../contenders/contend.ts";
import type { FoundRuntime } from "../runtimes.ts";
import { fixed } from "../table.ts";
import { addStreams } from "../../tests/support/servers/cluster_keys.ts";
import { empty, interleave, type Place, portsOf, runJob, shardsOf, type Table } from "./place.ts";

const KEY = "bench.latency";

/** The table of all runtimes. */
export async function latencyTable(place: Place): Promise<Table> {
  const rows = [["", "p50 µs", "× blocking", "≤ mark", "p99 µs", "× blocking", "connections a node", "≤ mark"]];
  for (const runtime of place.runtimes) {
    for (const shards of [64, 1_024]) rows.push(...await rowsOf(place, runtime, shards));
  }
  const title = `Latency: from send to a real-time consumer at ${place.options.rate} messages a second, three nodes`;
  return { title, rows };
}

async function rowsOf(place: Place, runtime: FoundRuntime, shards: number): Promise<string[][]> {
  const [blocking, watched] = ["a blocking connection for each", "one consumer"]
    .map((form) => `${shards} shards, ${form}@${runtime.name}`);
  const rounds = await interleave(place, {
    [blocking]: () => measure(place, runtime, { form: "blocking", shards }),
    [watched]: () => measure(place, runtime, { form: "watched", shards }),
  });
  const p50 = (sample: Sample) => sample.p50;
  const p99 = (sample: Sample) => sample.p99;
  return [blocking, watched].map((name) => {
    const isOurs = name === watched;
    const relative = (read: typeof p50) => isOurs ? fixed(rounds.ratio([name, blocking], read), 2) : "";
    const connections = rounds.of(name, (sample) => sample.connections);
    return [
      name,
      fixed(rounds.of(name, p50), 0),
      relative(p50),
      isOurs ? "2" : "",
      fixed(rounds.of(name, p99), 0),
      relative(p99),
      fixed(connections, 0),
      isOurs ? "3" : "",
    ];
  });
}

async function measure(
  place: Place,
  runtime: FoundRuntime,
  { form, shards }: { readonly form: string; readonly shards: number },
): Promise<Sample> {
  const { cluster, options: { latencyMessages: messages, rate, payload } } = place;
  const keys = shardsOf(KEY, shards);
  await addStreams(cluster, keys);
  const ports = await portsOf(cluster, keys);
  const job = { form, url: cluster.url, key: KEY, messages, shards, rate, payload: "x".repeat(payload), ports };
  const sample = await runJob(runtime, "cluster_latency", job);
  await empty(place);
  return sample;
}
