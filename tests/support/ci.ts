// Owns `deno task ci`: every check that a change must pass, in the order of their price, and one verdict at the end.
// Runs on Deno.

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { installPackages, root } from "./runtimes.ts";

interface Step {
  readonly name: string;
  readonly args: readonly string[];
}

interface Verdict {
  readonly name: string;
  readonly passed: number;
  readonly failed: number;
  /** What is worth saying once more: the tests that failed, each with the beginning of what it said. */
  readonly notes: readonly string[];
}

/** Characters of a step's output that are kept for its verdict. */
const TAIL = 20_000;
/** Lines of what a failed test said that stand in the verdict. */
const NOTE_LINES = 4;

async function steps(): Promise<Step[]> {
  const { exports } = JSON.parse(await readFile(join(root, "deno.json"), "utf8"));
  const entries = Object.values<string>(exports);
  return [
    { name: "fmt", args: ["fmt", "--check"] },
    { name: "lint", args: ["lint"] },
    { name: "check", args: ["check"] },
    ...entries.map((entry) => ({ name: `doc --lint ${entry}`, args: ["doc", "--lint", entry] })),
    { name: "layers", args: ["test", "-A", "--no-check", "tests/layers_test.ts"] },
    { name: "publish --dry-run", args: ["publish", "--dry-run", "--allow-dirty"] },
    // What the README tells people to run, with the Deno that runs this.
    { name: "test", args: ["task", "test"] },
  ];
}

/** Runs one step and shows what it prints; a step that counts tests is worth as many as it counts. */
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
  return { name, passed, failed, notes: failed > 0 ? notesIn(tail) : [] };
}

/** The failures that the test run names at its end, cut to a few lines each. */
function notesIn(output: string): string[] {
  return output.split(/^(?=(?:deno|bun|node) FAILED {2})/m).slice(1).map((part) =>
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
