// Turns "where the stream ends now" into a concrete id. It must not know what the id is for.

import type { Command } from "../../resp/connection/command.ts";
import { endOfStream, isBarred, lastEntryOfStream, type Run, type StreamEnd } from "../commands/last_id.ts";
import { type Pace, persist } from "./persist.ts";

/** What asking needs. */
export interface AnchorPorts extends Pace {
  /** Redis keys of which XINFO is forbidden or too large, so that it is not tried again; filled here. */
  readonly barred: Set<string>;
  /** Runs a command on a connection that never blocks. */
  readonly run: <T>(command: Command<T>, options: { readonly signal: AbortSignal }) => Promise<T>;
}

/** Where a stream ends now. Rejects with what the server refuses for good, or the signal's reason. */
export async function findEnd(redisKey: string, ports: AnchorPorts, signal: AbortSignal): Promise<StreamEnd> {
  const { barred, run } = ports;
  const ask: Run = (command) => run(command, { signal });
  return await persist(ports, signal, async () => {
    if (barred.has(redisKey)) return await lastEntryOfStream(redisKey, ask);
    try {
      return await endOfStream(redisKey, ask);
    } catch (error) {
      if (!isBarred(error)) throw error;
      barred.add(redisKey);
      return await lastEntryOfStream(redisKey, ask);
    }
  });
}
