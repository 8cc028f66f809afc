// The state of an outage of a node, and which connections may try to connect. Pure transitions and decisions.

import { MAX_TRIES_A_SECOND, reconnectDelay, type ReconnectOptions, throttle } from "./backoff.ts";

/** Minimum milliseconds for which a connection must last after an outage before the outage counts as over. */
export const PROBATION = 250;
/** A connection that lasted for this many milliseconds was not lost by flapping. It is also the longest probation. */
export const STEADY = 10_000;

/** A connection that tries this many milliseconds after the last event, and after its delay, does not have to wait again. */
const QUIET = 1_000;
/**
 * Factors by which delays grow faster for a node that completes handshakes and then closes connections, since that costs both sides
 * more than a refusal. If several connections wait, the node is the reason. A single connection may be closed because of one command,
 * and has to find that out in time.
 */
const FLAPPING_GROWTH = { one: 2, several: 6 };

interface Trouble {
  /** The time of its start. The delays grow with its age. */
  readonly since: number;
  /** The time when a connection was last opened, refused or lost. */
  readonly changedAt: number;
  readonly cause: unknown;
  /** Attempts since the node last answered. */
  readonly attempts: number;
  /** Milliseconds for which a connection must last to end the outage. */
  readonly probation: number;
  /** Whether the node has answered since, and has refused or lost a connection again. */
  readonly flapping: boolean;
}

/**
 * The state of a node.
 *
 * - `calm`: no outage. After all attempts were used, new ones are paced.
 * - `down`: the node is lost, or refuses connections.
 * - `proving`: the node answers again. A server or a proxy may still close the connection at the first command, so the outage is over
 *   only at `provenAt`.
 */
export type Outage =
  | { readonly kind: "calm"; readonly paced: boolean }
  | { readonly kind: "down" } & Trouble
  | { readonly kind: "proving"; readonly provenAt: number } & Trouble;

/** The state without an outage. */
export const CALM: Outage = Object.freeze({ kind: "calm", paced: false });
/** The state after all attempts were used. The next attempt starts a new round. */
export const SPENT: Outage = Object.freeze({ kind: "calm", paced: true });

/** The state at a time. A completed probation ends the outage. */
export function outageAt(outage: Outage, now: number): Outage {
  return outage.kind === "proving" && now >= outage.provenAt ? CALM : outage;
}

/** A connection that was lost. */
export interface Loss {
  readonly openedAt: number;
  readonly now: number;
  readonly cause: unknown;
  /** Whether the server has sent replies after the handshake. */
  readonly served: boolean;
}

/** A connection was lost. */
export function afterLoss(outage: Outage, { openedAt, now, cause, served }: Loss): Outage {
  const probation = probationAfter(now - openedAt);
  switch (outage.kind) {
    case "calm":
      return { kind: "down", since: now, changedAt: now, cause, attempts: 0, probation, flapping: false };
    case "down":
      return { ...outage, probation: Math.max(outage.probation, probation) };
    case "proving":
      // A connection from before the outage, whose loss is noticed only now, says nothing about the node.
      return openedAt < outage.since
        ? outage
        : fallBack(outage, { since: served ? now : outage.since, now, cause, probation });
  }
}

/** A connection could not be opened. */
export function afterFailure(
  outage: Outage,
  { now, cause }: { readonly now: number; readonly cause: unknown },
): Outage {
  switch (outage.kind) {
    case "calm":
      return { kind: "down", since: now, changedAt: now, cause, attempts: 0, probation: PROBATION, flapping: false };
    case "down":
      return { ...outage, changedAt: now, cause };
    case "proving":
      return fallBack(outage, { since: outage.since, now, cause, probation: PROBATION });
  }
}

/** A connection was opened: its handshake is complete. */
export function afterSuccess(outage: Outage, now: number): Outage {
  switch (outage.kind) {
    case "calm":
      return CALM;
    case "down":
      return { ...outage, kind: "proving", changedAt: now, attempts: 0, provenAt: now + outage.probation };
    case "proving":
      return { ...outage, changedAt: now };
  }
}

/** An attempt starts that had to wait. */
export function afterTry(outage: Outage): Outage {
  return outage.kind === "down" ? { ...outage, attempts: outage.attempts + 1 } : outage;
}

function fallBack(
  outage: Trouble,
  { since, now, cause, probation }: Pick<Trouble, "since" | "cause" | "probation"> & { readonly now: number },
): Outage {
  const longest = Math.max(outage.probation, probation);
  return { kind: "down", since, changedAt: now, cause, attempts: 0, probation: longest, flapping: true };
}

/** Twice as long as the connection lasted: if connections are lost every two seconds, one second proves nothing. */
function probationAfter(lifetime: number): number {
  return lifetime >= STEADY ? PROBATION : Math.min(STEADY, Math.max(PROBATION, 2 * lifetime));
}

/** Which connections may try: all, one after a delay, none for now, or none any more. */
export type Admission =
  | { readonly kind: "all" }
  | { readonly kind: "one"; readonly delay: number; readonly attempt?: number }
  | { readonly kind: "none" }
  | { readonly kind: "refused" };

/** Input of {@linkcode admission}, in addition to the outage. */
export interface AdmissionFacts {
  readonly now: number;
  readonly options: Required<ReconnectOptions>;
  /** Times of the latest attempts, oldest first. */
  readonly tries: readonly number[];
  /** Attempts in progress. */
  readonly underway: number;
  /** Waiting connections. */
  readonly waiting: number;
  /** A number from 0 to 1. */
  readonly random: number;
}

/**
 * Decides which connections may try. While the node is down or flapping, it is one at a time, after a delay that grows with the
 * outage. After its first answer the others follow, at most {@linkcode MAX_TRIES_A_SECOND}, and all of them after the probation.
 */
export function admission(outage: Outage, facts: AdmissionFacts): Admission {
  const { now, options, tries, underway } = facts;
  const pace = throttle(tries, now);
  if (outage.kind === "calm") {
    return outage.paced && pace > 0 ? { kind: "one", delay: pace } : { kind: "all" };
  }
  const growth = outage.flapping ? FLAPPING_GROWTH[facts.waiting > 1 ? "several" : "one"] : 1;
  const backoff = reconnectDelay(options, growth * (outage.changedAt - outage.since), facts.random);
  const quiet = now - outage.changedAt;
  const turn = Math.max(pace, quiet >= Math.max(QUIET, backoff) ? 0 : backoff);
  if (outage.kind === "down") {
    if (underway > 0) return { kind: "none" };
    if (outage.attempts >= options.maxAttempts) return { kind: "refused" };
    return { kind: "one", delay: turn, attempt: outage.attempts + 1 };
  }
  const proof = outage.provenAt - now;
  if (!outage.flapping) return { kind: "one", delay: Math.min(pace, proof) };
  return { kind: "one", delay: underway > 0 ? proof : Math.min(turn, proof) };
}

/** Adds a time to the times of attempts, and drops those that no longer count. */
export function withTry(tries: readonly number[], now: number): readonly number[] {
  return [...tries.slice(1 - MAX_TRIES_A_SECOND), now];
}
