// The command line of the example.

import { parseWords, positive } from "../usage.ts";

/** The parsed command line. */
export interface Options {
  /** The number of ticks of each symbol. */
  readonly ticks: number;
  /** Ticks per second, of all symbols together. */
  readonly rate: number;
}

export const HELP = `Runs a price feed: a producer, two processors that share its ticks, and a
collector, each in a process of its own. One processor is killed, and nothing is
lost.

  deno task example:prices [OPTION …]
  deno task example:prices:bun …, deno task example:prices:node …    the same on
                                                       Bun and on Node

  --ticks N   ticks of each of the eight symbols (default: 250)
  --rate N    ticks per second, of all symbols together (default: 400)
  --help      print this text

REDIS_URL names the server. Without REDIS_URL, a server is started and stopped
again.

Exit codes
    0  every tick has become a quote
    1  a quote is missing
    2  usage error
  130  stopped by Ctrl-C
`;

/** Parses the command line; returns `undefined` for `--help`. */
export function readOptions(words: readonly string[]): Options | undefined {
  const { help, ticks, rate } = parseWords({
    args: [...words],
    options: {
      ticks: { type: "string", default: "250" },
      rate: { type: "string", default: "400" },
      help: { type: "boolean", short: "h", default: false },
    },
  }).values;
  return help ? undefined : { ticks: positive("--ticks", ticks), rate: positive("--rate", rate) };
}
