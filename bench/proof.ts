// Owns the proof, asked of the server, that a run did all of what it was asked. Must not know any client.

import type { OwnServer } from "../tests/support/server.ts";

/** Rejects unless a stream holds that many messages. */
export async function proveStored(server: OwnServer, key: string, messages: number): Promise<void> {
  const stored = await server.command("XLEN", key);
  if (stored !== messages) throw new Error(`${stored} messages are stored out of ${messages}`);
}
