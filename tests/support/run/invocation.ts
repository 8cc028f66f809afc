// Builds the arguments with which each runtime runs tests and programs.

import { fileURLToPath } from "node:url";
import type { Runtime } from "./runtimes.ts";

const nodeHooks = new URL("./node_hooks.mjs", import.meta.url);
const bunConfig = fileURLToPath(new URL("../../bun.tsconfig.json", import.meta.url));

/** The arguments before the name of a program that imports the package by its own name. The folder in which it runs does not matter. */
export const PROGRAM_FLAGS: Readonly<Record<Runtime, readonly string[]>> = {
  deno: ["run", "-A", "--no-check"],
  bun: ["run", `--tsconfig-override=${bunConfig}`],
  node: ["--disable-warning=ExperimentalWarning", "--import", nodeHooks.href],
};

/**
 * The environment of a runtime, and of the programs that its tests start. Node keeps what it has compiled: it then starts in a
 * quarter of the CPU time (0.15 s in place of 0.6 s), and each test file is a process of its own.
 */
export const ENVIRONMENT: Readonly<Record<Runtime, Readonly<Record<string, string>>>> = {
  deno: {},
  bun: {},
  node: { NODE_COMPILE_CACHE: fileURLToPath(new URL("../../../node_modules/.cache/node/", import.meta.url)) },
};

/** What to run. */
export interface Selection {
  /** Relative to the project's folder. */
  readonly files: readonly string[];
  /** Only tests whose name contains this text. */
  readonly filter?: string | undefined;
  /** Deno only: an import map in place of deno.json's imports. */
  readonly importMap?: string | undefined;
  /** The path of the report (JUnit). */
  readonly report: string;
}

/** The arguments of a runtime that runs the selection in the project's folder. */
export function argumentsFor(runtime: Runtime, selection: Selection): string[] {
  const { files, filter, importMap, report } = selection;
  switch (runtime) {
    case "deno":
      return [
        ...["test", "-A", "--no-check", `--junit-path=${report}`],
        ...(filter ? [`--filter=${filter}`] : []),
        ...(importMap ? [`--import-map=${importMap}`] : []),
        ...files,
      ];
    case "bun":
      return [
        ...["test", "--tsconfig-override=tests/bun.tsconfig.json", "--reporter=junit", `--reporter-outfile=${report}`],
        ...(filter ? ["-t", literal(filter)] : []),
        ...files.map((file) => `./${file}`),
      ];
    case "node":
      return [
        ...["--disable-warning=ExperimentalWarning", "--import", "./tests/support/run/node_hooks.mjs", "--test"],
        "--test-concurrency=1", // each file is a process, and the files of other pieces run at the same time
        ...["--test-reporter=spec", "--test-reporter-destination=stdout"],
        ...["--test-reporter=junit", `--test-reporter-destination=${report}`],
        ...(filter ? [`--test-name-pattern=${literal(filter)}`] : []),
        ...files,
      ];
  }
}

/** A text as the regular expression that matches it. */
function literal(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}
