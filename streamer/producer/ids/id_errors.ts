// The errors of messages whose ids the producer chooses.

import { RedisError, StreamerError } from "../../../resp/errors.ts";

/** The error of a message with an own timestamp that is before the last one of its stream. */
export function pastTimestamp(): StreamerError {
  const text =
    "Cannot send a message: with 'singleWriter', 'timestamp' must not be before that of the last message of its stream";
  return new StreamerError("INVALID_OPTION", text, { outcome: "not-written" });
}

/** The error of a message whose stream cannot be read, so that its id cannot be chosen. */
export function unwritable(error: unknown): unknown {
  if (!(error instanceof StreamerError)) return error;
  const { code, message, cause } = error;
  if (error instanceof RedisError) {
    return new RedisError(message, { command: error.command, cause, outcome: "not-written" });
  }
  return new StreamerError(code, message, { cause, outcome: "not-written" });
}

/** The error of a message for which its stream has no id left. */
export function usedUp(redisKey: string): StreamerError {
  return new StreamerError("CONFLICT", `The ids of ${redisKey} are used up`, { outcome: "not-written" });
}
