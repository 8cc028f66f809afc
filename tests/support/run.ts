// Owns `deno task test` and its sisters: one suite on the runtimes named, set-up included, one verdict at the end.
// Runs on Deno. Arguments: deno, bun, node; --jsr (the real @std packages); --filter=TEXT; names of test files.

import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative, resolve } from "node:path";
import process from "node:process";
import { argumentsFor } from "./invocation.ts";
import { type Counts, countTests, type Failure, failuresOf } from "./junit.ts";
import { findRuntime, installPackages, root, type Runtime, versionOf } from "./runtimes.ts";
import { findServer } from "./server_binary.ts";

/** Milliseconds after which a runtime's run counts as hanging. */
const LIMIT = 15 * 60_000;

/** Characters of what a failed test said that are said once more at the end. */
const EXCERPT = 1_500;

interface Plan {
  readonly runtimes: readonly Runtime[];
  readonly jsr: boolean;
  readonly filter: string | undefined;
  readonly files: readonly string[];
}

async function plan(words: readonly string[]): Promise<Plan> {
  const runtimes: Runtime[] = [];
  const files: string[] = [];
  let jsr = false;
  let filter: string | undefined;
  for (const word of words) {
    if (word === "deno" || word === "bun" || word === "node") runtimes.push(word);
    else if (word === "--jsr") jsr = true;
    else if (word.startsWith("--filter=")) filter = word.slice("--filter=".length);
    else if (word.startsWith("-")) throw new Error(`Cannot run the tests: ${word} is no option`);
    else files.push(relative(root, resolve(process.env.INIT_CWD ?? root, word)).replaceAll("\\", "/"));
  }
  return { runtimes, jsr, filter, files: files.length > 0 ? files : await testFiles() };
}

async function testFiles(): Promise<string[]> {
  const names = await readdir(join(root, "tests"), { recursive: true });
  return names.filter((name) => name.endsWith("_test.ts")).map((name) => `tests/${name.replaceAll("\\", "/")}`).sort();
}

/** deno.json's imports without the adapters: an import map replaces all that stands there. */
async function realImports(folder: string): Promise<string> {
  const { imports } = JSON.parse(await readFile(join(root, "deno.json"), "utf8"));
  const file = join(folder, "imports.json");
  await writeFile(file, JSON.stringify({ imports }));
  return file;
}

/** How a runtime's run ended. */
interface Outcome extends Counts {
  readonly failures: readonly Failure[];
}

async function runOn(runtime: Runtime, plan: Plan, folder: string): Promise<Outcome> {
  const program = await findRuntime(runtime);
  console.log(`\n=== ${runtime} ${await versionOf(program)} (${relative(root, program)})`);
  const report = join(folder, `${runtime}.xml`);
  const importMap = plan.jsr ? await realImports(folder) : undefined;
  const args = argumentsFor(runtime, { ...plan, importMap, report });
  const child = new Deno.Command(program, { args, cwd: root, stdin: "null" }).spawn();
  const timer = setTimeout(() => {
    console.log(`=== ${runtime} did not end within ${LIMIT / 60_000} minutes`);
    child.kill("SIGKILL");
  }, LIMIT);
  const { code } = await child.status;
  clearTimeout(timer);
  const xml = await readFile(report, "utf8").catch(() => "");
  const counts = { ...countTests(xml), failures: failuresOf(xml) };
  // What fails outside of any test (a file that does not load, a crash, nothing that ran) is a failure too.
  const nothing = plan.filter === undefined && counts.passed === 0;
  if (counts.failed > 0 || (code === 0 && !nothing)) return counts;
  const text = nothing ? "no test ran" : `it ended with code ${code} although no test failed`;
  return { ...counts, failed: 1, failures: [{ name: "the run as a whole", text }] };
}

async function main(): Promise<number> {
  const chosen = await plan(Deno.args);
  await installPackages();
  // Before the tests ask for it at the same time in several processes.
  const server = await findServer();
  console.log(
    `Server: ${process.env.REDIS_URL ? "REDIS_URL, " : ""}${server ? server.command.join(" ") : "a container"}`,
  );
  const folder = await mkdtemp(join(tmpdir(), "sea-run-"));
  const all: [Runtime, Outcome][] = [];
  try {
    for (const runtime of chosen.runtimes) {
      try {
        all.push([runtime, await runOn(runtime, chosen, folder)]);
      } catch (error) {
        const text = error instanceof Error ? error.message : String(error);
        all.push([runtime, { passed: 0, failed: 1, skipped: 0, failures: [{ name: "the run as a whole", text }] }]);
      }
    }
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
  const sum = (name: "passed" | "failed") => all.reduce((total, [, counts]) => total + counts[name], 0);
  console.log(`${sum("passed")} passed, ${sum("failed")} failed`);
  return sum("failed") > 0 ? 1 : 0;
}

Deno.exit(await main());
