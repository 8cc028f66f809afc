// The cluster that takes the place of the tests' shared server, one per run of a runtime, and what is left out there.

import { type Cluster, startCluster } from "../servers/cluster.ts";
import { LEFT_OUT } from "../runner.ts";

/** The folders of the tests that run on a cluster, unless files are named. */
export const CLUSTER_SUITES: readonly string[] = [
  ...["claims", "drain", "group", "manager", "messages", "positions", "process", "producer", "real_time", "shards"],
].map((name) => `tests/server/${name}/`);

/** Milliseconds. Long: on a busy machine a node may be late, and no test of these loses one. */
const NODE_TIMEOUT = 10_000;

/** Starts the cluster, and stops it when disposed. */
export async function startTestCluster(): Promise<Cluster> {
  return await startCluster({ nodeTimeout: NODE_TIMEOUT });
}

/** The environment of tests that use it. */
export function clusterEnvironment(cluster: Cluster): Record<string, string> {
  return { SEA_TEST_CLUSTER: cluster.nodes.map(({ name }) => name).join(",") };
}

/** The reasons for which tests were left out, the most frequent one first, each with its count. */
export function reasonsOf(skipped: readonly string[]): string[] {
  const counts = new Map<string, number>();
  for (const name of skipped) {
    const at = name.lastIndexOf(`(${LEFT_OUT}`);
    if (at < 0) continue;
    const reason = name.slice(at + 1 + LEFT_OUT.length, -1);
    counts.set(reason, (counts.get(reason) ?? 0) + 1);
  }
  return [...counts].sort((a, b) => b[1] - a[1]).map(([reason, count]) => `${count} left out: ${reason}`);
}
