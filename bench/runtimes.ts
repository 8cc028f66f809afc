// The command line with which each runtime runs a file.

import { findRuntime as findProgram, versionOf } from "../tests/support/run/runtimes.ts";

/** The supported runtimes. */
export const RUNTIMES = ["deno", "bun", "node"] as const;

export type Runtime = typeof RUNTIMES[number];

/** An available runtime. */
export interface FoundRuntime {
  readonly name: Runtime;
  readonly version: string;
  /** The words before the name of the file. */
  readonly command: readonly string[];
}

const FLAGS: Readonly<Record<Runtime, readonly string[]>> = {
  deno: ["run", "--allow-all", "--no-check", "--quiet"],
  bun: ["run"],
  node: ["--no-warnings"],
};

/** Finds a runtime. Rejects with a sentence that names the program to install. */
export async function findRuntime(name: Runtime): Promise<FoundRuntime> {
  const program = await findProgram(name);
  return { name, version: await versionOf(program) ?? "?", command: [program, ...FLAGS[name]] };
}
