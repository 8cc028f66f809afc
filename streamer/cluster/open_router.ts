// Opens the first connection, and creates the router that fits what answers.

import { openThroughGate } from "../../resp/connection/connection.ts";
import { ConnectError } from "../../resp/connection/handshake/connect_error.ts";
import { sleep } from "../../resp/connection/clock.ts";
import { RedisNode } from "../../resp/connection/node.ts";
import { reconnectDelay } from "../../resp/connection/reconnect/backoff.ts";
import { StreamerError } from "../../resp/errors.ts";
import { ConnectionCounts } from "./connection_counts.ts";
import { type ClusterOptions, openCluster } from "./open_cluster.ts";
import { findMode, type FoundMode } from "./find_mode.ts";
import { checkSeed } from "./reach.ts";
import type { Router } from "./router.ts";
import { openSentinel, type SentinelSettings } from "./sentinel/open_sentinel.ts";
import { StandaloneRouter } from "./standalone.ts";

/** Options of {@linkcode openRouter}. */
export interface OpenRouterOptions extends ClusterOptions {
  /** The seeds are Sentinels, which know the primary. */
  readonly sentinel: SentinelSettings | undefined;
  /** Whether it must be a cluster, must not be used as one, or is found out. */
  readonly cluster: boolean | "auto";
}

/** How to open it. */
export interface OpenOptions {
  readonly signal: AbortSignal;
  /** Whether to retry until a server answers, instead of one attempt. */
  readonly wait: boolean;
}

/** Opens the first connection. Rejects with a `ConnectError`, or the signal's reason. */
export async function openRouter(options: OpenRouterOptions, { signal, wait }: OpenOptions): Promise<Router> {
  const { seeds, cluster, reach, shared, sentinel: settings } = options;
  if (settings !== undefined) return await openSentinel({ ...options, settings }, { signal, wait });
  const [endpoint, ...others] = seeds;
  if (cluster === true || others.length > 0) return await openCluster(options, { signal, wait });
  checkSeed(endpoint, reach);
  const counts = new ConnectionCounts(shared.events);
  const node = new RedisNode({ ...shared, endpoint, events: counts.events });
  const { opened, mode, isHidden } = await openAndAsk(node, options, { signal, wait });
  const isCluster = mode === "cluster" && !isHidden && cluster !== false;
  if (isCluster && endpoint.kind === "tcp") return await openCluster(options, { signal, wait, opened });
  if (isCluster || mode === "sentinel") {
    opened.pipeline.end(new StreamerError("DISCONNECTED", "The server is not used"));
    throw new ConnectError("CONNECT", isCluster ? UNIX_CLUSTER : SENTINEL, { final: true, place: node.name });
  }
  return new StandaloneRouter({
    ...{ server: node, opened, reconnect: shared.reconnect, counts },
    hasSlots: mode === "cluster",
  });
}

/** Opens a connection and finds out the mode of its server. With `wait` until it serves. */
async function openAndAsk(
  node: RedisNode,
  { shared: { clock, reconnect } }: OpenRouterOptions,
  { signal, wait }: OpenOptions,
): Promise<FoundMode> {
  const began = clock.now();
  for (let attempt = 1;; attempt++) {
    const opened = wait ? (await openThroughGate(node, { signal })).open : await node.open({ signal });
    try {
      return await findMode(opened, signal);
    } catch (error) {
      signal.throwIfAborted();
      const isFinal = error instanceof ConnectError && error.final;
      if (!wait || isFinal || attempt > reconnect.maxAttempts) throw error;
    }
    await sleep(clock, reconnectDelay(reconnect, clock.now() - began, clock.random()), signal);
  }
}

const SENTINEL = "it is a Sentinel, which stores no streams. Use a redis+sentinel:// URL with the name of the primary";
const UNIX_CLUSTER = "a unix socket leads to one node of a cluster. Use the address of a node, or cluster: false";
