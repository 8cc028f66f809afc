// Runs `deno task ci`: every check that a change must pass, the cheapest first, and one verdict at the end. Runs on
// Deno.

import { type Step, steps } from "./ci_steps.ts";
import { installPackages, root } from "./runtimes.ts";

interface Verdict {
  readonly name: string;
  readonly passed: number;
  readonly failed: number;
  /** Notes for the summary: the failed and unstable tests, each with the beginning of its output. */
  readonly notes: readonly string[];
}

/** Characters of a step's output that are kept for its verdict. */
const TAIL = 20_000;
/** Lines of a failed test's output in the verdict. */
const NOTE_LINES = 4;

/** Runs one step and shows its output. A step that counts tests counts as so many. */
async function run({ name, args }: Step): Promise<Verdict> {
  console.log(`\n##### ${name}: deno ${args.join(" ")}`);
  const counting = name === "test";
  const child = new Deno.Command(Deno.execPath(), {
    args: [...args],
    cwd: root,
    stdin: "null",
    stdout: counting ? "piped" : "inherit",
    stderr: "inherit",
  }).spawn();
  let tail = "";
  if (counting) {
    const decoder = new TextDecoder();
    for await (const chunk of child.stdout) {
      await writeAll(chunk);
      tail = (tail + decoder.decode(chunk, { stream: true })).slice(-TAIL);
    }
  }
  const { success } = await child.status;
  const counts = counting ? /(\d+) passed, (\d+) failed\s*$/.exec(tail) : null;
  const passed = counts ? Number(counts[1]) : Number(success);
  const failed = Math.max(counts ? Number(counts[2]) : 0, Number(!success));
  return { name, passed, failed, notes: notesIn(tail) };
}

/** The failed and unstable tests that the test run names at its end, cut to a few lines each. */
function notesIn(output: string): string[] {
  return output.split(/^(?=(?:deno|bun|node)\S* (?:FAILED|UNSTABLE) {2})/m).slice(1).map((part) =>
    part.split("\n").filter((line) => line.trim() !== "").slice(0, NOTE_LINES).join("\n        ")
  );
}

async function install(): Promise<Verdict> {
  try {
    await installPackages();
    return { name: "packages", passed: 1, failed: 0, notes: [] };
  } catch (error) {
    console.error(error);
    return { name: "packages", passed: 0, failed: 1, notes: [] };
  }
}

async function writeAll(bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await Deno.stdout.write(bytes.subarray(at));
}

async function main(): Promise<number> {
  const verdicts: Verdict[] = [await install()];
  for (const step of await steps()) verdicts.push(await run(step));
  console.log();
  for (const { name, failed, notes } of verdicts) {
    console.log(`${failed > 0 ? "FAILED" : "ok    "}  ${name}`);
    for (const note of notes) console.log(`        ${note}`);
  }
  const sum = (what: "passed" | "failed") => verdicts.reduce((total, verdict) => total + verdict[what], 0);
  console.log(`${sum("passed")} passed, ${sum("failed")} failed`);
  return sum("failed") > 0 ? 1 : 0;
}

Deno.exit(await main());
