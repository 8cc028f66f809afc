// What the command lines of the examples have in common: usage errors, options, whole numbers.

import { parseArgs, type ParseArgsConfig } from "node:util";

/** A usage error: one sentence on stderr, and exit code 2. */
export class UsageError extends Error {}

/** Parses words like `parseArgs`. Throws a {@linkcode UsageError}. */
export function parseWords<Config extends ParseArgsConfig>(config: Config): ReturnType<typeof parseArgs<Config>> {
  try {
    return parseArgs(config);
  } catch (cause) {
    const [sentence] = String(cause instanceof Error ? cause.message : cause).split(". ");
    throw new UsageError(`${sentence} (see --help)`, { cause });
  }
}

/** Parses the value of an option: a whole number above 0. */
export function positive(name: string, text: string): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && Number.isSafeInteger(value) && value > 0) return value;
  throw new UsageError(`${name} must be a whole number above 0, got ${text}`);
}
