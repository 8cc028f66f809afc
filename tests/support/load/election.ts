// The moment at which a replica becomes a primary, by its own word.

import { performance } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import type { ClusterNode } from "../servers/cluster.ts";

/** Milliseconds between two questions. */
const PACE = 5;
const LONGEST = 60_000;

/** Asks the replicas for their roles until one of them is a primary. Resolves to it and the time, in milliseconds of `performance.now()`. */
export async function election(
  replicas: readonly ClusterNode[],
): Promise<{ readonly elected: ClusterNode; readonly at: number }> {
  const until = performance.now() + LONGEST;
  while (performance.now() < until) {
    for (const replica of replicas) {
      const role = await replica.command("ROLE").catch(() => null);
      if (Array.isArray(role) && role[0] === "master") return { elected: replica, at: performance.now() };
    }
    await sleep(PACE);
  }
  throw new Error(`No replica was elected within ${LONGEST} ms`);
}
