// Scans the keys of all nodes at the same time, and again those of nodes that get slots meanwhile.

import type { Command } from "../../../resp/connection/command.ts";
import { NodeLeftError, type RouteOptions, type Router } from "../router.ts";
import { runAtOwner } from "./run_at_owner.ts";
import { ScanRounds } from "./scan_rounds.ts";

/** Options of {@linkcode scanAll}. */
export interface ScanAllOptions {
  readonly signal: AbortSignal;
  /** The options of each command. */
  readonly options: () => RouteOptions;
}

/**
 * Calls `scan` for each node, and again for each node that gets slots meanwhile. A node that loses all its slots meanwhile is not scanned to
 * its end. Rejects with the first failure.
 */
export async function scanAll(
  router: Router,
  scan: (run: <T>(command: Command<T>) => Promise<T>) => Promise<void>,
  { signal, options }: ScanAllOptions,
): Promise<void> {
  const rounds = new ScanRounds(router, { signal });
  try {
    for (let nodes = await rounds.next(); nodes.length > 0; nodes = await rounds.next()) {
      await Promise.all(nodes.map(async (node) => {
        try {
          await scan((command) => runAtOwner(router, node, command, { ...options(), signal }));
        } catch (error) {
          if (!(error instanceof NodeLeftError)) throw error; // its slots have arrived at other nodes
        }
      }));
    }
  } finally {
    rounds.close();
  }
}
