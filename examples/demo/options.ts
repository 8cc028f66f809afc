// Owns the demo's command line. Must not know what is done with it.

import { resolve } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

/** What the demo is asked to do. */
export interface Options {
  /** Files and folders whose lines are streamed; none for all text under node_modules. */
  readonly paths: readonly string[];
  /** Most lines to stream. */
  readonly limit: number;
}

/** A mistake in the call, told in one sentence and by exit code 2. */
export class UsageError extends Error {}

export const HELP = `Streams the lines of real text through a real Redis, and proves that what arrived is what was sent.

  deno task demo [OPTION …] [FILE …]      (demo:bun and demo:node run the same on Bun and Node)

Sender and receiver run at the same time, first as fast as they can, then (the first lines again) at a steady pace,
where latency is not the length of a queue.

FILE is a text file, or a folder for every text file in it. Without one: every text file under node_modules.

  --limit N   at most N lines
  --help      this text

REDIS_URL names the server; without it one is started for the demo and stopped at the end.
Exit code 0: all arrived, in order and unchanged. 1: it did not. 2: a mistake in the call. 130: stopped by Ctrl-C.
`;

/** The project's folder. */
export const root: string = fileURLToPath(new URL("../../", import.meta.url));

/** Reads the command line; undefined where help is wanted. */
export function readOptions(words: readonly string[]): Options | undefined {
  const { values, positionals } = parse(words);
  if (values.help) return undefined;
  return {
    paths: positionals.map((path) => resolve(callersFolder(), path)),
    limit: positive("--limit", values.limit),
  };
}

function parse(words: readonly string[]) {
  try {
    return parseArgs({
      args: [...words],
      allowPositionals: true,
      options: { limit: { type: "string" }, help: { type: "boolean", short: "h" } },
    });
  } catch (cause) {
    const [sentence] = String(cause instanceof Error ? cause.message : cause).split(". ");
    throw new UsageError(`${sentence}; --help says what there is`, { cause });
  }
}

function positive(name: string, text: string | undefined): number {
  if (text === undefined) return Infinity;
  const value = Number(text);
  if (/^\d+$/.test(text) && Number.isSafeInteger(value) && value > 0) return value;
  throw new UsageError(`Cannot use ${name} as it must be a whole number above 0: current value is ${text}`);
}

/** A task runs in the project's folder and says where it was called in INIT_CWD. */
function callersFolder(): string {
  const here = process.cwd();
  return resolve(here) === resolve(root) ? process.env.INIT_CWD ?? here : here;
}
