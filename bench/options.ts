// The command line of the benchmark.

import { parseArgs } from "node:util";
import { type Figure, FIGURES } from "./plan.ts";
import { type Runtime, RUNTIMES } from "./runtimes.ts";

/** The parsed command line. */
export interface Options {
  readonly rounds: number;
  /** Messages of a producing run. A consuming run reads `backlog` messages. */
  readonly messages: number;
  readonly backlog: number;
  readonly memoryMessages: number;
  readonly latencyMessages: number;
  /** Messages a second of the latency runs. */
  readonly rate: number;
  /** Bytes. */
  readonly payload: number;
  readonly figures: readonly Figure[];
  readonly runtimes: readonly Runtime[];
  /** Parts of the names of contenders, such as `ioredis` or `plain`; empty for all. */
  readonly clients: readonly string[];
  /** The files for the results. */
  readonly json?: string;
  readonly svg?: string;
  /** Results of an earlier run to show, instead of a new run. */
  readonly from?: string;
}

/** The text of `--help`. */
export const HELP = `Usage: deno task bench [flags]

  --rounds N           interleaved rounds; medians are taken over them (5)
  --messages N         messages of a producing run (300000)
  --backlog N          messages of a consuming run (600000)
  --memory-messages N  sends of the memory run (2000000)
  --latency-messages N messages of the latency run (10000)
  --rate N             messages per second of the latency run (5000)
  --payload N          bytes of a payload (256)
  --only LIST          figures: ${FIGURES.join(", ")} (all)
  --runtime LIST       runtimes: ${RUNTIMES.join(", ")} (all)
  --client LIST        only contenders whose names contain one of these (all)
  --json FILE          writes every sample and every median
  --svg FILE           draws the chart
  --from FILE          shows the results of an earlier --json, and runs nothing
`;

/** Parses the command line; returns `undefined` for `--help`. Throws one sentence for an invalid one. */
export function readOptions(args: readonly string[]): Options | undefined {
  const text = { type: "string" } as const;
  const { values } = parseArgs({
    args: [...args],
    options: {
      help: { type: "boolean" },
      rounds: text,
      messages: text,
      backlog: text,
      "memory-messages": text,
      "latency-messages": text,
      rate: text,
      payload: text,
      only: text,
      runtime: text,
      client: text,
      json: text,
      svg: text,
      from: text,
    },
  });
  if (values.help) return undefined;
  const messages = whole("messages", values.messages, 300_000);
  return {
    rounds: whole("rounds", values.rounds, 5),
    messages,
    backlog: whole("backlog", values.backlog, messages * 2),
    memoryMessages: whole("memory-messages", values["memory-messages"], 2_000_000),
    latencyMessages: whole("latency-messages", values["latency-messages"], 10_000),
    rate: whole("rate", values.rate, 5_000),
    payload: whole("payload", values.payload, 256, 64),
    figures: chosen("only", values.only, FIGURES),
    runtimes: chosen("runtime", values.runtime, RUNTIMES),
    clients: values.client?.split(",") ?? [],
    ...(values.json === undefined ? {} : { json: values.json }),
    ...(values.svg === undefined ? {} : { svg: values.svg }),
    ...(values.from === undefined ? {} : { from: values.from }),
  };
}

/** Parses a number of at least `least`. */
export function whole(flag: string, text: string | undefined, otherwise: number, least = 1): number {
  if (text === undefined) return otherwise;
  const number = Number(text.replaceAll("_", ""));
  if (Number.isSafeInteger(number) && number >= least) return number;
  throw new Error(`--${flag} must be a whole number of at least ${least}, got ${text}`);
}

/** Parses a list of some of these names, in their order. */
export function chosen<T extends string>(flag: string, text: string | undefined, all: readonly T[]): readonly T[] {
  if (text === undefined) return all;
  const names = text.split(",");
  const stranger = names.find((name) => !all.some((known) => known === name));
  if (stranger === undefined) return all.filter((known) => names.includes(known));
  throw new Error(`--${flag} must be a list of ${all.join(", ")}, got ${stranger}`);
}
