// Sets the outcome of a failed send on errors that the library did not create, such as errors of a program's iterator and reasons
// of signals.

import { type FailedOutcome, StreamerError } from "../../../resp/errors.ts";

/**
 * The error of a send that failed before it was written: the thrown error with its `outcome` set. If the outcome cannot be set,
 * the result is an `INVALID_OPTION` with the thrown error as its cause. Examples are a thrown text, a frozen object and an error
 * with another outcome.
 */
export function notWritten(error: unknown): unknown {
  if (outcomeIn(error) === undefined) setOutcome(error, "not-written");
  if (outcomeIn(error) === "not-written") return error;
  return new StreamerError("INVALID_OPTION", "The message was not sent, because reading its arguments threw an error", {
    cause: error,
    outcome: "not-written",
  });
}

/**
 * Sets the outcome on a signal's reason, if the reason is an object. An aborted send rejects with the reason itself. One reason
 * can abort many sends: once a message of these may be stored, the outcome stays `"unknown"`, so that no program sends that
 * message again by mistake.
 */
export function interrupted(reason: unknown, outcome: FailedOutcome): unknown {
  const before = outcomeIn(reason);
  if (before === undefined || (before === "not-written" && outcome === "unknown")) setOutcome(reason, outcome);
  return reason;
}

function outcomeIn(error: unknown): unknown {
  if (typeof error !== "object" || error === null) return undefined;
  try {
    return Reflect.get(error, "outcome");
  } catch {
    return undefined; // a getter or a proxy's trap threw
  }
}

function setOutcome(error: unknown, outcome: FailedOutcome): void {
  if (typeof error !== "object" || error === null) return;
  const property = { value: outcome, writable: true, enumerable: true, configurable: true };
  try {
    Reflect.defineProperty(error, "outcome", property); // false if the object is frozen
  } catch {
    // a proxy's trap threw
  }
}
