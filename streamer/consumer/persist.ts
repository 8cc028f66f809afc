// Asks patiently: what the server refuses for the time being is asked again, paced. It must not know what is asked.

import { RedisError } from "../../resp/errors.ts";
import { reconnectDelay, type ReconnectOptions } from "../../resp/connection/backoff.ts";
import { type Clock, sleep } from "../../resp/connection/clock.ts";
import { isFatal } from "./policy.ts";

/** How fast it is asked again. */
export interface Pace {
  readonly clock: Clock;
  readonly reconnect: Required<ReconnectOptions>;
}

/** The code of a refusal; before Redis 7, what a command inside of a script was refused with stands within the script's own error. */
function refusalCode({ code, message }: RedisError): string {
  if (code !== "ERR" || !message.startsWith("ERR Error running script")) return code;
  return /: -?([A-Z]+) /.exec(message)?.[1] ?? code;
}

/** Asks again, paced, while the server refuses for the time being. Rejects with what it refuses for good, or the signal's reason. */
export async function persist<T>(
  { clock, reconnect }: Pace,
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
