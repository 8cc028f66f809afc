// How the parts of a consumer run commands on the server, and what the errors of those commands mean for them.

import type { Command } from "../../../resp/connection/command.ts";
import type { RunOptions } from "../../../resp/connection/lane.ts";
import type { OpenConnection } from "../../../resp/connection/node.ts";
import { sleep } from "../../../resp/connection/clock.ts";
import { type Pace, passesInTime, patienceLeft, retryWhileUnavailable } from "../../../resp/connection/retry/retry.ts";
import { classify } from "../../../resp/connection/server_errors.ts";
import { RefusedReplyError, StreamerError } from "../../../resp/errors.ts";
import type { NodeName } from "../../cluster/router.ts";

/** How to run commands, and how to retry them. */
export interface ServerAccess extends Pace {
  /** Redis keys of which XINFO is forbidden or too large, so that it is not tried again. `findEnd` fills it. */
  readonly barred: Set<string>;
  /** Runs a command on a connection that never blocks. */
  readonly run: <T>(command: Command<T>, options: AskOptions) => Promise<T>;
  /** Whether redirects are followed. Otherwise they are final: only one server is used. */
  readonly followsRedirects: boolean;
  /** The slot of a key. */
  readonly slotOf: (redisKey: string) => number;
  /** A node's connection that never blocks, as it is now or when it is back: for commands that must reach one server. */
  readonly connection: (node: NodeName, options: { readonly signal: AbortSignal }) => Promise<OpenConnection>;
}

/** What a command is run with. */
export interface AskOptions extends RunOptions {
  readonly signal: AbortSignal;
}

/**
 * The same access, limited to this many milliseconds from now while the server is unavailable or refuses. After that a
 * command rejects with `TIMEOUT`. As long as the server answers, a command may take longer.
 */
export function impatient(ports: ServerAccess, timeout: number): ServerAccess {
  const expired = (last: StreamerError) => {
    const cause = last.code === "DISCONNECTED" ? last.cause ?? last : last;
    return new StreamerError("TIMEOUT", `The consumer could not be created within ${timeout} ms`, { cause });
  };
  const patient = { ...ports, patience: { until: ports.clock.now() + timeout, expired } };
  return {
    ...patient,
    run: (command, options) => ports.run(command, { ...options, within: patienceLeft(patient) }),
  };
}

/**
 * Whether an error means that the server is unavailable: its connection was given up, or too many commands wait for it.
 * Background work is retried later.
 */
export function isAway(error: unknown): boolean {
  if (error instanceof RefusedReplyError) return false; // it would be refused again
  return error instanceof StreamerError && (error.code === "DISCONNECTED" || error.code === "BUFFER_FULL");
}

/**
 * Runs a repeatable command until the server has answered: while it refuses temporarily, and while it cannot be reached. Rejects with
 * a final refusal, or the signal's reason.
 */
export async function runUntilAnswered<T>(command: Command<T>, server: ServerAccess, signal: AbortSignal): Promise<T> {
  for (;;) {
    try {
      return await retryWhileUnavailable(server, signal, () => server.run(command, { signal }));
    } catch (error) {
      if (!isAway(error) || signal.aborted) throw error;
      await sleep(server.clock, server.reconnect.maxDelay, signal); // the server may be back later
    }
  }
}

/** Codes of errors that reject `createConsumer`. Any other fatal error rejects the first `next()`. */
export const UNMADE: readonly string[] = ["DISCONNECTED", "INVALID_OPTION", "TIMEOUT"];

/** Whether a refused command can never succeed. */
export function isFatal(code: string, text = code): boolean {
  return !passesInTime(classify(code, text));
}
