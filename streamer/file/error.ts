// The error of a file: invalid bytes, an exceeded limit, or a refusal of the system.

import { printable, StreamerError } from "../../resp/errors.ts";

/**
 * The kind of a {@linkcode FileError}.
 *
 * - `"corrupt"`: bytes violate the format, or a checksum is wrong.
 * - `"torn"`: the file ends inside a message or a beacon.
 * - `"limit"`: a message would exceed `maxBytes`.
 * - `"system"`: the operating system refused.
 *
 * @category Files
 */
export type FileErrorKind = "corrupt" | "torn" | "limit" | "system";

/**
 * Properties of a {@linkcode FileError} in addition to its kind and message.
 *
 * @category Files
 */
export interface FileErrorOptions {
  /** The path of the file. */
  readonly path: string;
  /** The error code. */
  readonly code: string;
  /** The byte offset of the error. @default {undefined} */
  readonly offset?: number;
  /** The underlying error. @default {undefined} */
  readonly cause?: unknown;
}

/**
 * A file cannot be read or written.
 *
 * | `kind` | `code` |
 * | --- | --- |
 * | `"corrupt"`, `"torn"` | `PROTOCOL` |
 * | `"limit"` | `BUFFER_FULL` |
 * | `"system"` | `CONNECT` (open), `SEND_FAILED` (write) or `DISCONNECTED` (read), with the system's error as `cause` |
 *
 * @example
 * ```ts
 * import { FileError } from "@sea/streamer-redis/file";
 *
 * function placeOf(error: unknown): string {
 *   return error instanceof FileError ? `${error.path} at byte ${error.offset}` : "elsewhere";
 * }
 * console.log(placeOf(new Error("x"))); // elsewhere
 * ```
 *
 * @category Files
 */
export class FileError extends StreamerError {
  /** The name of the class. */
  override readonly name: string = "FileError";
  /** The kind of the failure. */
  readonly kind: FileErrorKind;
  /** The path of the file. */
  readonly path: string;
  /** The byte offset of the invalid data: the first byte of its message or beacon. Absent for kind `"system"`. */
  declare readonly offset?: number;

  /** Creates an error of a kind. */
  constructor(kind: FileErrorKind, message: string, options: FileErrorOptions) {
    const outcome = kind === "limit" ? { outcome: "not-written" as const } : {};
    super(options.code, message, { cause: options.cause, ...outcome });
    this.kind = kind;
    this.path = options.path;
    if (options.offset !== undefined) this.offset = options.offset;
  }
}

/** An error in bytes whose file is not known yet. */
export interface Flaw {
  readonly kind: "corrupt" | "torn";
  /** The byte offset at which it begins. */
  readonly offset: number;
  /** The reason, as a part of a sentence. */
  readonly why: string;
}

/** The error of a flaw in a file. */
export function flawed(path: string, { kind, offset, why }: Flaw): FileError {
  const state = kind === "torn" ? "truncated" : "corrupt";
  return new FileError(kind, `File ${printable(path)} is ${state} at byte ${offset}: ${why}`, {
    path,
    code: "PROTOCOL",
    offset,
  });
}

/** An operation that the system may refuse. */
export type FileVerb = "open" | "read" | "write";

const CODES = Object.freeze({ open: "CONNECT", read: "DISCONNECTED", write: "SEND_FAILED" });

/** The error of a refused operation. */
export function refused(path: string, verb: FileVerb, cause: unknown): FileError {
  const text = cause instanceof Error ? cause.message : String(cause);
  return new FileError("system", `Cannot ${verb} file ${printable(path)}: ${printable(text)}`, {
    path,
    code: CODES[verb],
    cause,
  });
}
