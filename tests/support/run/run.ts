// Runs `deno task test` and its variants: one suite on the given runtimes, set-up included, one verdict at the end.
// Runs on Deno. Arguments: deno, bun, node; --jsr (the real @std packages); --cluster (the tests' shared server is a cluster);
// --filter=TEXT; names of test files.

import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative, resolve } from "node:path";
import process from "node:process";
import { argumentsFor, ENVIRONMENT } from "./invocation.ts";
import { CLUSTER_SUITES, clusterEnvironment, reasonsOf, startTestCluster } from "./cluster_run.ts";
import { type Counts, countTests, type Failure, failuresOf, skippedIn } from "./junit.ts";
import { findRuntime, installPackages, root, type Runtime, versionOf } from "./runtimes.ts";
import { describeServers, whyNoServers } from "./server_check.ts";

/** Milliseconds after which a runtime's run counts as hanging, on a machine that is busy with the other runtimes too. */
const LIMIT = 30 * 60_000;

/** Characters of a failed test's output that are repeated at the end. */
const EXCERPT = 1_500;

interface Plan {
  readonly runtimes: readonly Runtime[];
  readonly jsr: boolean;
  readonly cluster: boolean;
  readonly filter: string | undefined;
  readonly files: readonly string[];
}

async function plan(words: readonly string[]): Promise<Plan> {
  const runtimes: Runtime[] = [];
  const files: string[] = [];
  let jsr = false;
  let cluster = (process.env.SEA_TEST_CLUSTER ?? "") !== "";
  let filter: string | undefined;
  for (const word of words) {
    if (word === "deno" || word === "bun" || word === "node") runtimes.push(word);
    else if (word === "--jsr") jsr = true;
    else if (word === "--cluster") cluster = true;
    else if (word.startsWith("--filter=")) filter = word.slice("--filter=".length);
    else if (word.startsWith("-")) throw new Error(`Unknown option ${word}: use --jsr, --cluster or --filter=TEXT`);
    else files.push(relative(root, resolve(process.env.INIT_CWD ?? root, word)).replaceAll("\\", "/"));
  }
  if (runtimes.length === 0) runtimes.push("deno");
  if (files.length === 0) files.push(...await testFiles(cluster ? CLUSTER_SUITES : [""]));
  return { runtimes, jsr, cluster, filter, files };
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

/** How a runtime's run ended. */
interface Outcome extends Counts {
  readonly failures: readonly Failure[];
  /** The names of the tests that were left out. */
  readonly leftOut: readonly string[];
}

/** Runs the plan on one runtime. `print` takes the runtime's output. Without it, the output goes to the terminal. */
async function runOn(runtime: Runtime, plan: Plan, folder: string, print?: Print): Promise<Outcome> {
  const program = await findRuntime(runtime);
  const say = (line: string) => print === undefined ? console.log(line) : print(new TextEncoder().encode(`${line}\n`));
  say(`\n=== ${runtime} ${await versionOf(program)} (${relative(root, program)})`);
  const report = join(folder, `${runtime}.xml`);
  const importMap = plan.jsr ? await realImports(folder) : undefined;
  const args = argumentsFor(runtime, { ...plan, importMap, report });
  const output = print === undefined ? "inherit" : "piped";
  await using cluster = plan.cluster ? await startTestCluster() : undefined;
  const env = { ...ENVIRONMENT[runtime], ...(cluster ? clusterEnvironment(cluster) : {}) };
  const child = new Deno.Command(program, { args, cwd: root, env, stdin: "null", stdout: output, stderr: output })
    .spawn();
  const timer = setTimeout(() => {
    say(`=== ${runtime} did not end within ${LIMIT / 60_000} minutes`);
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
  return outcomeOf(await readFile(report, "utf8").catch(() => ""), code, plan);
}

function outcomeOf(xml: string, code: number, { filter }: Plan): Outcome {
  const counts = { ...countTests(xml), failures: failuresOf(xml), leftOut: skippedIn(xml) };
  // A failure outside of any test (a file that does not load, a crash, no test at all) is a failure too.
  const nothing = filter === undefined && counts.passed === 0;
  if (counts.failed > 0 || (code === 0 && !nothing)) return counts;
  const text = nothing ? "no test ran" : `it ended with code ${code} although no test failed`;
  return failed(text, counts);
}

function failed(text: string, counts: Counts = { passed: 0, failed: 0, skipped: 0 }): Outcome {
  return { leftOut: [], ...counts, failed: 1, failures: [{ name: "the run as a whole", text }] };
}

type Print = (bytes: Uint8Array) => void;

/** Runtimes that run at the same time: much of a run is waiting, and with more of them two cores have no time left. */
const AT_ONCE = 2;

/**
 * Runs the plan on all its runtimes, some at a time. A runtime's output is printed when the runtime has finished. With
 * a single runtime it is printed at once.
 */
async function runOnAll(plan: Plan, folder: string): Promise<[Runtime, Outcome][]> {
  const { runtimes } = plan;
  const alone = runtimes.length === 1;
  if (!alone) {
    console.log(`\n${runtimes.join(", ")}: ${AT_ONCE} at a time. The output of each follows when it has finished.`);
  }
  const outcomes = new Map<Runtime, Outcome>();
  const waiting = [...runtimes];
  let printing = Promise.resolve();
  const work = async () => {
    for (let runtime = waiting.shift(); runtime !== undefined; runtime = waiting.shift()) {
      const output: Uint8Array[] = [];
      const print = alone ? undefined : (bytes: Uint8Array) => void output.push(bytes);
      const outcome = await runOn(runtime, plan, folder, print).catch((error) =>
        failed(error instanceof Error ? error.message : String(error))
      );
      outcomes.set(runtime, outcome);
      printing = printing.then(() => writeAll(output));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  await printing;
  return runtimes.flatMap((runtime) => {
    const outcome = outcomes.get(runtime);
    return outcome === undefined ? [] : [[runtime, outcome]];
  });
}

async function writeAll(pieces: readonly Uint8Array[]): Promise<void> {
  for (const bytes of pieces) {
    for (let at = 0; at < bytes.length;) at += await Deno.stdout.write(bytes.subarray(at));
  }
}

async function main(): Promise<number> {
  const chosen = await plan(Deno.args);
  // Before the tests ask for servers at the same time in several processes, and fail each by itself.
  const why = await whyNoServers(installPackages);
  if (why !== undefined) {
    console.log(`${why}\n\n0 passed, 1 failed`);
    return 1;
  }
  await installPackages();
  console.log(await describeServers());
  const folder = await mkdtemp(join(tmpdir(), "sea-run-"));
  let all: [Runtime, Outcome][];
  try {
    all = await runOnAll(chosen, folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  for (const [runtime, { failures }] of all) {
    for (const { name, text } of failures) console.log(`\n${runtime} FAILED  ${name}\n${text.slice(0, EXCERPT)}`);
  }
  console.log();
  for (const [runtime, { passed, failed, skipped }] of all) {
    console.log(
      `${runtime.padEnd(4)}  ${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} left out` : ""}`,
    );
  }
  for (const reason of reasonsOf(all.flatMap(([, { leftOut }]) => leftOut))) console.log(`      ${reason}`);
  const sum = (name: "passed" | "failed") => all.reduce((total, [, counts]) => total + counts[name], 0);
  console.log(`${sum("passed")} passed, ${sum("failed")} failed`);
  return sum("failed") > 0 ? 1 : 0;
}

Deno.exit(await main());
