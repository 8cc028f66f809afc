// Lists the checks of `deno task ci`, in the order of their price. Each is a call of Deno.

import { entryPoints, pages } from "../prose/paths.ts";

/** One check. */
export interface Step {
  readonly name: string;
  /** The arguments of Deno. */
  readonly args: readonly string[];
}

/** All checks. */
export async function steps(): Promise<Step[]> {
  const entries = await entryPoints();
  // Deno looks for sources in folders, but for pages only by their names.
  const documents = [...entries, "resp", "streamer", ...await pages()];
  return [
    { name: "fmt", args: ["fmt", "--check"] },
    { name: "lint", args: ["lint"] },
    { name: "check", args: ["check"] },
    { name: "check the code of pages and doc comments", args: ["check", "--doc-only", ...documents] },
    ...entries.map((entry) => ({ name: `doc --lint ${entry}`, args: ["doc", "--lint", entry] })),
    { name: "layers", args: ["test", "-A", "--no-check", "tests/unit/layers_test.ts"] },
    { name: "publish --dry-run", args: ["publish", "--dry-run", "--allow-dirty"] },
    { name: "package", args: ["task", "package"] },
    // As the command that the README recommends, but what needs a cluster runs on one runtime a day, and the suites against a cluster
    // on another one. A test that misses a time limit beside the others runs once more, alone, and is named as unstable.
    { name: "test", args: ["run", "-A", "tests/support/run/run.ts", "--day", "--again"] },
  ];
}
