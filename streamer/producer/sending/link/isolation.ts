// Finds the message for which the server closes the connection each time it is sent. Pure decisions about lost connections.

/**
 * Lost connections in a row, each with the same message alone in flight and without another explanation, after which the message
 * is considered to be the cause. The number tolerates bad networks. Suppose that a third of all connections break within their
 * first 300 bytes. A message of 500 bytes is then interrupted three times in a row once in 600 trials, and eight times in a row
 * once in twenty million.
 */
export const CUTS_TO_GIVE_UP = 8;

/** The facts about one lost connection. */
export interface Cut<R> {
  /** The messages in flight that are to be sent again, in the order in which they were written. */
  readonly inFlight: readonly R[];
  /**
   * Whether the other side closed a working connection: it answered a PING before the message was written, and sent no byte
   * after that.
   */
  readonly unexplained: boolean;
}

/**
 * The state between lost connections.
 *
 * - `"window"`: as many messages are in flight as the window allows. `head` was the first one in flight at the last loss.
 * - `"alone"`: the suspects are sent one at a time. The last `strikes` losses in a row had `struck` alone in flight and have no
 *   other explanation.
 */
export type Isolation<R> =
  | { readonly kind: "window"; readonly head: R | undefined }
  | { readonly kind: "alone"; readonly struck: R | undefined; readonly strikes: number };

/** The consequence of a lost connection. */
export interface Verdict<R> {
  readonly next: Isolation<R>;
  /** Messages to be sent one at a time from now on. Empty if nothing changes. */
  readonly suspects: readonly R[];
  /** The message that must not be sent again. */
  readonly hopeless: R | undefined;
}

/** The initial state, also used again once no suspect is left. */
export const UNSUSPECTING: Isolation<never> = Object.freeze({ kind: "window", head: undefined });

/**
 * Judges a lost connection. The second loss with the same message first in flight isolates all messages in flight: no reply came
 * in between, so the server may close the connection because of one of them. On a bad network the first message changes, or the
 * losses stop.
 */
export function judgeCut<R>(isolation: Isolation<R>, cut: Cut<R>): Verdict<R> {
  return isolation.kind === "window" ? judgeInWindow(isolation, cut) : judgeAlone(isolation, cut);
}

function judgeInWindow<R>(isolation: Isolation<R> & { readonly kind: "window" }, { inFlight }: Cut<R>): Verdict<R> {
  const [head] = inFlight;
  if (head === undefined) return { next: isolation, suspects: [], hopeless: undefined };
  if (head !== isolation.head) return { next: { kind: "window", head }, suspects: [], hopeless: undefined };
  return { next: { kind: "alone", struck: undefined, strikes: 0 }, suspects: inFlight, hopeless: undefined };
}

function judgeAlone<R>(isolation: Isolation<R> & { readonly kind: "alone" }, cut: Cut<R>): Verdict<R> {
  const { inFlight: [alone], unexplained } = cut;
  const innocent: Isolation<R> = { kind: "alone", struck: undefined, strikes: 0 };
  if (alone === undefined || !unexplained) return { next: innocent, suspects: [], hopeless: undefined };
  const strikes = alone === isolation.struck ? isolation.strikes + 1 : 1;
  if (strikes >= CUTS_TO_GIVE_UP) return { next: innocent, suspects: [], hopeless: alone };
  return { next: { kind: "alone", struck: alone, strikes }, suspects: [], hopeless: undefined };
}
