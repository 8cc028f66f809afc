// How slots move between the nodes of a real cluster, with their keys. Must not use the library under test.

import { setTimeout as sleep } from "node:timers/promises";
import { until } from "../events.ts";
import type { ClusterNode } from "./cluster_node.ts";
import type { Reply } from "./raw_client.ts";

/** Options of `Cluster.moveSlot`. */
export interface MoveOptions {
  /** Milliseconds, or a wait, after the keys have moved and before the slot does. @default {0} */
  readonly askWindow?: number | (() => Promise<unknown>);
}

interface Parties {
  readonly from: ClusterNode;
  readonly to: ClusterNode;
  readonly others: readonly ClusterNode[];
}

/** Keys that one MIGRATE moves. */
const KEYS = 100;

/** The way of all versions: key by key, while the old owner answers ASK for what it does not have. */
export async function moveSlot(slot: number, { from, to, others }: Parties, options: MoveOptions): Promise<void> {
  const { askWindow = 0 } = options;
  await until(() => epochsAgree([from, to, ...others]), { timeout: 10_000, what: "the nodes agree about their epoch" });
  await to.command("CLUSTER", "SETSLOT", slot, "IMPORTING", from.id);
  await from.command("CLUSTER", "SETSLOT", slot, "MIGRATING", to.id);
  const { host, port, address: { password } } = to.server;
  const credentials = password === undefined ? [] : ["AUTH", password];
  for (;;) {
    const keys = await from.server.commandBytes("CLUSTER", "GETKEYSINSLOT", slot, KEYS);
    if (!Array.isArray(keys) || keys.length === 0) break;
    const names = keys.filter((key) => key instanceof Uint8Array);
    // Replies NOKEY if all of them have been deleted meanwhile.
    await from.command("MIGRATE", host, port, "", 0, 10_000, ...credentials, "KEYS", ...names);
  }
  await (typeof askWindow === "number" ? askWindow > 0 && sleep(askWindow) : askWindow());
  // The new owner first: until it knows, the old one would redirect to a node that redirects back.
  await to.command("CLUSTER", "SETSLOT", slot, "NODE", to.id);
  await from.command("CLUSTER", "SETSLOT", slot, "NODE", to.id);
  const primaries = others.filter(({ running, role }) => running && role === "primary");
  await Promise.all(primaries.map((node) => node.command("CLUSTER", "SETSLOT", slot, "NODE", to.id)));
}

/**
 * Whether all nodes know the latest epoch. A new owner that does not may take one below that of the old owner, and then believes an
 * older message of it: each of them takes the other one for the owner, for ever.
 */
async function epochsAgree(nodes: readonly ClusterNode[]): Promise<boolean> {
  const running = nodes.filter((node) => node.running);
  const infos = await Promise.all(running.map((node) => node.command("CLUSTER", "INFO")));
  return new Set(infos.map((info) => /cluster_current_epoch:(\d+)/.exec(String(info))?.[1])).size === 1;
}

/** The ways of newer servers. Returns false if the servers know none. */
export async function moveAtomically(
  [first, last]: readonly [number, number],
  from: ClusterNode,
  to: ClusterNode,
): Promise<boolean> {
  const valkey = await orUnknown(from.command("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", first, last, "NODE", to.id));
  if (valkey !== undefined) {
    await finished(from, ["GETSLOTMIGRATIONS"], { success: "success", failure: /^(failed|cancel)/ });
    return true;
  }
  const redis = await orUnknown(to.command("CLUSTER", "MIGRATION", "IMPORT", first, last));
  if (redis === undefined) return false;
  await finished(to, ["MIGRATION", "STATUS", "ID", String(redis)], {
    success: "completed",
    failure: /^(failed|cancel)/,
  });
  return true;
}

/** The reply; `undefined` if the server does not know the command. */
async function orUnknown(reply: Promise<Reply>): Promise<Reply | undefined> {
  try {
    return await reply;
  } catch (error) {
    if (error instanceof Error && /unknown subcommand/i.test(error.message)) return undefined;
    throw error;
  }
}

interface States {
  readonly success: string;
  readonly failure: RegExp;
}

/** Waits until the latest task in a node's list of migrations has succeeded. */
async function finished(node: ClusterNode, question: readonly string[], { success, failure }: States): Promise<void> {
  await until(async () => {
    const tasks = await node.command("CLUSTER", ...question);
    const latest: Reply = Array.isArray(tasks) ? tasks[0] : null;
    if (!Array.isArray(latest)) return false;
    const state = String(latest[latest.indexOf("state") + 1]);
    if (failure.test(state)) throw new Error(`The migration ended as ${state}: ${JSON.stringify(latest)}`);
    return state === success;
  }, { timeout: 20_000, what: "the slots have moved" });
}
