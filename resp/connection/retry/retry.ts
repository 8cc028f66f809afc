// Retries a command that the server refuses temporarily, with a backoff, until it succeeds or its time has passed.

import { RedisError, type StreamerError } from "../../errors.ts";
import { type ReconnectOptions, refusalDelay } from "../reconnect/backoff.ts";
import { type Clock, sleep } from "../clock.ts";
import { UnreachableError } from "../lane.ts";
import { classify, isPassing, type ServerErrorClass } from "../server_errors.ts";
import type { Wait, Waits } from "./waiting.ts";

/** The time limit of retries. */
export interface Patience {
  /** The time of the clock after which a refusal is final. */
  readonly until: number;
  /** Returns the error to reject with. `last` is the server's last answer, or the reason why it cannot be reached. */
  readonly expired: (last: StreamerError) => StreamerError;
}

/** Options of {@linkcode retryWhileUnavailable}. */
export interface Pace {
  readonly clock: Clock;
  readonly reconnect: Required<ReconnectOptions>;
  /** Whether a refusal is temporary. @default {temporary for reads and writes, or a full server} */
  readonly passes?: (kind: ServerErrorClass) => boolean;
  /** Reports commands that are retried for long. */
  readonly waits?: Waits;
  /** @default {no limit} */
  readonly patience?: Patience;
  /** Ends the pauses, in addition to the signal of each call. */
  readonly closing?: AbortSignal;
}

/** Whether a background command may succeed later. */
export function passesInTime(kind: ServerErrorClass): boolean {
  return isPassing(kind) || kind === "no-writes";
}

/** Whether a command that a caller waits for may succeed soon. */
export function passesSoon(kind: ServerErrorClass): boolean {
  return kind === "retry-later" || kind === "role-changed";
}

/**
 * Calls `ask` again while the server refuses temporarily. Rejects with a final refusal, the signal's reason, or the error of the time
 * limit.
 */
export async function retryWhileUnavailable<T>(
  pace: Pace,
  signal: AbortSignal | undefined,
  ask: () => Promise<T>,
): Promise<T> {
  const { clock, reconnect, waits, patience, passes = passesInTime } = pace;
  let refusedSince: number | undefined;
  let refusal: RedisError | undefined;
  let wait: Wait | undefined;
  try {
    for (;;) {
      try {
        return await ask();
      } catch (error) {
        const now = clock.now();
        if (!(error instanceof RedisError) || !passes(classify(error.code, error.message))) {
          if (patience === undefined || !(error instanceof UnreachableError)) throw error;
          throw patience.expired(refusal ?? answerIn(error) ?? error);
        }
        refusal = error;
        refusedSince ??= now;
        if (wait === undefined) wait = waits?.begin(error);
        else wait.refused(error);
        const left = patience === undefined ? Infinity : patience.until - now;
        if (patience !== undefined && left <= 0) throw patience.expired(error);
        const delay = refusalDelay(reconnect, now - refusedSince, clock.random());
        await sleep(clock, Math.min(delay, left), anyOf(signal, pace.closing));
      }
    }
  } finally {
    wait?.over();
  }
}

/** Remaining milliseconds, or `undefined` without a limit. */
export function patienceLeft({ clock, patience }: Pace): number | undefined {
  return patience === undefined ? undefined : Math.max(0, patience.until - clock.now());
}

/** The server's answer that is the reason why it cannot be reached. */
function answerIn(error: UnreachableError): RedisError | undefined {
  let cause: unknown = error.cause;
  for (let depth = 0; depth < MAX_DEPTH && cause instanceof Error; depth++) {
    if (cause instanceof RedisError) return cause;
    cause = cause.cause;
  }
  return undefined;
}

/** Maximum depth of causes that are examined. */
const MAX_DEPTH = 8;

function anyOf(one: AbortSignal | undefined, other: AbortSignal | undefined): AbortSignal | undefined {
  return one === undefined || other === undefined ? one ?? other : AbortSignal.any([one, other]);
}
