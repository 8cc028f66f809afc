// Checks on the server that a run did all of its work.

import type { OwnServer, Reply } from "../tests/support/servers/server.ts";
import { idOf } from "./yardstick.ts";

/** Rejects unless the streams contain that many messages, evenly distributed. */
export async function proveStored(server: OwnServer, keys: readonly string[], messages: number): Promise<void> {
  const lengths = await server.commands(keys.map((key) => ["XLEN", key]));
  const stored = lengths.reduce<number>((sum, length) => sum + Number(length), 0);
  if (stored !== messages) throw new Error(`${stored} of ${messages} messages are stored`);
  const uneven = lengths.some((length) => Math.abs(Number(length) - messages / keys.length) >= 1);
  if (uneven) throw new Error(`The shards have ${lengths} of ${messages} messages`);
}

/** Rejects unless a group has received and acknowledged all messages of a filled stream. */
export async function proveSettled(server: OwnServer, key: string, group: string, messages: number): Promise<void> {
  const [pending] = listOf(await server.command("XPENDING", key, group));
  const groups = listOf(await server.command("XINFO", "GROUPS", key));
  if (pending !== 0) throw new Error(`${pending} of ${messages} messages are pending`);
  const facts = groups.map(listOf).find((facts) => facts[facts.indexOf("name") + 1] === group) ?? [];
  const last = facts[facts.indexOf("last-delivered-id") + 1], end = idOf(messages - 1);
  if (last !== end) throw new Error(`The group is at ${last}, and the stream ends at ${end}`);
}

function listOf(reply: Reply): Reply[] {
  if (Array.isArray(reply)) return reply;
  throw new Error(`Expected a list, got ${reply}`);
}
