// The router of one server, which owns every slot. With Sentinel it is one server after another.

import type { ReconnectOptions } from "../../resp/connection/reconnect/backoff.ts";
import type { Clock } from "../../resp/connection/clock.ts";
import type { Command } from "../../resp/connection/command.ts";
import type { Destination } from "../../resp/connection/destination.ts";
import type { OpenConnection } from "../../resp/connection/node.ts";
import type { WaitingWatch } from "../../resp/connection/retry/waiting.ts";
import type { RespLimits } from "../../resp/limits.ts";
import type { ConnectionCounts } from "./connection_counts.ts";
import { NodeLanes } from "./node_lanes.ts";
import type { NodeName, NodeStats, RouteOptions, Router } from "./router.ts";
import { slotOfKey, SLOTS } from "./topology/slot.ts";

/** The server, or the name that leads to it. */
export interface RoutedServer extends Destination {
  readonly waits: WaitingWatch;
  /** The name and version of the server, of its latest connection. */
  readonly server: string | undefined;
}

/** What the router works with. */
export interface StandaloneOptions {
  readonly server: RoutedServer;
  /** The name of the node for its callers, which stays the same when the server changes. @default {the server's} */
  readonly key?: NodeName;
  /** An open connection to it. */
  readonly opened: OpenConnection;
  readonly reconnect: Required<ReconnectOptions>;
  /** Counts its connections. */
  readonly counts: ConnectionCounts;
  /** Whether it is a node of a cluster, used alone, or hides one: a command may name keys of one slot only. @default {false} */
  readonly hasSlots?: boolean;
  /** Called by `close`, once. */
  readonly onClose?: () => void;
}

/** Routes everything to one server. */
export class StandaloneRouter implements Router {
  readonly followsRedirects = false;
  readonly clock: Clock;
  readonly timeout: number;
  readonly reconnect: Required<ReconnectOptions>;
  readonly limits: Required<RespLimits>;
  readonly waits: WaitingWatch;
  readonly #server: RoutedServer;
  readonly #key: NodeName;
  readonly #lanes: NodeLanes;
  readonly #hasSlots: boolean;
  readonly #counts: ConnectionCounts;
  #onClose: (() => void) | undefined;

  /** Takes over an open connection. */
  constructor({ server, key = server.name, opened, reconnect, counts, hasSlots = false, onClose }: StandaloneOptions) {
    this.clock = server.clock;
    this.timeout = server.timeout;
    this.reconnect = reconnect;
    this.limits = server.limits;
    this.waits = server.waits;
    this.#server = server;
    this.#key = key;
    this.#counts = counts;
    this.#onClose = onClose;
    this.#lanes = new NodeLanes(server, opened);
    this.#hasSlots = hasSlots;
  }

  /** The connection for most commands, if it is open. */
  get current(): OpenConnection | undefined {
    return this.#lanes.current;
  }

  slotOf(redisKey: string): number {
    return this.#hasSlots ? slotOfKey(redisKey) : 0;
  }

  nodeOf(): NodeName {
    return this.#key;
  }

  primaries(): readonly NodeName[] {
    return [this.#key];
  }

  nodes(): readonly NodeStats[] {
    const { name } = this.#server;
    return [{ name, slots: SLOTS, connections: this.#counts.of(name) }];
  }

  destination(): Destination {
    return this.#server;
  }

  run<T>(command: Command<T>, options?: RouteOptions): Promise<T> {
    return this.#lanes.run(command, options);
  }

  runOn<T>(_node: NodeName, command: Command<T>, options?: RouteOptions): Promise<T> {
    return this.run(command, options);
  }

  connection(_node: NodeName, options: { readonly signal: AbortSignal }): Promise<OpenConnection> {
    return this.#lanes.connection(options);
  }

  /** A single server that redirects is a cluster node with `cluster: false`, or behind a proxy. The command is sent to it again. */
  redirected(): undefined {
    return undefined;
  }

  /** No other node can replace it. */
  suspect(): void {}

  onChange(): () => void {
    return () => {}; // the slots never have another node
  }

  refresh(): Promise<void> {
    return Promise.resolve();
  }

  slotsAt(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  serverOf(): string | undefined {
    return this.#server.server;
  }

  close(): void {
    this.#lanes.close();
    this.waits.close();
    this.#onClose?.();
    this.#onClose = undefined;
  }
}
