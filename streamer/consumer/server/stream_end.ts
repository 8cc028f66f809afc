// Finds the id with which a stream ends now.

import { retryWhileUnavailable } from "../../../resp/connection/retry/retry.ts";
import { endOfStream, isBarred, lastEntryOfStream, type Run, type StreamEnd } from "../../commands/last_id.ts";
import type { ServerAccess } from "./server.ts";

/** Where a stream ends now. Rejects with a final refusal of the server, or the signal's reason. */
export async function findEnd(redisKey: string, ports: ServerAccess, signal: AbortSignal): Promise<StreamEnd> {
  const { barred, run } = ports;
  const ask: Run = (command) => run(command, { signal });
  return await retryWhileUnavailable(ports, signal, () => askEnd(redisKey, barred, ask));
}

/** The same, of one server, without retries. `barred` are the keys of which XINFO is not asked; a key is added if that fails. */
export async function askEnd(redisKey: string, barred: Set<string>, ask: Run): Promise<StreamEnd> {
  if (barred.has(redisKey)) return await lastEntryOfStream(redisKey, ask);
  try {
    return await endOfStream(redisKey, ask);
  } catch (error) {
    if (!isBarred(error)) throw error;
    barred.add(redisKey);
    return await lastEntryOfStream(redisKey, ask);
  }
}
