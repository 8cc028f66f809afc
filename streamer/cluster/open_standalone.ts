// Opens the first connection to a single server, and creates its router.

import { openThroughGate } from "../../resp/connection/connection.ts";
import { RedisNode, type RedisNodeOptions } from "../../resp/connection/node.ts";
import { StreamerError } from "../../resp/errors.ts";
import { StandaloneRouter } from "./standalone.ts";

/** Options of {@linkcode openStandalone}. */
export interface OpenOptions {
  readonly signal: AbortSignal;
  /** Whether to retry until the server answers, instead of one attempt. */
  readonly wait: boolean;
  /** Checks the mode that the server reports. An exception closes the connection. */
  readonly checkMode: (mode: string | undefined, node: string) => void;
}

/** Opens the first connection. Rejects with a `ConnectError`, the error of `checkMode`, or the signal's reason. */
export async function openStandalone(
  options: RedisNodeOptions,
  { signal, wait, checkMode }: OpenOptions,
): Promise<StandaloneRouter> {
  const node = new RedisNode(options);
  const opened = wait ? (await openThroughGate(node, { signal })).open : await node.open({ signal });
  try {
    checkMode(opened.info.mode, node.name);
  } catch (error) {
    opened.pipeline.end(new StreamerError("UNSUPPORTED", "The server is not a standalone server"));
    throw error;
  }
  return new StandaloneRouter(node, opened, options.reconnect);
}
