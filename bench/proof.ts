// Owns the proof, asked of the server, that a run did all of what it was asked. Must not know any client.

import type { OwnServer, Reply } from "../tests/support/server.ts";
import { idOf } from "./yardstick.ts";

/** Rejects unless the streams hold that many messages, each of them the same number of them. */
export async function proveStored(server: OwnServer, keys: readonly string[], messages: number): Promise<void> {
  const lengths = await server.commands(keys.map((key) => ["XLEN", key]));
  const stored = lengths.reduce<number>((sum, length) => sum + Number(length), 0);
  if (stored !== messages) throw new Error(`${stored} messages are stored out of ${messages}`);
  const uneven = lengths.some((length) => Math.abs(Number(length) - messages / keys.length) >= 1);
  if (uneven) throw new Error(`${lengths} messages are stored in the shards out of ${messages}`);
}

/** Rejects unless a group has been given the whole of a filled stream, and all of it has been acknowledged. */
export async function proveSettled(server: OwnServer, key: string, group: string, messages: number): Promise<void> {
  const [pending] = listOf(await server.command("XPENDING", key, group));
  const groups = listOf(await server.command("XINFO", "GROUPS", key));
  if (pending !== 0) throw new Error(`${pending} messages are pending out of ${messages}`);
  const facts = groups.map(listOf).find((facts) => facts[facts.indexOf("name") + 1] === group) ?? [];
  const last = facts[facts.indexOf("last-delivered-id") + 1], end = idOf(messages - 1);
  if (last !== end) throw new Error(`The group stands at ${last} and not at ${end}, the end of the stream`);
}

function listOf(reply: Reply): Reply[] {
  if (Array.isArray(reply)) return reply;
  throw new Error(`A list was awaited and ${reply} came`);
}
