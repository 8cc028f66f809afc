// The servers of the benchmark, the keys of its streams, and the child processes that work on them.

import { fileURLToPath } from "node:url";
import { slotOfKey } from "../../streamer/cluster/topology/slot.ts";
import type { Cluster } from "../../tests/support/servers/cluster.ts";
import { includesSlot } from "../../tests/support/servers/node_view.ts";
import type { OwnServer } from "../../tests/support/servers/server.ts";
import { runSample } from "../child.ts";
import type { Job, Sample } from "../contenders/contend.ts";
import type { FoundRuntime } from "../runtimes.ts";
import { median } from "../statistics.ts";
import type { ClusterBenchOptions } from "./options.ts";

/** What the parts work with. */
export interface Place {
  readonly options: ClusterBenchOptions;
  readonly runtimes: readonly FoundRuntime[];
  readonly cluster: Cluster;
  readonly server: OwnServer;
  /** Says what has been measured. */
  readonly report: (text: string) => void;
}

/** A table: its title, and its rows with the names of the columns first. */
export interface Table {
  readonly title: string;
  readonly rows: readonly (readonly string[])[];
}

/** The keys of a stream's shards. */
export function shardsOf(key: string, count: number): string[] {
  return Array.from({ length: count }, (_, shard) => `${key}:${shard}`);
}

/** The port of the node of each key. */
export async function portsOf(cluster: Cluster, keys: readonly string[]): Promise<number[]> {
  const views = await Promise.all(cluster.nodes.map(async (node) => ({ node, view: await node.view() })));
  return keys.map((key) => {
    const slot = slotOfKey(key);
    const owner = views.find(({ view }) => view !== undefined && includesSlot(view.myself.slots, slot));
    if (owner === undefined) throw new Error(`No node owns slot ${slot}`);
    return owner.node.port;
  });
}

/** Deletes all keys. */
export async function empty({ cluster, server }: Place): Promise<void> {
  await Promise.all([server, ...cluster.primaries.map((node) => node.server)].map((one) => one.command("FLUSHALL")));
}

/** Runs a form of a contender in a process of its own. */
export function runJob(
  runtime: FoundRuntime,
  script: string,
  job: Pick<Job, "form" | "url" | "key" | "messages"> & Partial<Job>,
): Promise<Sample> {
  const path = fileURLToPath(new URL(`../contenders/${script}.ts`, import.meta.url));
  const rest = {
    serverPid: 0,
    warmKey: "",
    group: "",
    sink: "",
    warmSink: "",
    warmup: 0,
    shards: 0,
    payload: "",
    rate: 0,
  };
  return runSample([...runtime.command, path, JSON.stringify({ ...rest, capture: "", folder: "", ...job })]);
}

/** The samples of several ways in the same rounds. */
export interface Rounds {
  readonly samples: ReadonlyMap<string, readonly Sample[]>;
  /** The median of a quantity. */
  of(name: string, read: (sample: Sample) => number | null | undefined): number | null;
  /** The median of the ratios of a quantity in each round. */
  ratio(names: readonly [string, string], read: (sample: Sample) => number | null | undefined): number | null;
}

/** Runs each way once a round, in an order that rotates. */
export async function interleave(
  { options: { rounds }, report }: Place,
  ways: Readonly<Record<string, () => Promise<Sample>>>,
): Promise<Rounds> {
  const names = Object.keys(ways);
  const samples = new Map<string, Sample[]>(names.map((name) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (let turn = 0; turn < names.length; turn++) {
      const name = names[(turn + round) % names.length];
      const sample = await ways[name]();
      samples.get(name)?.push(sample);
      report(`round ${round + 1}/${rounds}  ${name}  ${Math.round(sample.messages / sample.seconds)}/s`);
    }
  }
  const all = (name: string) => samples.get(name) ?? [];
  return {
    samples,
    of: (name, read) => median(all(name).map((sample) => read(sample) ?? null)),
    ratio([one, other], read) {
      return median(
        all(one).map((sample, round) => {
          const [mine, theirs] = [read(sample), read(all(other)[round])];
          return mine && theirs ? mine / theirs : null;
        }),
      );
    },
  };
}
