// The router: finds the node of a key, and runs commands there. Producers, consumers and managers use a router and keep no node. For a
// standalone server it is a router with one node, which owns every slot.

import type { Clock } from "../../resp/connection/clock.ts";
import type { ReconnectOptions } from "../../resp/connection/reconnect/backoff.ts";
import { type Command, commandName } from "../../resp/connection/command.ts";
import type { Destination } from "../../resp/connection/destination.ts";
import type { RunOptions } from "../../resp/connection/lane.ts";
import type { OpenConnection } from "../../resp/connection/node.ts";
import type { Waits } from "../../resp/connection/retry/waiting.ts";
import { type RedisError, StreamerError } from "../../resp/errors.ts";
import type { RespLimits } from "../../resp/limits.ts";
import type { OwnSlots } from "../commands/cluster_nodes.ts";

/** The address of a node, without credentials. It identifies the node to its router. */
export type NodeName = string;

/** Options of a command. */
export interface RouteOptions extends RunOptions {
  /**
   * Whether the reply may exceed the limits. Such a reply ends the connection with all commands that wait on it, so these commands
   * have a separate connection. @default {false}
   */
  readonly large?: boolean;
}

/** The node to use instead of the one that has answered. */
export interface Redirect {
  readonly node: NodeName;
  /** Whether only this command goes there, after an ASKING: the slot is being migrated, and its owner is still the old node. */
  readonly asking: boolean;
}

/**
 * A primary: a server that owns slots.
 *
 * @category Connecting
 */
export interface NodeStats {
  /** Its address, without credentials, as in the events. */
  readonly name: string;
  /** The number of slots that it owns: 16,384 for a standalone server. */
  readonly slots: number;
  /** Open connections to it, of producers, consumers and everything else. */
  readonly connections: number;
}

/** Slots whose node has changed. `nodeOf` returns the new node before listeners are called. */
export interface RouteChange {
  readonly slots: readonly number[] | "all";
  /** A node that cannot be reached, to which ASK redirected these slots: their node, which has not changed, knows more. @default {none} */
  readonly away?: NodeName;
}

/** A node is not part of the cluster any more, or owns no slots: the command was not executed. */
export class NodeLeftError extends StreamerError {
  static override readonly name = "StreamerError";

  constructor(node: NodeName, command: Command<unknown>) {
    super("DISCONNECTED", `${commandName(command)} was not executed: ${node} owns no slots any more`);
  }
}

/** Finds the node of a key, and runs commands there. */
export interface Router {
  readonly clock: Clock;
  /** Milliseconds for one attempt to connect, and the longest silence of a server that has to answer. */
  readonly timeout: number;
  readonly reconnect: Required<ReconnectOptions>;
  readonly limits: Required<RespLimits>;
  /** Reports commands that are retried for long. */
  readonly waits: Waits;
  /** Whether redirects are followed. Otherwise they are final. */
  readonly followsRedirects: boolean;
  /** The slot of a key. It is computed once for a shard or target, and stored with it. */
  slotOf(redisKey: string): number;
  /** The node that owns a slot now. */
  nodeOf(slot: number): NodeName;
  /** All nodes that own slots now. */
  primaries(): readonly NodeName[];
  /** The same nodes, with their slots and open connections. */
  nodes(): readonly NodeStats[];
  /** The destination of connections to a node. */
  destination(node: NodeName): Destination;
  /** Runs a command on the node that owns its key, following redirects. One without a key goes to any primary. */
  run<T>(command: Command<T>, options?: RouteOptions): Promise<T>;
  /** Runs a command on this node. Rejects with {@linkcode NodeLeftError} if it is not part of the cluster any more. */
  runOn<T>(node: NodeName, command: Command<T>, options?: RouteOptions): Promise<T>;
  /** Returns the connection of this node on which commands never block, now or after a reconnect. */
  connection(node: NodeName, options: { readonly signal: AbortSignal }): Promise<OpenConnection>;
  /**
   * The target of a refusal of the class `redirect`, which this node has answered. `undefined` if it has no valid target, or names the
   * node that has answered: the same node is used again, after a delay.
   */
  redirected(slot: number, refusal: RedisError, from: NodeName): Redirect | undefined;
  /** A node does not answer, for at least a second now. If it was replaced, the change is announced soon. Call this every second. */
  suspect(node: NodeName): void;
  /** Adds a listener, which is called after each change. Returns a function that removes it. */
  onChange(listener: (change: RouteChange) => void): () => void;
  /**
   * Asks the nodes which slots they own, now or after a refresh in progress. Resolves when the answer was applied, or none can be had.
   * Rejects with the signal's reason.
   */
  refresh(signal?: AbortSignal): Promise<void>;
  /**
   * What a node says of its own slots, which counts more than what others say. `undefined` if it must not be asked or does not
   * answer, and of a standalone server. Rejects with the signal's reason.
   */
  slotsAt(node: NodeName, options?: RouteOptions): Promise<OwnSlots | undefined>;
  /** The name and version of a node's server, as in `"redis 8.0.6"`, of its latest connection. `undefined` if it does not report it. */
  serverOf(node: NodeName): string | undefined;
  /** Closes the connections on which commands run. A second call does nothing. */
  close(): void;
}
