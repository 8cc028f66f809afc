// Owns how each runtime's own test runner is called. Must not know where the runtimes are or what their runs mean.

import type { Runtime } from "./runtimes.ts";

/** What to run. */
export interface Selection {
  /** Relative to the project's folder. */
  readonly files: readonly string[];
  /** Only tests whose name contains this text. */
  readonly filter?: string | undefined;
  /** Deno only: an import map in place of deno.json's imports. */
  readonly importMap?: string | undefined;
  /** The file that the report (JUnit) goes to. */
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
        ...["--disable-warning=ExperimentalWarning", "--import", "./tests/support/node_hooks.mjs", "--test"],
        // Each file is a process with servers of its own, and most of its time is waiting.
        "--test-concurrency=2",
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
