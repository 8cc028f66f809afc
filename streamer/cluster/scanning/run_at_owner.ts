// Runs commands that concern all keys of a node, while it owns slots.

import type { Command } from "../../../resp/connection/command.ts";
import { NodeLeftError, type NodeName, type RouteOptions, type Router } from "../router.ts";

/**
 * Runs a command on a node. Rejects with {@linkcode NodeLeftError} once the node owns no slots any more, also while the command waits
 * for a connection to it.
 */
export async function runAtOwner<T>(
  router: Router,
  node: NodeName,
  command: Command<T>,
  options: RouteOptions,
): Promise<T> {
  const leaving = new AbortController();
  const check = () => {
    if (!router.primaries().includes(node)) leaving.abort(new NodeLeftError(node, command));
  };
  const signal = options.signal === undefined ? leaving.signal : AbortSignal.any([options.signal, leaving.signal]);
  const unwatch = router.onChange(check);
  try {
    check();
    return await router.runOn(node, command, { ...options, signal });
  } finally {
    unwatch();
  }
}
