// Turns "where the stream ends now" into a concrete id, and patiently: what passes by itself is asked again. It must not
// know what the id is for.

import { RedisError } from "../../resp/errors.ts";
import { reconnectDelay, type ReconnectOptions } from "../../resp/connection/backoff.ts";
import { type Clock, sleep } from "../../resp/connection/clock.ts";
import type { Command } from "../../resp/connection/command.ts";
import { endOfStream, type StreamEnd } from "../commands/last_id.ts";
import { isFatal } from "./policy.ts";

/** What asking needs. */
export interface AnchorPorts {
  readonly clock: Clock;
  readonly reconnect: Required<ReconnectOptions>;
  /** Runs a command on a connection that never blocks. */
  readonly run: <T>(command: Command<T>, options: { readonly signal: AbortSignal }) => Promise<T>;
}

/** Where a stream ends now. Rejects with what the server refuses for good, or the signal's reason. */
export async function findEnd(redisKey: string, ports: AnchorPorts, signal: AbortSignal): Promise<StreamEnd> {
  const { clock, reconnect, run } = ports;
  let refusedSince: number | undefined;
  for (;;) {
    try {
      return await endOfStream(redisKey, (command) => run(command, { signal }));
    } catch (error) {
      if (!(error instanceof RedisError) || isFatal(error.code)) throw error;
      const now = clock.now();
      refusedSince ??= now;
      await sleep(clock, reconnectDelay(reconnect, now - refusedSince, clock.random()), signal);
    }
  }
}
