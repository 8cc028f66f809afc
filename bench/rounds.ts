// Owns the order of the runs: rounds, and in each round every contender once, in an order that turns. Must not know how
// results are told.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stderr } from "node:process";
import { fileURLToPath } from "node:url";
import { type OwnServer, startServer } from "../tests/support/server.ts";
import { capture } from "./capture.ts";
import { runSample } from "./child.ts";
import type { Job, Sample } from "./contenders/contend.ts";
import type { Options } from "./options.ts";
import { type Contender, CONTENDERS, type Figure, limitOf, nameOf } from "./plan.ts";
import type { FoundRuntime } from "./runtimes.ts";
import { openYardstick, PAGE, type Yardstick } from "./yardstick.ts";

/** The samples of one contender on one runtime, or of the yardstick. */
export interface Series {
  readonly name: string;
  /** One for each round; null where the run failed. */
  readonly samples: (Sample | null)[];
}

/** What a benchmark gives. */
export interface Measured {
  readonly server: string;
  readonly yardstick: string;
  readonly series: readonly Series[];
  /** One sentence for each run that failed. */
  readonly failures: readonly string[];
}

/** One thing to run. */
interface Run {
  readonly name: string;
  readonly figure: Figure;
  run(): Promise<Sample>;
}

const FILLED = "bench:backlog", FILLED_WARM = "bench:backlog:warm", EMPTY = "bench:new", EMPTY_WARM = "bench:new:warm";
/** Pages in the capture that decoders are fed with. */
const CAPTURED_PAGES = 20;

/** Runs all rounds against a server of its own. */
export async function runRounds(options: Options, runtimes: readonly FoundRuntime[]): Promise<Measured> {
  await using server = await startServer();
  const folder = await mkdtemp(join(tmpdir(), "sea-bench-"));
  try {
    const yardstick = await openYardstick(server);
    const capturePath = join(folder, "capture");
    const warmup = Math.min(100_000, options.messages);
    if (options.figures.includes("consume")) {
      await yardstick.fill(FILLED, options.backlog, options.payload);
      await yardstick.fill(FILLED_WARM, warmup, options.payload);
    }
    if (options.figures.includes("decode")) {
      await yardstick.fill(EMPTY, CAPTURED_PAGES * PAGE, options.payload);
      await capture(server.port, EMPTY, CAPTURED_PAGES, capturePath);
    }
    const context = { options, server, yardstick, capturePath, warmup };
    const runs = [...limits(context), ...contenders(context, runtimes)];
    const { series, failures } = await interleave(runs, options);
    const kind = server.isValkey ? "Valkey" : "Redis";
    return { server: `${kind} ${server.version}`, yardstick: yardstick.source, series, failures };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

interface Context {
  readonly options: Options;
  readonly server: OwnServer;
  readonly yardstick: Yardstick;
  readonly capturePath: string;
  readonly warmup: number;
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
    const run = runs[figure];
    return run ? [{ name: limitOf(figure), figure, run }] : [];
  });
}

function contenders(context: Context, runtimes: readonly FoundRuntime[]): Run[] {
  const { figures, clients } = context.options;
  return CONTENDERS.filter(({ figure }) => figures.includes(figure)).flatMap((contender) =>
    runtimes.filter(({ name }) => contender.runtimes?.includes(name) ?? true).map((runtime) => ({
      name: nameOf(contender, runtime.name),
      figure: contender.figure,
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
    const stored = await server.command("XLEN", EMPTY);
    if (stored !== messages) throw new Error(`${stored} messages are stored out of ${messages}`);
    await server.command("DEL", EMPTY, EMPTY_WARM);
  }
  return sample;
}

async function interleave(runs: readonly Run[], { rounds, figures }: Options) {
  const series = runs.map(({ name }): Series => ({ name, samples: [] }));
  const failures: string[] = [];
  for (let round = 0; round < rounds; round++) {
    for (const figure of figures) {
      const group = series.map((entry, i) => ({ entry, run: runs[i] })).filter(({ run }) => run.figure === figure);
      for (let turn = 0; turn < group.length; turn++) {
        const { entry, run } = group[(turn + round) % group.length];
        let outcome: string;
        try {
          const sample = await run.run();
          entry.samples.push(sample);
          outcome = `${Math.round(sample.messages / sample.seconds / 1_000)} k/s`;
        } catch (error) {
          entry.samples.push(null);
          outcome = `failed: ${error instanceof Error ? error.message : error}`;
          failures.push(`${run.name}, round ${round + 1}: ${outcome}`);
        }
        stderr.write(`round ${round + 1}/${rounds}  ${run.name}  ${outcome}\n`);
      }
    }
  }
  return { series, failures };
}
