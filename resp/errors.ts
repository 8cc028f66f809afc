// The error classes of the library and their codes. They are in the lowest layer, since the decoder needs them.

/**
 * The codes of a {@linkcode StreamerError} that the library itself raises. The code of a {@linkcode RedisError} is the first
 * word of the server's answer instead, such as `WRONGTYPE` or `OOM`.
 *
 * @category Errors
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
 * What happened to a message whose send failed.
 *
 * - `"not-written"`: the message is not in the stream and never will be.
 * - `"unknown"`: the message was written to the socket, and the connection was lost before the reply arrived.
 *
 * @category Errors
 */
export type FailedOutcome = "not-written" | "unknown";

/**
 * Options of the constructor of {@linkcode StreamerError}.
 *
 * @category Errors
 */
export interface StreamerErrorOptions {
  /** The error that caused this one. It must not contain a credential. */
  readonly cause?: unknown;
  /** For a failed send: what happened to the message. */
  readonly outcome?: FailedOutcome;
  /** For `SEND_FAILED`: the number of failed sends that were not awaited. */
  readonly count?: number;
}

/**
 * The error class of this library. Tell errors apart by their `code`.
 *
 * Its message, cause and stack contain no credentials. Fields that are not set, such as `outcome` of an error that concerns no
 * send, do not exist on the object, so that logs stay short.
 *
 * @example Tell errors apart by their code
 * ```ts
 * import { connect, StreamerError } from "@sea/streamer-redis";
 *
 * try {
 *   await connect("redis://localhost:1");
 * } catch (error) {
 *   if (!(error instanceof StreamerError) || error.code !== "CONNECT") throw error;
 *   console.log(error.message);
 * }
 * ```
 *
 * @category Errors
 */
export class StreamerError extends Error {
  /** `"StreamerError"`. Subclasses have their own name. */
  override readonly name: string = "StreamerError";
  /** A code of {@linkcode ClientErrorCode}, or the first word of the server's answer. */
  readonly code: string;
  /** For a failed send: what happened to the message. Absent on other errors. */
  declare readonly outcome?: FailedOutcome;
  /** For `SEND_FAILED`: the number of failed sends that were not awaited. Absent on other errors. */
  declare readonly count?: number;

  /** Creates an error with this code. */
  constructor(code: string, message: string, options: StreamerErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    if (options.outcome !== undefined) this.outcome = options.outcome;
    if (options.count !== undefined) this.count = options.count;
  }
}

/**
 * Options of the constructor of {@linkcode RedisError}.
 *
 * @category Errors
 */
export interface RedisErrorOptions extends StreamerErrorOptions {
  /** The name of the command that was answered, without its arguments. */
  readonly command: string;
}

/**
 * An error reply of the server. The `code` is the first word of its text.
 *
 * In the message, control characters are escaped, and a text of more than 512 characters is cut.
 *
 * @example
 * ```ts
 * import { RedisError } from "@sea/streamer-redis";
 *
 * const error = new RedisError("OOM command not allowed", { command: "XADD" });
 * console.log(error.code, error.command); // OOM XADD
 * ```
 *
 * @category Errors
 */
export class RedisError extends StreamerError {
  /** `"RedisError"`. */
  override readonly name: string = "RedisError";
  /** The name of the command that was answered, without its arguments. */
  readonly command: string;

  /** Creates an error from the server's text. The first word of the text becomes the code. */
  constructor(text: string, options: RedisErrorOptions) {
    super(errorCode(text), printable(text), options);
    this.command = options.command;
  }
}

/** A violation of the protocol. Logs show it as a {@linkcode StreamerError}, as they do all internal subclasses. */
export class ProtocolError extends StreamerError {
  static override readonly name = "StreamerError";
  readonly #tooLarge: boolean;

  constructor(message: string, tooLarge: boolean) {
    super("PROTOCOL", message);
    this.#tooLarge = tooLarge;
  }

  /** Whether the reply was valid so far and exceeds a size limit. */
  get tooLarge(): boolean {
    return this.#tooLarge;
  }
}

/**
 * The server repeatedly closes the connection instead of answering one command, which was the only one in flight. Servers do so
 * if the reply or the request exceeds a limit of their own.
 */
export class RefusedReplyError extends StreamerError {
  static override readonly name = "StreamerError";

  constructor(message: string, options: StreamerErrorOptions = {}) {
    super("DISCONNECTED", message, options);
  }
}

/** The first word of an error reply if it consists of upper-case letters, digits, `_` and `-`. Otherwise `ERR`. */
export function errorCode(text: string): string {
  const end = text.indexOf(" ");
  const word = end < 0 ? text : text.slice(0, end);
  return word.length <= 64 && /^[A-Z][A-Z0-9_-]*$/.test(word) ? word : "ERR";
}

const MAX_TEXT = 512;

/** Makes a server's text safe to print: escapes control characters and cuts the text at 512 characters. */
export function printable(text: string): string {
  return escapeControls(text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT - 1).toWellFormed()}…` : text);
}

/** Control characters (C0, DEL, C1), line separators, and characters that change the direction of text. */
// deno-lint-ignore no-control-regex -- it matches control characters on purpose
export const CONTROL_CHARACTERS: RegExp = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;

/** Escapes the {@linkcode CONTROL_CHARACTERS} of a text, as in `\x1b`, so that it cannot control a terminal. */
export function escapeControls(text: string): string {
  return text.replace(CONTROL_CHARACTERS, escapeCharacter);
}

function escapeCharacter(character: string): string {
  const code = character.charCodeAt(0);
  return code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16)}`;
}
