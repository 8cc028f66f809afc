// The benchmark as a program: from the command line to tables, JSON and chart.

import { readFile, writeFile } from "node:fs/promises";
import { arch, cpus, platform, release } from "node:os";
import { argv, exit, stderr, stdout } from "node:process";
import { drawChart } from "./chart.ts";
import { judge } from "./marks.ts";
import { HELP, type Options, readOptions } from "./options.ts";
import { type Measured, runRounds } from "./rounds.ts";
import { findRuntime, type FoundRuntime } from "./runtimes.ts";
import { summarise } from "./statistics.ts";
import { formatTables } from "./table.ts";

/** The file that `--json` writes and `--from` reads. */
interface Report extends Measured {
  readonly date: string;
  readonly machine: string;
  readonly runtimes: Readonly<Record<string, string>>;
  readonly options: Pick<Options, "rounds" | "messages" | "backlog" | "payload">;
}

async function measure(options: Options): Promise<Report> {
  const runtimes: FoundRuntime[] = [];
  for (const name of options.runtimes) {
    try {
      runtimes.push(await findRuntime(name));
    } catch (error) {
      stderr.write(`${sentence(error)}; skipped\n`);
    }
  }
  const measured = await runRounds(options, runtimes);
  const { rounds, messages, backlog, payload } = options;
  return {
    date: new Date().toISOString(),
    machine: `${cpus().length} × ${cpus()[0]?.model.trim()}, ${platform()} ${release()} ${arch()}`,
    runtimes: Object.fromEntries(runtimes.map(({ name, version }) => [name, version])),
    options: { rounds, messages, backlog, payload },
    ...measured,
  };
}

async function main(): Promise<number> {
  const options = readOptions(argv.slice(2));
  if (options === undefined) {
    stdout.write(HELP);
    return 0;
  }
  const { from, json, svg } = options;
  const report: Report = from === undefined ? await measure(options) : JSON.parse(await readFile(from, "utf8"));
  const summaries = summarise(report.series);
  const verdicts = judge(report.series, summaries);
  const { rounds, messages, backlog, payload } = report.options;
  const runtimes = Object.entries(report.runtimes).map(([name, version]) => `${name} ${version}`).join(", ");
  stdout.write(`
${report.machine}
${report.server}; ${runtimes}
payloads of ${payload} bytes; ${messages} messages produced, ${backlog} consumed in a run; medians of ${rounds} rounds
yardstick: ${report.yardstick}

${formatTables(summaries, verdicts)}`);
  if (json !== undefined) await writeFile(json, JSON.stringify({ ...report, summaries, verdicts }, null, 2) + "\n");
  if (svg !== undefined) await writeFile(svg, drawChart(summaries));
  for (const failure of report.failures) stderr.write(`${failure}\n`);
  return report.failures.length === 0 ? 0 : 1;
}

function sentence(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

try {
  exit(await main());
} catch (error) {
  stderr.write(`${sentence(error)}\n`);
  exit(2);
}
