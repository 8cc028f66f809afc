// Owns the command line with which each runtime runs a file. Must not know what is run.

import { findRuntime as findProgram, versionOf } from "../tests/support/runtimes.ts";

/** The runtimes that the module is made for. */
export const RUNTIMES = ["deno", "bun", "node"] as const;

export type Runtime = typeof RUNTIMES[number];

/** One that was found here. */
export interface FoundRuntime {
  readonly name: Runtime;
  readonly version: string;
  /** What stands before the file's name. */
  readonly command: readonly string[];
}

const FLAGS: Readonly<Record<Runtime, readonly string[]>> = {
  deno: ["run", "--allow-all", "--no-check", "--quiet"],
  bun: ["run"],
  node: ["--no-warnings"],
};

/** Finds a runtime; rejects with a sentence that says what to install where there is none. */
export async function findRuntime(name: Runtime): Promise<FoundRuntime> {
  const program = await findProgram(name);
  return { name, version: await versionOf(program) ?? "?", command: [program, ...FLAGS[name]] };
}
