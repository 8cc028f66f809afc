// What goes wrong with a file, as one class. It must not know who meets it.

import { printable, StreamerError } from "../../resp/errors.ts";

/**
 * What kind of failure a {@linkcode FileError} is: bytes that are not of the format, or fail their checksum (`"corrupt"`); a
 * file that ends inside of a message or beacon (`"torn"`); a message for which `maxBytes` leaves no room (`"limit"`); or
 * what the system refused (`"system"`).
 */
export type FileErrorKind = "corrupt" | "torn" | "limit" | "system";

/** What {@linkcode FileError} takes beside its kind and message. */
export interface FileErrorOptions {
  /** The file. */
  readonly path: string;
  /** A code of the library. */
  readonly code: string;
  /** The byte at which what is wrong begins. */
  readonly offset?: number;
  /** What led to it. */
  readonly cause?: unknown;
}

/**
 * A file that cannot be read or written.
 *
 * Its `code` is `PROTOCOL` for `"corrupt"` and `"torn"`; `BUFFER_FULL` for `"limit"`; of kind `"system"` it is `CONNECT`
 * where the file could not be opened, `SEND_FAILED` where writing failed and `DISCONNECTED` where reading did, the
 * system's own error being the `cause`.
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
 */
export class FileError extends StreamerError {
  /** The class. */
  override readonly name: string = "FileError";
  /** What kind of failure it is. */
  readonly kind: FileErrorKind;
  /** The file. */
  readonly path: string;
  /** The byte at which what is wrong begins: of a message or beacon its first; `undefined` for kind `"system"`. */
  readonly offset: number | undefined;

  /** Makes an error of this kind. */
  constructor(kind: FileErrorKind, message: string, options: FileErrorOptions) {
    const outcome = kind === "limit" ? { outcome: "not-written" as const } : {};
    super(options.code, message, { cause: options.cause, ...outcome });
    this.kind = kind;
    this.path = options.path;
    this.offset = options.offset;
  }
}

/** What is wrong with bytes, before anybody knows which file they are of. */
export interface Flaw {
  readonly kind: "corrupt" | "torn";
  /** The byte at which it begins. */
  readonly offset: number;
  /** The rule that is broken, as the second half of a sentence. */
  readonly why: string;
}

/** The error of a flaw in a file. */
export function flawed(path: string, { kind, offset, why }: Flaw): FileError {
  return new FileError(kind, `Cannot read ${printable(path)} at byte ${offset} as ${why}`, {
    path,
    code: "PROTOCOL",
    offset,
  });
}

/** What could not be done when the system refused. */
export type FileVerb = "open" | "read" | "write";

const CODES = Object.freeze({ open: "CONNECT", read: "DISCONNECTED", write: "SEND_FAILED" });

/** The error of what the system refused. */
export function refused(path: string, verb: FileVerb, cause: unknown): FileError {
  const text = cause instanceof Error ? cause.message : String(cause);
  return new FileError("system", `Cannot ${verb} ${printable(path)} as the system refuses: ${printable(text)}`, {
    path,
    code: CODES[verb],
    cause,
  });
}
