// The suites that run on a cluster, and the reasons for which tests are left out there. Pure.

import { LEFT_OUT } from "../runner.ts";

/** The folders of the tests that run on a cluster, unless files are named. */
export const CLUSTER_SUITES: readonly string[] =
  "claims cli drain group manager messages positions process producer real_time shards"
    .split(" ").map((name) => `tests/server/${name}/`);

/** The folders of the tests that start clusters or Sentinels of their own. */
export const OWN_CLUSTERS: readonly string[] = [
  "tests/faults/cluster/",
  "tests/faults/watched/",
  "tests/server/cluster/",
  "tests/server/sentinel/",
  "tests/server/watched/",
  "tests/support/servers/",
];

/** The reasons for which tests were left out, the most frequent one first, each with its count. */
export function reasonsOf(names: readonly string[]): string[] {
  const counts = new Map<string, number>();
  for (const name of names) {
    const at = name.lastIndexOf(`(${LEFT_OUT}`);
    if (at < 0) continue;
    const reason = name.slice(at + 1 + LEFT_OUT.length, -1);
    counts.set(reason, (counts.get(reason) ?? 0) + 1);
  }
  return [...counts].sort((a, b) => b[1] - a[1]).map(([reason, count]) => `${count} left out: ${reason}`);
}
