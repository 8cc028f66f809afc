// The two error classes of the whole library and the codes they carry.
// They live on the ground floor because the decoder is the first to need them; they know no Redis command.

/**
 * The codes a {@linkcode StreamerError} of the library itself can carry. A {@linkcode RedisError} carries
 * the first word of the server's answer instead (`WRONGTYPE`, `OOM`, …).
 */
export type ClientErrorCode =
  | "INVALID_URL"
  | "INVALID_STREAM_KEY"
  | "INVALID_OPTION"
  | "CONNECT"
  | "TIMEOUT"
  | "AUTH"
  | "PROTOCOL"
  | "UNSUPPORTED"
  | "NOT_ANCHORED"
  | "ALREADY_ANCHORED"
  | "STREAM_KEY_NOT_FOUND"
  | "STREAM_KEY_EMPTY"
  | "SEND_FAILED"
  | "BUFFER_FULL"
  | "AMBIGUOUS"
  | "CONFLICT"
  | "PRODUCER_ENDED"
  | "CONSUMER_ENDED"
  | "DISCONNECTED";

/**
 * What became of a message whose send failed: `"not-written"` means it is not in the stream and never
 * will be, `"unknown"` that it left and its answer was lost with the connection.
 */
export type FailedOutcome = "not-written" | "unknown";

/** What {@linkcode StreamerError} takes beside its code and message. */
export interface StreamerErrorOptions {
  /** What led to it; never a value that holds a credential. */
  readonly cause?: unknown;
  /** Of a failed send: what became of the message. */
  readonly outcome?: FailedOutcome;
  /** Of `SEND_FAILED`: how many sends had failed unseen. */
  readonly count?: number;
}

/**
 * Every error this library raises by itself.
 *
 * No message, cause or stack of it holds a credential.
 *
 * @example Tell errors apart by their code
 * ```ts
 * import { StreamerError } from "@sea/streamer-redis";
 *
 * const error = new StreamerError("TIMEOUT", "Cannot connect within 10 ms");
 * if (error.code !== "TIMEOUT") throw error;
 * ```
 */
export class StreamerError extends Error {
  /** The class. */
  override readonly name: string = "StreamerError";
  /** A code of {@linkcode ClientErrorCode}, or the server's own first word. */
  readonly code: string;
  /** Of a failed send: what became of the message; else `undefined`. */
  readonly outcome?: FailedOutcome;
  /** Of `SEND_FAILED`: how many sends had failed unseen; else `undefined`. */
  readonly count?: number;

  /** Makes an error of this code; `options.cause` is kept when given. */
  constructor(code: string, message: string, options: StreamerErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    if (options.outcome !== undefined) this.outcome = options.outcome;
    if (options.count !== undefined) this.count = options.count;
  }
}

/** What {@linkcode RedisError} takes beside the server's text. */
export interface RedisErrorOptions extends StreamerErrorOptions {
  /** Name of the command that was answered, without its arguments. */
  readonly command: string;
}

/**
 * What the server answered instead of a result. The `code` is the first word of its text.
 *
 * Control characters of the text are escaped and what is longer than 512 characters is cut.
 *
 * @example
 * ```ts
 * import { RedisError } from "@sea/streamer-redis";
 *
 * const error = new RedisError("OOM command not allowed", { command: "XADD" });
 * if (error.code !== "OOM" || error.command !== "XADD") throw error;
 * ```
 */
export class RedisError extends StreamerError {
  /** The class. */
  override readonly name: string = "RedisError";
  /** Name of the command that was answered, without its arguments. */
  readonly command: string;

  /** Makes an error of the server's text, whose first word becomes the code. */
  constructor(text: string, options: RedisErrorOptions) {
    super(errorCode(text), printable(text), options);
    this.command = options.command;
  }
}

/** A violation of the protocol; `tooLarge` where the reply was well formed so far, and larger than a limit of size. */
export class ProtocolError extends StreamerError {
  readonly tooLarge: boolean;

  constructor(message: string, tooLarge: boolean) {
    super("PROTOCOL", message);
    this.tooLarge = tooLarge;
  }
}

/** The first word of an error reply where it is upper-case letters, digits, `_` or `-`; else `ERR`. */
export function errorCode(text: string): string {
  const end = text.indexOf(" ");
  const word = end < 0 ? text : text.slice(0, end);
  return word.length <= 64 && /^[A-Z][A-Z0-9_-]*$/.test(word) ? word : "ERR";
}

const MAX_TEXT = 512;

/** A server's text made safe to print: control characters as escapes, at most 512 characters. */
export function printable(text: string): string {
  const cut = text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT - 1).toWellFormed()}…` : text;
  // deno-lint-ignore no-control-regex -- control characters are what is looked for
  return cut.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, escapeCharacter);
}

function escapeCharacter(character: string): string {
  const code = character.charCodeAt(0);
  return code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16)}`;
}
