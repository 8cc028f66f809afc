// Owns the command line of the benchmark. Must not know how anything is measured.

import { parseArgs } from "node:util";
import { type Figure, FIGURES } from "./plan.ts";
import { type Runtime, RUNTIMES } from "./runtimes.ts";

/** What the command line says. */
export interface Options {
  readonly rounds: number;
  /** Messages of a producing run; a consuming one reads `backlog`. */
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
  /** Parts of names of contenders, such as `ioredis` or `plain`; empty for all. */
  readonly clients: readonly string[];
  /** Where results go. */
  readonly json?: string;
  readonly svg?: string;
  /** Results of an earlier run, to be shown again in place of a new run. */
  readonly from?: string;
}

/** The text of `--help`. */
export const HELP = `Usage: deno task bench [flags]

  --rounds N           interleaved rounds; medians are taken over them (5)
  --messages N         messages of a producing run (300000)
  --backlog N          messages of a consuming run (600000)
  --memory-messages N  sends of the memory run (2000000)
  --latency-messages N messages of the latency run (10000)
  --rate N             their number a second (5000)
  --payload N          bytes of a payload (256)
  --only LIST          figures: ${FIGURES.join(", ")} (all)
  --runtime LIST       runtimes: ${RUNTIMES.join(", ")} (all)
  --client LIST        only contenders in whose name one of these occurs (all)
  --json FILE          writes every sample and every median
  --svg FILE           draws the chart
  --from FILE          shows the results of an earlier --json again, and runs nothing
`;

/** Reads the command line; undefined when it asks for help. Throws with one sentence when it cannot be followed. */
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

function whole(flag: string, text: string | undefined, otherwise: number, least = 1): number {
  if (text === undefined) return otherwise;
  const number = Number(text.replaceAll("_", ""));
  if (Number.isSafeInteger(number) && number >= least) return number;
  throw new Error(`Cannot take --${flag} as a whole number of at least ${least}: current value is ${text}`);
}

function chosen<T extends string>(flag: string, text: string | undefined, all: readonly T[]): readonly T[] {
  if (text === undefined) return all;
  const names = text.split(",");
  const stranger = names.find((name) => !all.some((known) => known === name));
  if (stranger === undefined) return all.filter((known) => names.includes(known));
  throw new Error(`Cannot take --${flag} as names of ${all.join(", ")}: current value is ${stranger}`);
}
