// Executes runs of the suite, in pieces, some at a time; each run with a cluster of its own if it wants one. Runs on Deno.

import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { startCluster } from "../servers/cluster.ts";
import { argumentsFor, ENVIRONMENT } from "./invocation.ts";
import { CLUSTER_SUITES, OWN_CLUSTERS } from "./left_out.ts";
import { afterRepeat, type Ended, failedRun, MOST_REPEATED, type Outcome, outcomeOf, outcomeOfAll } from "./outcome.ts";
import { piecesOf } from "./pieces.ts";
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
}

/** Milliseconds after which a process counts as hanging, on a machine that is busy with the others too. */
const LIMIT = 45 * 60_000;
/** Milliseconds. Long: on a busy machine a node may be late, and no test of these loses one. */
const NODE_TIMEOUT = 10_000;
/** Processes at the same time: much of a test is waiting, and with more of them two cores have no time left. */
const AT_ONCE = 4;

type Print = (bytes: Uint8Array) => void;

/** Files of a run that one process runs. */
interface Piece {
  readonly run: Run;
  readonly files: readonly string[];
  /** The path of the report. */
  readonly report: string;
}

/** A piece and its end. */
interface EndedPiece extends Piece {
  readonly outcome: Outcome;
}

/**
 * Executes all runs of a plan. The output of each piece is printed when it has finished; that of a single one, at once.
 */
export async function execute(plan: Plan): Promise<Ended[]> {
  const folder = await mkdtemp(join(tmpdir(), "sea-run-"));
  try {
    const ended = await executeAll(plan, await allPieces(plan, folder), folder);
    const all = plan.again ? await repeatFailed(ended, plan, folder) : ended;
    return plan.runs.map((
      run,
    ) => [run, outcomeOfAll(all.filter((one) => one.run === run).map(({ outcome }) => outcome))]);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Those first that take longest, so that none of them is left for the end. */
async function allPieces({ runs, files, filter }: Plan, folder: string): Promise<Piece[]> {
  const pieces: (Piece & { readonly turn: number })[] = [];
  for (const [index, run] of runs.entries()) {
    const all = files.length > 0 ? files : await testFiles(run);
    // The tests of a cluster share it, one after the other. With a filter, most of the time is spent on loading.
    const some = run.cluster || filter !== undefined ? [all] : piecesOf(all);
    for (const [turn, files] of some.entries()) {
      pieces.push({
        run,
        files,
        report: join(folder, `${index}-${turn}.xml`),
        turn: run.cluster ? -1 : turn / some.length,
      });
    }
  }
  return pieces.sort((a, b) => a.turn - b.turn);
}

async function executeAll(plan: Plan, pieces: readonly Piece[], folder: string): Promise<EndedPiece[]> {
  const alone = pieces.length === 1;
  if (!alone) {
    const names = plan.runs.map(labelOf).join(", ");
    console.log(
      `\n${names}: ${pieces.length} processes, ${AT_ONCE} at a time. The output of each follows when it has finished.`,
    );
  }
  const waiting = [...pieces];
  const ended: EndedPiece[] = [];
  let printing = Promise.resolve();
  const work = async () => {
    for (let piece = waiting.shift(); piece !== undefined; piece = waiting.shift()) {
      const output: Uint8Array[] = [];
      const print = alone ? undefined : (bytes: Uint8Array) => void output.push(bytes);
      const outcome = await executeOne(piece, { plan, folder, print }).catch((error) =>
        failedRun(error instanceof Error ? error.message : String(error))
      );
      ended.push({ ...piece, outcome });
      printing = printing.then(() => writeAll(output));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  await printing;
  return ended;
}

/** Runs failed tests once more: on a machine that is busy with the other processes a test may miss a time limit. */
async function repeatFailed(all: readonly EndedPiece[], plan: Plan, folder: string): Promise<EndedPiece[]> {
  const count = (run: Run) => all.reduce((sum, one) => sum + (one.run === run ? one.outcome.failures.length : 0), 0);
  const results: EndedPiece[] = [];
  for (const piece of all) {
    const { run, outcome } = piece;
    const passed = new Set<string>();
    for (const { name } of count(run) > MOST_REPEATED ? [] : outcome.failures) {
      console.log(`\n${labelOf(run)} runs once more: ${name}`);
      const one = { ...piece, report: join(folder, "again.xml") };
      const again = await executeOne(one, { plan: { ...plan, filter: name }, folder, print: () => {} })
        .catch(() => undefined);
      if (again !== undefined && again.failed === 0 && again.passed > 0) passed.add(name);
    }
    results.push(passed.size > 0 ? { ...piece, outcome: afterRepeat(outcome, passed) } : piece);
  }
  return results;
}

interface Place {
  readonly plan: Plan;
  readonly folder: string;
  /** Takes the output. Without it, the output goes to the terminal. */
  readonly print: Print | undefined;
}

async function executeOne({ run, files, report }: Piece, { plan, folder, print }: Place): Promise<Outcome> {
  const { runtime, server } = run;
  const program = await findRuntime(runtime);
  const say = (line: string) => print === undefined ? console.log(line) : print(new TextEncoder().encode(`${line}\n`));
  say(`\n=== ${labelOf(run)} ${await versionOf(program)} (${relative(root, program)})`);
  const importMap = plan.jsr ? await realImports(folder) : undefined;
  await rm(report, { force: true });
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

/** All test files of a run. */
async function testFiles({ cluster, withoutClusters = false }: Run): Promise<string[]> {
  const isIn = (name: string, folders: readonly string[]) => folders.some((folder) => name.startsWith(folder));
  const names = await readdir(join(root, "tests"), { recursive: true });
  const all = names.filter((name) => name.endsWith("_test.ts")).map((name) => `tests/${name.replaceAll("\\", "/")}`);
  const chosen = cluster ? all.filter((name) => isIn(name, CLUSTER_SUITES)) : all;
  return chosen.filter((name) => !withoutClusters || !isIn(name, OWN_CLUSTERS)).sort();
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
