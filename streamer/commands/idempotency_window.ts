// How many idempotent writes of a producer the server remembers for a stream, and for how long: XINFO STREAM, Redis 8.6.

import { type Command, wrongShape } from "../../resp/connection/command.ts";
import { classOf } from "../../resp/connection/server_errors.ts";
import { STATE_REPLY } from "../../resp/reply_limits.ts";
import { pairsOf, textOf } from "../../resp/value.ts";
import type { Run } from "./last_id.ts";

/** What a server remembers of one producer in one stream. */
export interface IdempotencyLimits {
  /** The number of writes. */
  readonly maxSize: number;
  /** Milliseconds. */
  readonly duration: number;
}

/** The limits of a stream that is created by its first message. */
const DEFAULTS: IdempotencyLimits = Object.freeze({ maxSize: 100, duration: 100_000 });

function xinfoIdempotency(key: string): Command<IdempotencyLimits> {
  return {
    args: ["XINFO", "STREAM", key],
    key,
    repeatable: true,
    limits: STATE_REPLY,
    read(decoder) {
      const pairs = pairsOf(decoder.value());
      if (pairs === undefined) throw wrongShape("XINFO STREAM", "pairs");
      const numberOf = (field: string, fallback: number) => {
        const found = pairs.find(([name]) => textOf(name) === field);
        if (found === undefined) return fallback;
        const number = Number(found[1]);
        if (!Number.isSafeInteger(number) || number < 1) throw wrongShape("XINFO STREAM", `a positive ${field}`);
        return number;
      };
      const maxSize = numberOf("idmp-maxsize", DEFAULTS.maxSize);
      return { maxSize, duration: numberOf("idmp-duration", DEFAULTS.duration / 1_000) * 1_000 };
    },
  };
}

/** The limits of a stream. A missing stream, and one that reports none, has the default ones. */
export async function idempotencyLimits(key: string, run: Run): Promise<IdempotencyLimits> {
  try {
    return await run(xinfoIdempotency(key));
  } catch (error) {
    if (classOf(error) === "stream-missing") return DEFAULTS;
    throw error;
  }
}
