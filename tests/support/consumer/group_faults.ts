// Shared by the fault tests of groups: a view of the server's pending entries, a streamer that reconnects at once, and
// a list of the library's events.

import { connect, type ConnectOptions, type RedisStreamer, type StreamerEventMap } from "../../../mod.ts";
import { until } from "../events.ts";
import type { OwnServer, Reply, Server } from "../servers/server.ts";

/** Comes back at once, so that many cuts take no time. */
export const EAGER: ConnectOptions = { reconnect: { initialDelay: 1, maxDelay: 20 } };

/** A streamer that reconnects at once. */
export function connectEagerly(url: string, options: ConnectOptions = {}): Promise<RedisStreamer> {
  return connect(url, { ...EAGER, ...options });
}

/** One entry that the server lists as pending. */
export interface Pending {
  readonly id: string;
  readonly consumer: string;
  readonly deliveries: number;
}

/** All that is pending in a group, as the server lists it; of one consumer if one is named. */
export async function pendingOf(
  server: Server,
  key: string,
  group: string,
  consumer?: string,
): Promise<Pending[]> {
  const rows = await server.command("XPENDING", key, group, "-", "+", 1_000_000, ...(consumer ? [consumer] : []));
  return listOf(rows).map((row) => {
    const [id, owner, , deliveries] = listOf(row);
    return { id: String(id), consumer: String(owner), deliveries: Number(deliveries) };
  });
}

/** How many are pending in a group. */
export async function countPending(server: Server, key: string, group: string): Promise<number> {
  return Number(listOf(await server.command("XPENDING", key, group))[0]);
}

/** The fields of a group as XINFO GROUPS tells them. */
export async function groupInfo(server: Server, key: string, group: string): Promise<Map<string, Reply>> {
  for (const row of listOf(await server.command("XINFO", "GROUPS", key))) {
    const words = listOf(row);
    const fields = new Map<string, Reply>();
    for (let i = 0; i < words.length; i += 2) fields.set(String(words[i]), words[i + 1]);
    if (fields.get("name") === group) return fields;
  }
  throw new Error(`There is no group ${group} of ${key}`);
}

/** Waits until nothing is pending. */
export async function nothingPending(server: Server, key: string, group: string): Promise<void> {
  await until(async () => await countPending(server, key, group) === 0, { what: `nothing of ${key} is pending` });
}

/** Reads entries for a consumer that never returns. Resolves to their ids. Without a count, reads all entries. */
export async function readAndDie(
  server: Server,
  { key, group, consumer, count = 1_000_000 }: {
    readonly key: string;
    readonly group: string;
    readonly consumer: string;
    readonly count?: number;
  },
): Promise<string[]> {
  const reply = await server.command("XREADGROUP", "GROUP", group, consumer, "COUNT", count, "STREAMS", key, ">");
  if (reply === null) return [];
  return listOf(listOf(listOf(reply)[0])[1]).map((entry) => String(listOf(entry)[0]));
}

/** A streamer's events of one type, from now on. */
export function eventsOf<K extends keyof StreamerEventMap>(
  streamer: RedisStreamer,
  type: K,
): StreamerEventMap[K]["detail"][] {
  const details: StreamerEventMap[K]["detail"][] = [];
  streamer.addEventListener(type, (event) => details.push(event.detail));
  return details;
}

/** How often the server has run commands of this name since it started; those that failed count too. */
export async function callsOf(server: OwnServer, command: string): Promise<number> {
  const info = String(await server.command("INFO", "commandstats"));
  let calls = 0;
  const name = command.toLowerCase();
  for (const line of info.split("\r\n")) {
    const found = /^cmdstat_([^:]+):calls=(\d+),.*?(?:rejected_calls=(\d+))?/.exec(line);
    if (found && (found[1] === name || found[1].startsWith(`${name}|`))) calls += Number(found[2]);
  }
  return calls;
}

/** The higher of two ids is last. */
export function inOrder(a: string, b: string): number {
  const [left, right] = [a, b].map((id) => id.split("-").map(BigInt));
  const [x, y] = left[0] === right[0] ? [left[1], right[1]] : [left[0], right[0]];
  return x < y ? -1 : x > y ? 1 : 0;
}

/** A reply that must be an array. */
export function listOf(reply: Reply): Reply[] {
  if (!Array.isArray(reply)) throw new Error(`The server gave no array: ${reply}`);
  return reply;
}
