// The errors of sends, each with the outcome of its message.

import { type FailedOutcome, type RedisError, StreamerError } from "../../../resp/errors.ts";
import type { ServerErrorClass } from "../../../resp/connection/server_errors.ts";
import type { SendRecord } from "./receipt.ts";

/** The part of a message that determines its outcome. */
export type Doubtful = Pick<SendRecord, "doubtful"> & { readonly target?: Pick<SendRecord["target"], "window"> };

const LOST_ANSWER = "The connection was lost before the reply. The message may be stored";

const CONFLICT = "The message was not stored, because another writer has added entries to the stream. " +
  "With 'singleWriter', a producer must be the only writer of its streams";

const FORGOTTEN = "The message may be stored. It was in doubt for longer than the server remembers it";

/** The outcome of a message that fails now. */
export function outcomeOf(record: Doubtful): FailedOutcome {
  return record.doubtful ? "unknown" : "not-written";
}

/**
 * One error for all messages that fail together for one reason. Creating a million stack traces would block the event loop for
 * seconds.
 */
export class SharedErrors {
  readonly #code: string;
  readonly #message: string;
  #last: { readonly outcome: FailedOutcome; readonly cause: unknown; readonly error: StreamerError } | undefined;

  constructor(code: string, message: string) {
    this.#code = code;
    this.#message = message;
  }

  /** The errors of messages whose replies were lost, and which must not be sent again. */
  static ambiguous(): SharedErrors {
    return new SharedErrors("AMBIGUOUS", LOST_ANSWER);
  }

  /** The errors of messages whose ids another writer has made impossible. */
  static conflict(): SharedErrors {
    return new SharedErrors("CONFLICT", CONFLICT);
  }

  /** The errors of messages in doubt whose numbers the server may have forgotten. */
  static forgotten(): SharedErrors {
    return new SharedErrors("AMBIGUOUS", FORGOTTEN);
  }

  /** The error of this message. */
  of(record: Doubtful, cause: unknown): StreamerError {
    const outcome = outcomeOf(record);
    if (this.#last?.outcome !== outcome || this.#last.cause !== cause) {
      const error = new StreamerError(this.#code, this.#message, { cause, outcome });
      this.#last = { outcome, cause, error };
    }
    return this.#last.error;
  }
}

/** The reply to this message violated the protocol each time. */
export function unreadable(cause: StreamerError): StreamerError {
  return new StreamerError("PROTOCOL", cause.message, { cause, outcome: "unknown" });
}

/** The connection was closed each time this message of so many bytes was sent. */
export function undeliverable(bytes: number, cause: StreamerError): StreamerError {
  return new StreamerError(
    "DISCONNECTED",
    `The connection was closed each time a message of ${bytes} bytes was sent alone. ` +
      "The server or a proxy may limit the size of a request",
    { cause, outcome: "unknown" },
  );
}

/**
 * The error of a refused message. Servers before 7.0 do not support `<time>-*`. If a message with an own timestamp was stored
 * before its connection was lost, the server refuses the second attempt, because the id is not greater than the stored one.
 */
export function meaningOf(error: RedisError, kind: ServerErrorClass, record: Doubtful): StreamerError {
  if (kind === "id-too-small" && record.doubtful) {
    return new StreamerError("AMBIGUOUS", LOST_ANSWER, { cause: error, outcome: "unknown" });
  }
  if (kind !== "invalid-id") return error;
  const text = record.target?.window === undefined
    ? "A send with 'timestamp' requires Redis 7.0 or later"
    : `delivery: "exactly-once" requires Redis 8.6 or later, or 'singleWriter'`;
  return new StreamerError("UNSUPPORTED", text, { cause: error, outcome: outcomeOf(record) });
}
