// The order of the runs: each round runs every contender once, in an order that rotates.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stderr } from "node:process";
import { startServer } from "../tests/support/servers/server.ts";
import { capture } from "./capture.ts";
import type { Sample } from "./contenders/contend.ts";
import type { Options } from "./options.ts";
import { EMPTY, FILLED, FILLED_WARM, READING, type Run, runsOf } from "./runs.ts";
import type { FoundRuntime } from "./runtimes.ts";
import { openYardstick, PAGE } from "./yardstick.ts";

/** The samples of one contender on one runtime, or of the yardstick. */
export interface Series {
  readonly name: string;
  /** The name of the yardstick for comparison. */
  readonly limit: string;
  /** One sample for each round; null if the run failed. */
  readonly samples: (Sample | null)[];
}

/** The result of a benchmark. */
export interface Measured {
  readonly server: string;
  readonly yardstick: string;
  readonly series: readonly Series[];
  /** One sentence for each run that failed. */
  readonly failures: readonly string[];
}

/** Pages in the capture for decoders. */
const CAPTURED_PAGES = 20;

/** Runs all rounds against a server that it starts. */
export async function runRounds(options: Options, runtimes: readonly FoundRuntime[]): Promise<Measured> {
  await using server = await startServer();
  const folder = await mkdtemp(join(tmpdir(), "sea-bench-"));
  try {
    const yardstick = await openYardstick(server);
    const capturePath = join(folder, "capture");
    const warmup = Math.min(100_000, options.messages);
    if (options.figures.some((figure) => READING.includes(figure))) {
      await yardstick.fill(FILLED, options.backlog, options.payload);
      await yardstick.fill(FILLED_WARM, warmup, options.payload);
    }
    if (options.figures.includes("decode")) {
      await yardstick.fill(EMPTY, CAPTURED_PAGES * PAGE, options.payload);
      await capture(server.port, EMPTY, CAPTURED_PAGES, capturePath);
    }
    const runs = runsOf({ options, server, yardstick, capturePath, folder, warmup }, runtimes);
    const { series, failures } = await interleave(runs, options);
    const kind = server.isValkey ? "Valkey" : "Redis";
    return { server: `${kind} ${server.version}`, yardstick: yardstick.source, series, failures };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function interleave(runs: readonly Run[], { rounds, figures }: Options) {
  const series = runs.map(({ name, limit }): Series => ({ name, limit, samples: [] }));
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
