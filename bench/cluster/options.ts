// The command line of the benchmark of a cluster.

import { parseArgs } from "node:util";
import { chosen, whole } from "../options.ts";
import { type Runtime, RUNTIMES } from "../runtimes.ts";

/** The parts, in the order of the tables. */
export const PARTS = ["produce", "latency", "idle", "changes"] as const;

export type Part = typeof PARTS[number];

/** The parsed command line. */
export interface ClusterBenchOptions {
  readonly rounds: number;
  /** Messages of a producing run. */
  readonly messages: number;
  readonly latencyMessages: number;
  /** Messages a second of the latency runs. */
  readonly rate: number;
  /** Bytes. */
  readonly payload: number;
  /** Seconds for which commands of idle consumers are counted. */
  readonly idle: number;
  readonly parts: readonly Part[];
  readonly runtimes: readonly Runtime[];
  readonly json?: string;
}

/** The text of `--help`. */
export const HELP = `Usage: deno task bench:cluster [flags]

Starts a cluster of three nodes and one server, and compares them.

  --quick              one short round on Deno: about two minutes
  --rounds N           interleaved rounds; medians are taken over them (5)
  --messages N         messages of a producing run (1000000)
  --latency-messages N messages of a latency run (10000)
  --rate N             messages per second of a latency run (500)
  --payload N          bytes of a payload (256)
  --idle N             seconds for which idle consumers are counted (120)
  --only LIST          parts: ${PARTS.join(", ")} (all)
  --runtime LIST       runtimes of produce and latency: ${RUNTIMES.join(", ")} (all)
  --json FILE          writes the tables
`;

/** Parses the command line; returns `undefined` for `--help`. Throws one sentence for an invalid one. */
export function readClusterOptions(args: readonly string[]): ClusterBenchOptions | undefined {
  const text = { type: "string" } as const;
  const { values } = parseArgs({
    args: [...args],
    options: {
      help: { type: "boolean" },
      quick: { type: "boolean" },
      rounds: text,
      messages: text,
      "latency-messages": text,
      rate: text,
      payload: text,
      idle: text,
      only: text,
      runtime: text,
      json: text,
    },
  });
  if (values.help) return undefined;
  const isQuick = values.quick ?? false;
  return {
    rounds: whole("rounds", values.rounds, isQuick ? 1 : 5),
    messages: whole("messages", values.messages, isQuick ? 300_000 : 1_000_000),
    latencyMessages: whole("latency-messages", values["latency-messages"], isQuick ? 2_500 : 10_000),
    rate: whole("rate", values.rate, 500),
    payload: whole("payload", values.payload, 256, 64),
    idle: whole("idle", values.idle, isQuick ? 30 : 120),
    parts: chosen("only", values.only, PARTS),
    runtimes: isQuick && values.runtime === undefined ? ["deno"] : chosen("runtime", values.runtime, RUNTIMES),
    ...(values.json === undefined ? {} : { json: values.json }),
  };
}
