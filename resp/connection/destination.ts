// The destination of a connection. It is resolved to a node before each connection attempt, so that the node can change: a fixed server,
// the current primary of a name, or the owner of a slot.

import type { RespLimits } from "../limits.ts";
import type { Clock } from "./clock.ts";
import type { RedisNode } from "./node.ts";
import type { Waits } from "./retry/waiting.ts";

/** The destination of a connection. A {@linkcode RedisNode} is its own destination. */
export interface Destination {
  /** The address of the last resolved node, without credentials. For texts and events. */
  readonly name: string;
  readonly clock: Clock;
  /** Milliseconds for one attempt to connect, and the longest silence of a server that has to answer. */
  readonly timeout: number;
  /** Limits for replies. */
  readonly limits: Required<RespLimits>;
  /** Reports commands that are retried for long. */
  readonly waits: Waits;
  /** The number of connections that have been lost so far. */
  readonly losses: number;
  /** The cause of the last failed attempt, or of the last lost connection. */
  readonly failure: unknown;
  /** Returns the node to connect to now. Rejects with a final error, or the signal's reason. */
  resolve(signal: AbortSignal): Promise<RedisNode>;
  /** Reports that a connection to this node failed or was lost, or that the node is a replica. It may resolve to another node then. */
  report(node: RedisNode, cause: unknown): void;
}
