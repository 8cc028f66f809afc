// The router of one server, which owns every slot.

import type { ReconnectOptions } from "../../resp/connection/reconnect/backoff.ts";
import type { Clock } from "../../resp/connection/clock.ts";
import type { Command } from "../../resp/connection/command.ts";
import type { Destination } from "../../resp/connection/destination.ts";
import type { OpenConnection, RedisNode } from "../../resp/connection/node.ts";
import type { Waits } from "../../resp/connection/retry/waiting.ts";
import type { RespLimits } from "../../resp/limits.ts";
import type { ConnectionCounts } from "./connection_counts.ts";
import { NodeLanes } from "./node_lanes.ts";
import type { NodeName, NodeStats, RouteOptions, Router } from "./router.ts";
import { slotOfKey, SLOTS } from "./topology/slot.ts";

/** What the router works with. */
export interface StandaloneOptions {
  readonly node: RedisNode;
  /** An open connection to it. */
  readonly opened: OpenConnection;
  readonly reconnect: Required<ReconnectOptions>;
  /** Counts its connections. */
  readonly counts: ConnectionCounts;
}

/** Routes everything to one server. */
export class StandaloneRouter implements Router {
  readonly followsRedirects = false;
  readonly clock: Clock;
  readonly timeout: number;
  readonly reconnect: Required<ReconnectOptions>;
  readonly limits: Required<RespLimits>;
  readonly waits: Waits;
  readonly #node: RedisNode;
  readonly #lanes: NodeLanes;
  readonly #hasSlots: boolean; // whether it is a node of a cluster, used alone
  readonly #counts: ConnectionCounts;

  /** Takes over an open connection. */
  constructor({ node, opened, reconnect, counts }: StandaloneOptions) {
    this.clock = node.clock;
    this.timeout = node.timeout;
    this.reconnect = reconnect;
    this.limits = node.limits;
    this.waits = node.waits;
    this.#node = node;
    this.#counts = counts;
    this.#lanes = new NodeLanes(node, opened);
    this.#hasSlots = opened.info.mode === "cluster";
  }

  slotOf(redisKey: string): number {
    return this.#hasSlots ? slotOfKey(redisKey) : 0;
  }

  nodeOf(): NodeName {
    return this.#node.name;
  }

  primaries(): readonly NodeName[] {
    return [this.#node.name];
  }

  nodes(): readonly NodeStats[] {
    const { name } = this.#node;
    return [{ name, slots: SLOTS, connections: this.#counts.of(name) }];
  }

  destination(): Destination {
    return this.#node;
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
    return () => {}; // the node never changes
  }

  refresh(): Promise<void> {
    return Promise.resolve();
  }

  slotsAt(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  serverOf(): string | undefined {
    return this.#node.server;
  }

  close(): void {
    this.#lanes.close();
    this.#node.waits.close();
  }
}
