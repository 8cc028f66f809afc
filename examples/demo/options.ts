// The command line of the demo.

import { resolve } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parseWords, positive } from "../usage.ts";

/** The parsed command line. */
export interface Options {
  /** Files and folders whose lines are streamed; empty for the text of the project. */
  readonly paths: readonly string[];
  /** The most lines to stream; `undefined` if not given. */
  readonly limit: number | undefined;
}

export const HELP = `Streams the lines of real text through a real Redis server, and checks that
every line arrives unchanged and in order.

  deno task demo [OPTION …] [FILE …]
  deno task demo:bun …, deno task demo:node …    the same on Bun and on Node

A producer and a consumer run at the same time: first as fast as they can, then
at a steady pace, where latency is not the length of a queue.

FILE is a text file, or a folder with text files. Without FILE, the demo streams
the text files in node_modules. If that folder does not exist yet, it streams the
text files of this project, repeated to 1,000,000 lines.

  --limit N   stream at most N lines
  --help      print this text

REDIS_URL names the server. Without REDIS_URL, the demo starts a server and stops
it at the end.

Exit codes
    0  all lines arrived, in order and unchanged
    1  they did not
    2  usage error
  130  stopped by Ctrl-C
`;

/** The project's folder. */
export const root: string = fileURLToPath(new URL("../..", import.meta.url));

/** Parses the command line; returns `undefined` for `--help`. */
export function readOptions(args: readonly string[]): Options | undefined {
  const { values, positionals } = parseWords({
    args: [...args],
    allowPositionals: true,
    options: { limit: { type: "string" }, help: { type: "boolean", short: "h" } },
  });
  if (values.help) return undefined;
  return {
    paths: positionals.map((path) => resolve(callersFolder(), path)),
    limit: values.limit === undefined ? undefined : positive("--limit", values.limit),
  };
}

/** The folder in which the user called the task. Deno runs a task in the project's folder and sets INIT_CWD. */
function callersFolder(): string {
  const here = process.cwd();
  return resolve(here) === resolve(root) ? process.env.INIT_CWD ?? here : here;
}
