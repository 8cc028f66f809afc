// Opens the first connection to a primary that Sentinels watch, and creates its router.

import { openThroughGate } from "../../../resp/connection/connection.ts";
import { ConnectError } from "../../../resp/connection/handshake/connect_error.ts";
import type { OpenConnection, RedisNode, RedisNodeOptions } from "../../../resp/connection/node.ts";
import { ConnectionCounts } from "../connection_counts.ts";
import type { SharedNodeOptions } from "../members/member.ts";
import type { Endpoint, ReachRules } from "../reach.ts";
import { StandaloneRouter } from "../standalone.ts";
import type { SlotMove } from "../topology/moves.ts";
import { KnownSentinels } from "./known_sentinels.ts";
import { PrimaryWatch } from "./primary_watch.ts";
import { SentinelDestination } from "./sentinel_destination.ts";

/** The checked settings of a Sentinel URL. */
export interface SentinelSettings {
  /** The name by which the Sentinels know the primary. */
  readonly name: string;
  /** What connections to Sentinels send. */
  readonly identification: RedisNodeOptions["identification"];
  /** How Sentinels are reached that another one announces. */
  readonly reach: ReachRules;
}

/** Options of {@linkcode openSentinel}. */
export interface OpenSentinelOptions {
  readonly settings: SentinelSettings;
  /** The Sentinels in the URL. */
  readonly seeds: readonly Endpoint[];
  /** How servers are reached that the Sentinels name. */
  readonly reach: ReachRules;
  readonly shared: SharedNodeOptions;
  readonly onMoved: (move: SlotMove) => void;
}

/** Opens the first connection. Rejects with a `ConnectError`, or the signal's reason. */
export async function openSentinel(
  { settings, seeds, reach, shared, onMoved }: OpenSentinelOptions,
  { signal, wait }: { readonly signal: AbortSignal; readonly wait: boolean },
): Promise<StandaloneRouter> {
  const { name, identification } = settings;
  const counts = new ConnectionCounts(shared.events);
  const own = { ...shared, events: counts.events };
  const parts: { watch?: PrimaryWatch } = {};
  const sentinels = new KnownSentinels({
    primary: name,
    seeds,
    identification,
    reach: settings.reach,
    shared,
    onSwitch: () => void parts.watch?.look(),
  });
  const destination = new SentinelDestination({ name, sentinels, reach, shared: own, onMoved });
  let opened: OpenConnection;
  try {
    opened = wait ? (await openThroughGate(destination, { signal })).open : await openOnce(destination, signal);
  } catch (error) {
    destination.close();
    throw error;
  }
  const { clock, reconnect } = shared;
  const router = new StandaloneRouter({
    key: name,
    server: destination,
    opened,
    reconnect,
    counts,
    onClose: () => {
      parts.watch?.close();
      destination.close();
    },
  });
  parts.watch = new PrimaryWatch({
    clock,
    locate: (signal) => destination.locate(signal),
    isAnnounced: () => sentinels.announce,
    connection: () => router.current,
  });
  return router;
}

/** Tries each address that the Sentinels name, once: one of them may not know of a failover yet. */
async function openOnce(destination: SentinelDestination, signal: AbortSignal): Promise<OpenConnection> {
  const tried = new Set<RedisNode>();
  let failure: unknown;
  for (;;) {
    const node = await destination.locate(signal);
    if (tried.has(node)) throw failure;
    tried.add(node);
    try {
      return await node.open({ signal });
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof ConnectError && error.final) throw error;
      failure = error;
      destination.report(node, error);
    }
  }
}
