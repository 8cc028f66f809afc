// Executes runs of the suite, some at a time, each with a cluster of its own if it wants one. Runs on Deno.

import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { startCluster } from "../servers/cluster.ts";
import { argumentsFor, ENVIRONMENT } from "./invocation.ts";
import { CLUSTER_SUITES } from "./left_out.ts";
import { afterRepeat, type Ended, failedRun, MOST_REPEATED, type Outcome, outcomeOf } from "./outcome.ts";
import { labelOf, type Run } from "./runs.ts";
import { findRuntime, root, versionOf } from "./runtimes.ts";

/** What to run. */
export interface Plan {
  readonly runs: readonly Run[];
  /** Whether the real @std packages take the place of the adapters, on Deno. */
  readonly jsr: boolean;
  /** Only tests whose name contains this text. */
  readonly filter: string | undefined;
  /** Relative to the project's folder; empty for all. */
  readonly files: readonly string[];
  /** Whether tests that fail run once more, alone, when everything else is over. */
  readonly again: boolean;
  /** Minutes after which no further run begins, apart from those of each runtime on the server that is found. */
  readonly minutes: number;
}

/** Milliseconds after which a runtime's run counts as hanging, on a machine that is busy with the other runtimes too. */
const LIMIT = 45 * 60_000;
/** Milliseconds. Long: on a busy machine a node may be late, and no test of these loses one. */
const NODE_TIMEOUT = 10_000;
/** Runs at the same time: much of a run is waiting, and with more of them two cores have no time left. */
const AT_ONCE = 2;

type Print = (bytes: Uint8Array) => void;

/**
 * Executes all runs of a plan. The output of each is printed when it has finished; that of a single run, at once.
 */
export async function execute(plan: Plan): Promise<Ended[]> {
  const folder = await mkdtemp(join(tmpdir(), "sea-run-"));
  try {
    const ended = await executeIn(folder, plan);
    return plan.again ? await repeatFailed(ended, { plan, folder }) : ended;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function executeIn(folder: string, plan: Plan): Promise<Ended[]> {
  const { runs, minutes } = plan;
  const alone = runs.length === 1;
  if (!alone) {
    const names = runs.map(labelOf).join(", ");
    console.log(`\n${names}: ${AT_ONCE} at a time. The output of each follows when it has finished.`);
  }
  const outcomes = new Map<Run, Outcome>();
  const latest = performance.now() + minutes * 60_000;
  const waiting = runs.map((run, index) => ({ run, report: join(folder, `${index}.xml`) }));
  let printing = Promise.resolve();
  const work = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const { run, report } = next;
      if ((run.cluster || run.server !== undefined) && performance.now() > latest) continue;
      const output: Uint8Array[] = [];
      const print = alone ? undefined : (bytes: Uint8Array) => void output.push(bytes);
      const outcome = await executeOne(run, { plan, folder, report, print }).catch((error) =>
        failedRun(error instanceof Error ? error.message : String(error))
      );
      outcomes.set(run, outcome);
      printing = printing.then(() => writeAll(output));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  await printing;
  return runs.map((run) => [run, outcomes.get(run)]);
}

/** Runs failed tests once more: on a machine that is busy with the other runtimes a test may miss a time limit. */
async function repeatFailed(
  all: readonly Ended[],
  { plan, folder }: { readonly plan: Plan; readonly folder: string },
): Promise<Ended[]> {
  const results: Ended[] = [];
  for (const [index, [run, outcome]] of all.entries()) {
    const failures = outcome?.failures ?? [];
    const passed = new Set<string>();
    for (const { name } of failures.length > MOST_REPEATED ? [] : failures) {
      console.log(`\n${labelOf(run)} runs once more: ${name}`);
      const report = join(folder, `again-${index}-${passed.size}.xml`);
      const one = { plan: { ...plan, filter: name }, folder, report, print: () => {} };
      const again = await executeOne(run, one).catch(() => undefined);
      if (again !== undefined && again.failed === 0 && again.passed > 0) passed.add(name);
    }
    results.push([run, outcome && passed.size > 0 ? afterRepeat(outcome, passed) : outcome]);
  }
  return results;
}

interface Place {
  readonly plan: Plan;
  readonly folder: string;
  readonly report: string;
  /** Takes the output. Without it, the output goes to the terminal. */
  readonly print: Print | undefined;
}

async function executeOne(run: Run, { plan, folder, report, print }: Place): Promise<Outcome> {
  const { runtime, server } = run;
  const program = await findRuntime(runtime);
  const say = (line: string) => print === undefined ? console.log(line) : print(new TextEncoder().encode(`${line}\n`));
  say(`\n=== ${labelOf(run)} ${await versionOf(program)} (${relative(root, program)})`);
  const importMap = plan.jsr ? await realImports(folder) : undefined;
  const files = plan.files.length > 0 ? plan.files : await testFiles(run.cluster ? CLUSTER_SUITES : ["tests/"]);
  const args = argumentsFor(runtime, { files, filter: plan.filter, importMap, report });
  await using cluster = run.cluster ? await startCluster({ nodeTimeout: NODE_TIMEOUT, ...named(server) }) : undefined;
  const env = {
    ...ENVIRONMENT[runtime],
    ...(server === undefined ? {} : { SEA_TEST_SERVER: server }),
    SEA_TEST_CLUSTER: cluster?.nodes.map(({ name }) => name).join(",") ?? "",
  };
  const output = print === undefined ? "inherit" : "piped";
  const child = new Deno.Command(program, { args, cwd: root, env, stdin: "null", stdout: output, stderr: output })
    .spawn();
  const timer = setTimeout(() => {
    say(`=== ${labelOf(run)} did not end within ${LIMIT / 60_000} minutes`);
    child.kill("SIGKILL");
  }, LIMIT);
  if (print !== undefined) {
    const take = async (stream: ReadableStream<Uint8Array>) => {
      for await (const bytes of stream) print(bytes);
    };
    await Promise.all([take(child.stdout), take(child.stderr)]);
  }
  const { code } = await child.status;
  clearTimeout(timer);
  return outcomeOf(await readFile(report, "utf8").catch(() => ""), code, plan.filter);
}

function named(program: string | undefined): { readonly program?: string } {
  return program === undefined ? {} : { program };
}

/** All test files whose paths begin with one of these. */
async function testFiles(beginnings: readonly string[]): Promise<string[]> {
  const names = await readdir(join(root, "tests"), { recursive: true });
  const all = names.filter((name) => name.endsWith("_test.ts")).map((name) => `tests/${name.replaceAll("\\", "/")}`);
  return all.filter((name) => beginnings.some((beginning) => name.startsWith(beginning))).sort();
}

/** deno.json's imports without the adapters, since an import map replaces all of them. */
async function realImports(folder: string): Promise<string> {
  const { imports } = JSON.parse(await readFile(join(root, "deno.json"), "utf8"));
  const file = join(folder, "imports.json");
  await writeFile(file, JSON.stringify({ imports }));
  return file;
}

async function writeAll(pieces: readonly Uint8Array[]): Promise<void> {
  for (const bytes of pieces) {
    for (let at = 0; at < bytes.length;) at += await Deno.stdout.write(bytes.subarray(at));
  }
}
