// The errors that end a command, and the exit code of each.

import { StreamerError } from "../../resp/errors.ts";
import { Interrupted } from "./system.ts";

/** A usage error. */
export class UsageError extends Error {}

/** A command that failed, described in one sentence. */
export class CommandError extends Error {
  /** The exit code of the process. */
  readonly exitCode: number;

  constructor(message: string, options: { readonly exitCode?: number; readonly cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.exitCode = options.exitCode ?? EXIT.failed;
  }
}

/** The exit codes. */
export const EXIT: { readonly ok: 0; readonly failed: 1; readonly usage: 2; readonly unfit: 3 } = Object.freeze({
  ok: 0,
  failed: 1,
  usage: 2,
  unfit: 3,
});

/** The exit code of the process after this error. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof UsageError) return EXIT.usage;
  if (error instanceof Interrupted || error instanceof CommandError) return error.exitCode;
  const misused = error instanceof StreamerError && MISUSE.has(error.code);
  return misused ? EXIT.usage : EXIT.failed;
}

const MISUSE: ReadonlySet<string> = new Set(["INVALID_URL", "INVALID_STREAM_KEY", "INVALID_OPTION"]);

/** Describes an error in one line; with `verbose`, one more line for each cause. */
export function describe(error: unknown, verbose: boolean): string[] {
  const lines = [sentence(error)];
  const seen = new Set<unknown>([error]);
  for (let cause = causeOf(error); verbose && cause !== undefined && !seen.has(cause); cause = causeOf(cause)) {
    seen.add(cause);
    lines.push(`  caused by: ${sentence(cause)}`);
  }
  return lines;
}

/** The message of an error on one line. */
export function sentence(error: unknown): string {
  const text = error instanceof Error ? error.message || error.name : String(error);
  return text.replace(/\s*\n\s*/g, " ");
}

function causeOf(error: unknown): unknown {
  if (error instanceof AggregateError && error.errors.length > 0) return error.errors[0];
  return error instanceof Error ? error.cause : undefined;
}
