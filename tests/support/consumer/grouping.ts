// Shared by the tests of groups: a view of the server's pending entries, and members of a group that do not use the
// library.

import type { RedisStreamer, StreamerEventDetails } from "../../../mod.ts";
import { until } from "../events.ts";
import { uniqueKey } from "../keys.ts";
import type { Server } from "../servers/server.ts";

/** One row of XPENDING. */
export interface Row {
  readonly id: string;
  readonly consumer: string;
  readonly idle: number;
  readonly deliveries: number;
}

/** The pending entries of a group, or of one of its consumers. */
export async function pendingRows(server: Server, key: string, group: string, consumer?: string): Promise<Row[]> {
  const reply = await server.command("XPENDING", key, group, "-", "+", 100_000, ...(consumer ? [consumer] : []));
  if (!Array.isArray(reply)) throw new Error("XPENDING gave no array");
  return reply.map((row) => {
    const [id, owner, idle, deliveries] = Array.isArray(row) ? row : [];
    return { id: String(id), consumer: String(owner), idle: Number(idle), deliveries: Number(deliveries) };
  });
}

/** The ids of pending entries. */
export async function pendingIds(server: Server, key: string, group: string, consumer?: string): Promise<string[]> {
  return (await pendingRows(server, key, group, consumer)).map(({ id }) => id);
}

/** Resolves when so many are pending. */
export async function untilPending(server: Server, key: string, group: string, count: number): Promise<void> {
  await until(async () => (await pendingIds(server, key, group)).length === count, { what: `${count} are pending` });
}

/** Makes a group at the beginning of a stream that holds `count` entries `0`, `1` …; gives the key and the ids. */
export async function groupOf(server: Server, group: string, count: number): Promise<{ key: string; ids: string[] }> {
  const key = uniqueKey();
  const added = Array.from({ length: count }, (_, i) => ["XADD", key, "*", "msg", `${i}`]);
  const [, ...ids] = await server.commands([["XGROUP", "CREATE", key, group, "0", "MKSTREAM"], ...added]);
  return { key, ids: ids.map(String) };
}

/** Another member of the group reads new entries and does not acknowledge them. */
export async function readBy(
  server: Server,
  { key, group, consumer, count = 100_000 }: { key: string; group: string; consumer: string; count?: number },
): Promise<void> {
  await server.command("XREADGROUP", "GROUP", group, consumer, "COUNT", count, "STREAMS", key, ">");
}

/** The same, an hour ago. */
export async function leftBy(
  server: Server,
  options: { key: string; group: string; consumer: string; count?: number },
): Promise<void> {
  const { key, group, consumer } = options;
  await readBy(server, options);
  const ids = await pendingIds(server, key, group, consumer);
  await server.command("XCLAIM", key, group, consumer, 0, ...ids, "IDLE", 3_600_000, "JUSTID");
}

/** The names of a group's consumers. */
export async function consumerNames(server: Server, key: string, group: string): Promise<string[]> {
  const reply = await server.command("XINFO", "CONSUMERS", key, group);
  if (!Array.isArray(reply)) throw new Error("XINFO gave no array");
  return reply.map((row) => String(Array.isArray(row) ? row[1] : row));
}

/** The details of the events of a name so far. */
export function eventsOf<Name extends keyof StreamerEventDetails>(
  streamer: RedisStreamer,
  name: Name,
): StreamerEventDetails[Name][] {
  const details: StreamerEventDetails[Name][] = [];
  streamer.addEventListener(name, ({ detail }) => void details.push(detail));
  return details;
}
