// Runs `deno task test` and its variants: the suite on the given runtimes, set-up included, one verdict at the end. Runs
// on Deno. Arguments: runs (deno, bun@cluster, node@SERVER, …: see runs.ts), or --day (those of CI); --jsr (the real @std
// packages); --cluster (all runs on a cluster); --again (see `Plan`); --filter=TEXT; names of test files.

import { relative, resolve } from "node:path";
import process from "node:process";
import { execute, type Plan } from "./execution.ts";
import { summaryOf, sumOf } from "./outcome.ts";
import { parseRun, parseServers, type Run, runsOfDay } from "./runs.ts";
import { installPackages, root } from "./runtimes.ts";
import { describeServers, whyNoServers } from "./server_check.ts";

function plan(words: readonly string[]): Plan {
  const runs: Run[] = [];
  const files: string[] = [];
  let jsr = false;
  let again = false;
  let cluster = (process.env.SEA_TEST_CLUSTER ?? "") !== "";
  let filter: string | undefined;
  for (const word of words) {
    const run = parseRun(word);
    if (run !== undefined) runs.push(run);
    else if (word === "--jsr") jsr = true;
    else if (word === "--again") again = true;
    else if (word === "--cluster") cluster = true;
    else if (word === "--day") runs.push(...runsOfDay(Date.now(), parseServers(process.env.SEA_TEST_SERVERS)));
    else if (word.startsWith("--filter=")) filter = word.slice("--filter=".length);
    else if (word.startsWith("-")) {
      throw new Error(`Unknown option ${word}: use --day, --jsr, --cluster, --again or --filter=TEXT`);
    } else files.push(relative(root, resolve(process.env.INIT_CWD ?? root, word)).replaceAll("\\", "/"));
  }
  if (runs.length === 0) runs.push({ runtime: "deno", cluster: false, server: undefined });
  return { runs: runs.map((run) => cluster ? { ...run, cluster } : run), jsr, again, filter, files };
}

async function main(): Promise<number> {
  const chosen = plan(Deno.args);
  // Before the tests ask for servers at the same time in several processes, and fail each by itself.
  for (const server of new Set(chosen.runs.map(({ server }) => server))) {
    const why = await whyNoServers(installPackages, server);
    if (why === undefined) continue;
    console.log(`${why}\n\n0 passed, 1 failed`);
    return 1;
  }
  await installPackages();
  console.log(await describeServers());
  const all = await execute(chosen);
  console.log(summaryOf(all));
  return sumOf(all, "failed") > 0 ? 1 : 0;
}

Deno.exit(await main());
