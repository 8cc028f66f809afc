// When acknowledgements are sent, and how many messages may be in the user's hands: pure decisions. It must not know who
// carries them out.

/** By what a message counts as done: time, its reading, or the user's word; and when that is sent. */
export type AutoCommit = "delayed" | "immediate" | "rolling" | "disabled";

/** A policy and its times, in milliseconds. */
export interface CommitPolicy {
  readonly autoCommit: AutoCommit;
  /** From when a message was returned. Only `"delayed"`. */
  readonly delay: number;
  /** Least time between two sendings, of which {@linkcode MAX_UNSENT} make an exception. */
  readonly interval: number;
}

/** What is known of the acknowledgements. */
export interface CommitState {
  /** To be sent. */
  readonly unsent: number;
  /** Since when there are any. */
  readonly unsentSince: number | undefined;
  /** When the oldest message was returned that time will acknowledge. */
  readonly oldestReturned: number | undefined;
  /** When some were sent last. */
  readonly lastSent: number;
}

/** What to do: nothing until something changes, look again at a time, or send now (what was returned at `until` or before). */
export type CommitDecision =
  | { readonly kind: "idle" }
  | { readonly kind: "wait"; readonly at: number }
  | { readonly kind: "send"; readonly until: number };

/**
 * Acknowledgements that may wait before they are sent ahead of their time, as many as one command takes: what is kept of them
 * has to be bounded, and a server with a short list of pending entries is faster (by a tenth, against 10,000).
 */
export const MAX_UNSENT = 1_000;

/** Acknowledgements that may wait for `commit` before no more messages are handed out. */
export const MAX_UNCOMMITTED = 1_000_000;

const IDLE: CommitDecision = Object.freeze({ kind: "idle" });

/** What to do about the acknowledgements now. */
export function decideCommit(policy: CommitPolicy, state: CommitState, now: number): CommitDecision {
  const { autoCommit, delay, interval } = policy;
  const { unsent, unsentSince, oldestReturned, lastSent } = state;
  if (autoCommit === "immediate") return unsent > 0 ? { kind: "send", until: -Infinity } : IDLE; // what was replayed
  if (autoCommit === "disabled") return IDLE;
  const due = autoCommit === "delayed" ? oldestReturned : undefined;
  const times: number[] = [];
  if (due !== undefined) times.push(Math.max(due + delay, lastSent + interval));
  if (unsentSince !== undefined) times.push(unsentSince + interval);
  if (times.length === 0) return IDLE;
  const at = Math.min(...times);
  if (at <= now || unsent >= MAX_UNSENT) return { kind: "send", until: now - delay };
  return { kind: "wait", at };
}
