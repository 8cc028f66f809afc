// Producing round robin to 64 shards on three nodes, beside the same producer on one server.

import type { Sample } from "../contenders/contend.ts";
import type { FoundRuntime } from "../runtimes.ts";
import { fixed } from "../table.ts";
import { empty, interleave, type Place, runJob, shardsOf, type Table } from "./place.ts";

const SHARDS = 64;
const KEY = "bench.produced";
const WARM = `${KEY}.warm`;

/** The table of all runtimes. */
export async function produceTable(place: Place): Promise<Table> {
  const rows = [["", "k messages/s", "× one server", "≥ mark", "client CPU µs", "× one server", "≤ mark"]];
  for (const runtime of place.runtimes) rows.push(...await rowsOf(place, runtime));
  return { title: `Produce: round robin over ${SHARDS} shards on three nodes, beside one server`, rows };
}

async function rowsOf(place: Place, runtime: FoundRuntime): Promise<string[][]> {
  const { cluster, server } = place;
  const [one, one64, three] = ["one stream, one server", "64 shards, one server", "64 shards, three nodes"]
    .map((form) => `${form}@${runtime.name}`);
  const rounds = await interleave(place, {
    [one]: () => produce(place, runtime, { url: server.url, shards: 0 }),
    [one64]: () => produce(place, runtime, { url: server.url, shards: SHARDS }),
    [three]: () => produce(place, runtime, { url: cluster.url, shards: SHARDS }),
  });
  const rate = ({ messages, seconds }: Sample) => messages / seconds;
  const cpu = ({ clientUs }: Sample) => clientUs;
  return [one, one64, three].map((name) => {
    const isMarked = name === three;
    const relative = (read: (sample: Sample) => number | null) =>
      name === one ? "" : fixed(rounds.ratio([name, one], read), 2);
    const [rates, costs] = [relative(rate), relative(cpu)];
    const cost = fixed(rounds.of(name, cpu), 2);
    return [
      name,
      fixed((rounds.of(name, rate) ?? 0) / 1_000, 0),
      rates,
      isMarked ? "0.85" : "",
      cost,
      costs,
      isMarked ? "1.25" : "",
    ];
  });
}

/** One run, and a check that all of it is stored. */
async function produce(
  place: Place,
  runtime: FoundRuntime,
  { url, shards }: { readonly url: string; readonly shards: number },
): Promise<Sample> {
  const { cluster, server, options: { messages, payload } } = place;
  const form = shards === 0 ? "produce-ignored" : "produce-sharded";
  const warmup = Math.min(100_000, messages);
  const job = { form, url, key: KEY, warmKey: WARM, warmup, messages, shards, payload: "x".repeat(payload) };
  const sample = await runJob(runtime, "ours", job);
  const keys = shards === 0 ? [KEY] : shardsOf(KEY, shards);
  const owner = url === server.url ? server : cluster;
  const lengths = await Promise.all(keys.map((key) => owner.command("XLEN", key)));
  const stored = lengths.reduce<number>((sum, length) => sum + Number(length), 0);
  if (stored !== messages) throw new Error(`${stored} of ${messages} messages are stored`);
  await empty(place);
  return sample;
}
