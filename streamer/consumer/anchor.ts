// Turns "where the stream ends now" into a concrete id, and patiently: what passes by itself is asked again. It must not
// know what the id is for.

import { RedisError } from "../../resp/errors.ts";
import { reconnectDelay, type ReconnectOptions } from "../../resp/connection/backoff.ts";
import { type Clock, sleep } from "../../resp/connection/clock.ts";
import type { Command } from "../../resp/connection/command.ts";
import { endOfStream, isBarred, lastEntryOfStream, type Run, type StreamEnd } from "../commands/last_id.ts";
import { isFatal } from "./policy.ts";

/** What asking needs. */
export interface AnchorPorts {
  readonly clock: Clock;
  readonly reconnect: Required<ReconnectOptions>;
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

/** The code of a refusal; before Redis 7, what a command inside of a script was refused with stands within the script's own error. */
function refusalCode({ code, message }: RedisError): string {
  if (code !== "ERR" || !message.startsWith("ERR Error running script")) return code;
  return /: -?([A-Z]+) /.exec(message)?.[1] ?? code;
}

/** Asks again, paced, while the server refuses for the time being. Rejects with what it refuses for good, or the signal's reason. */
export async function persist<T>(
  { clock, reconnect }: Pick<AnchorPorts, "clock" | "reconnect">,
  signal: AbortSignal,
  ask: () => Promise<T>,
): Promise<T> {
  let refusedSince: number | undefined;
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof RedisError) || isFatal(refusalCode(error))) throw error;
      const now = clock.now();
      refusedSince ??= now;
      await sleep(clock, reconnectDelay(reconnect, now - refusedSince, clock.random()), signal);
    }
  }
}
