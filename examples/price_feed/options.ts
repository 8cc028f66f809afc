// The command line of the whole. It must not know what is done with it.

import { parseArgs } from "node:util";

/** What is asked for. */
export interface Options {
  /** Ticks of each symbol. */
  readonly ticks: number;
  /** Ticks a second, of all symbols together. */
  readonly rate: number;
}

/** A mistake in the call, told in one sentence and by exit code 2. */
export class UsageError extends Error {}

export const HELP =
  `Shows a price feed at work: a producer, two processors that share its ticks, and a collector, each in a process of its
own. One processor is killed in the middle, and nothing is lost.

  deno task example:prices [OPTION …]      (example:prices:bun and example:prices:node run the same on Bun and Node)

  --ticks N   ticks of each of the eight symbols (250)
  --rate N    ticks a second, of all symbols together (400)
  --help      this text

REDIS_URL names the server; without it one is started for this and stopped at the end.
Exit code 0: every tick has become a quote. 1: one has not. 2: a mistake in the call. 130: stopped by Ctrl-C.
`;

/** Reads the command line; `undefined` where help is wanted. */
export function readOptions(words: readonly string[]): Options | undefined {
  const { help, ticks, rate } = parse(words);
  return help ? undefined : { ticks: positive("--ticks", ticks), rate: positive("--rate", rate) };
}

function parse(words: readonly string[]) {
  try {
    return parseArgs({
      args: [...words],
      options: {
        ticks: { type: "string", default: "250" },
        rate: { type: "string", default: "400" },
        help: { type: "boolean", short: "h", default: false },
      },
    }).values;
  } catch (cause) {
    const [sentence] = String(cause instanceof Error ? cause.message : cause).split(". ");
    throw new UsageError(`${sentence}; --help says what there is`, { cause });
  }
}

/** What an option says, as a whole number above 0. */
export function positive(name: string, text: string): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && Number.isSafeInteger(value) && value > 0) return value;
  throw new UsageError(`Cannot use ${name} as it must be a whole number above 0: current value is ${text}`);
}
