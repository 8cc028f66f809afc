// The command line of the example.

import { parseWords, positive } from "../usage.ts";

/** The parsed command line. */
export interface Options {
  /** For how long numbers are sent. */
  readonly seconds: number;
  /** Numbers per second. */
  readonly rate: number;
}

export const HELP = `Starts a Redis Cluster of three primaries and three replicas on this machine,
streams numbers through it, moves a slot and kills a primary meanwhile, and
checks that every number arrives, in order.

  deno task example:cluster [OPTION …]
  deno task example:cluster:bun …, deno task example:cluster:node …  the same on
                                                       Bun and on Node

  --seconds N  for how long numbers are sent (default: 12)
  --rate N     numbers per second (default: 2000)
  --help       print this text

Exit codes
    0  every number has arrived, in order
    1  a number is missing, out of order or was rejected
    2  usage error
  130  stopped by Ctrl-C
`;

/** Parses the command line; returns `undefined` for `--help`. */
export function readOptions(words: readonly string[]): Options | undefined {
  const { help, seconds, rate } = parseWords({
    args: [...words],
    options: {
      seconds: { type: "string", default: "12" },
      rate: { type: "string", default: "2000" },
      help: { type: "boolean", short: "h", default: false },
    },
  }).values;
  return help ? undefined : { seconds: positive("--seconds", seconds), rate: positive("--rate", rate) };
}
