// Owns what is run: the yardstick of each figure, and each contender on each runtime with its job. Must not know in what
// order they run.

import { fileURLToPath } from "node:url";
import type { OwnServer } from "../tests/support/server.ts";
import { runSample } from "./child.ts";
import type { Job, Sample } from "./contenders/contend.ts";
import type { Options } from "./options.ts";
import { type Contender, CONTENDERS, type Figure, limitOf, nameOf } from "./plan.ts";
import { proveStored } from "./proof.ts";
import type { FoundRuntime } from "./runtimes.ts";
import type { Yardstick } from "./yardstick.ts";

/** One thing to run. */
export interface Run {
  readonly name: string;
  readonly figure: Figure;
  /** The name of the yardstick that it is held against. */
  readonly limit: string;
  run(): Promise<Sample>;
}

/** What runs are made of. */
export interface Context {
  readonly options: Options;
  readonly server: OwnServer;
  readonly yardstick: Yardstick;
  readonly capturePath: string;
  readonly warmup: number;
}

/** Streams with a backlog, and such as come and go. */
export const FILLED = "bench:backlog",
  FILLED_WARM = `${FILLED}:warm`,
  EMPTY = "bench:new",
  EMPTY_WARM = `${EMPTY}:warm`;

/** Everything that one round runs. */
export function runsOf(context: Context, runtimes: readonly FoundRuntime[]): Run[] {
  return [...limits(context), ...contenders(context, runtimes)];
}

function limits({ options, yardstick }: Context): Run[] {
  const { messages, backlog, payload, latencyMessages, rate } = options;
  const { produce, consume, latency } = yardstick;
  const runs: Partial<Record<Figure, () => Promise<Sample>>> = {
    ...(produce ? { produce: () => produce(EMPTY, messages, payload) } : {}),
    ...(consume ? { consume: () => consume(FILLED, backlog) } : {}),
    ...(latency ? { latency: () => latency(EMPTY, latencyMessages, rate, payload) } : {}),
  };
  return options.figures.flatMap((figure) => {
    const run = runs[figure], name = limitOf(figure);
    return run ? [{ name, figure, limit: name, run }] : [];
  });
}

function contenders(context: Context, runtimes: readonly FoundRuntime[]): Run[] {
  const { figures, clients } = context.options;
  return CONTENDERS.filter(({ figure }) => figures.includes(figure)).flatMap((contender) =>
    runtimes.filter(({ name }) => contender.runtimes?.includes(name) ?? true).map((runtime) => ({
      name: nameOf(contender, runtime.name),
      figure: contender.figure,
      limit: limitOf(contender.figure),
      run: () => contend(context, contender, runtime),
    }))
  ).filter(({ name }) => clients.length === 0 || clients.some((part) => name.includes(part)));
}

/** Runs one contender, and checks on the server or in its answer that it did all of what it was asked. */
async function contend(context: Context, contender: Contender, runtime: FoundRuntime): Promise<Sample> {
  const { options, server, capturePath, warmup } = context;
  const { figure } = contender;
  const filled = figure === "consume";
  const messages = {
    produce: options.messages,
    consume: options.backlog,
    decode: 1_000_000,
    latency: options.latencyMessages,
    memory: options.memoryMessages,
  }[figure];
  if (!filled) await server.command("DEL", EMPTY, EMPTY_WARM);
  const job: Job = {
    form: contender.job,
    url: server.url,
    serverPid: figure === "decode" ? 0 : server.pid,
    key: filled ? FILLED : EMPTY,
    warmKey: filled ? FILLED_WARM : EMPTY_WARM,
    messages,
    warmup,
    payload: "x".repeat(options.payload),
    rate: options.rate,
    capture: capturePath,
  };
  const script = fileURLToPath(new URL(`./contenders/${contender.script}.ts`, import.meta.url));
  const sample = await runSample([...runtime.command, script, JSON.stringify(job)]);
  if (sample.messages !== messages) throw new Error(`${sample.messages} messages came through out of ${messages}`);
  if (!filled && figure !== "decode") {
    await proveStored(server, EMPTY, messages);
    await server.command("DEL", EMPTY, EMPTY_WARM);
  }
  return sample;
}
