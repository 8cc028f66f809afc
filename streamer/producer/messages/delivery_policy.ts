// Decides what happens to a message when its connection is lost, the server refuses it, or its timeout expires. Pure functions.

import type { Delivery } from "../options.ts";
import { isPassing, type ServerErrorClass } from "../../../resp/connection/server_errors.ts";

/** The state of a message, as far as decisions need it. */
export interface Progress {
  /** Whether the message was written and its reply is outstanding. */
  readonly inFlight: boolean;
  /** Whether the message was in flight when a connection was lost, so that it may already be stored. */
  readonly doubtful: boolean;
}

/** An event of a message. A {@linkcode ServerErrorClass} is an error reply. */
export type SendEvent =
  /** The connection was lost before the reply. */
  | "lost"
  /** The same, but the server had stopped reading before this message. */
  | "lost-unread"
  /** The reply to this message violated the protocol. */
  | "unreadable"
  /** The server closes the connection each time this message is sent. */
  | "undeliverable"
  /** Its `sendTimeout` expired. */
  | "timed-out"
  /** Its signal was aborted. */
  | "withdrawn"
  /** Its producer ended, or its connection failed permanently. */
  | "ended"
  | ServerErrorClass;

/** The reaction to an event. `doubtful`: whether the message may already be stored. */
export interface Decision {
  /**
   * - `"resend"`: the message is sent again on the next connection, before all others.
   * - `"wait"`: the message is sent again later, or to the node that owns the key.
   * - `"reject"`: the send rejects.
   * - `"abandon"`: only the receipt rejects. The message stays in flight.
   */
  readonly action: "resend" | "wait" | "reject" | "abandon";
  readonly doubtful: boolean;
}

type Pair = readonly [sure: Decision, doubtful: Decision];

function pair(action: Decision["action"]): Pair {
  return [Object.freeze({ action, doubtful: false }), Object.freeze({ action, doubtful: true })];
}

// Created once, since a lost connection affects all messages in flight.
const RESEND = pair("resend");
const WAIT = pair("wait");
const REJECT = pair("reject");
const ABANDON = pair("abandon");

/**
 * Decides about a message after an event. A message that may be stored is sent again, unless `"at-most-once"` forbids it. With
 * `"exactly-once"` it is sent again too: its id is fixed, and a server stores each id once.
 */
export function decide(delivery: Delivery, { inFlight, doubtful }: Progress, event: SendEvent): Decision {
  switch (event) {
    case "lost":
      return delivery === "at-most-once" ? REJECT[1] : RESEND[1];
    case "lost-unread":
      return of(doubtful && delivery === "at-most-once" ? REJECT : RESEND, doubtful);
    case "unreadable": // after the second time, this reply is the cause
      return doubtful || delivery === "at-most-once" ? REJECT[1] : RESEND[1];
    case "undeliverable":
      return of(REJECT, doubtful);
    case "timed-out":
    case "ended":
      return of(REJECT, doubtful || inFlight);
    case "withdrawn":
      return of(doubtful || inFlight ? ABANDON : REJECT, doubtful);
    default: // an error reply: not stored this time
      return of(isPassing(event) ? WAIT : REJECT, doubtful);
  }
}

function of([sure, unsure]: Pair, doubtful: boolean): Decision {
  return doubtful ? unsure : sure;
}
