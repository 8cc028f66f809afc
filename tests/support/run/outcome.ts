// How a run ended, read from its report; and the outcomes of many runs as lines and as a table. Pure.

import { reasonsOf } from "./left_out.ts";
import { type Counts, countTests, type Failure, failuresOf, skippedIn } from "./junit.ts";
import { labelOf, type Run, RUNTIMES } from "./runs.ts";

/** How a run ended. */
export interface Outcome extends Counts {
  readonly failures: readonly Failure[];
  /** The names of the tests that were left out. */
  readonly leftOut: readonly string[];
  /** The names of tests that failed, and passed when they ran once more, alone. @default {none} */
  readonly unstable?: readonly string[];
}

/** A run and its end. */
export type Ended = readonly [Run, Outcome];

/** The outcome by a report (JUnit) and the exit code of the runtime. */
export function outcomeOf(xml: string, code: number, filter: string | undefined): Outcome {
  const counts = { ...countTests(xml), failures: failuresOf(xml), leftOut: skippedIn(xml) };
  // A failure outside of any test (a file that does not load, a crash, no test at all) is a failure too.
  const nothing = filter === undefined && counts.passed === 0;
  if (counts.failed > 0 || (code === 0 && !nothing)) return counts;
  const text = nothing ? "no test ran" : `it ended with code ${code} although no test failed`;
  return failedRun(text, counts);
}

/** The outcome of a run that failed outside of any test. */
export function failedRun(text: string, counts: Counts = { passed: 0, failed: 0, skipped: 0 }): Outcome {
  return { leftOut: [], ...counts, failed: 1, failures: [{ name: "the run as a whole", text }] };
}

/** The outcome of a run by those of its pieces. */
export function outcomeOfAll(pieces: readonly Outcome[]): Outcome {
  const sum = (what: keyof Counts) => pieces.reduce((total, piece) => total + piece[what], 0);
  return {
    passed: sum("passed"),
    failed: sum("failed"),
    skipped: sum("skipped"),
    failures: pieces.flatMap(({ failures }) => failures),
    leftOut: pieces.flatMap(({ leftOut }) => leftOut),
    unstable: pieces.flatMap(({ unstable = [] }) => unstable),
  };
}

/** Failed tests of a run, at most, that are worth a second run: more of them have one cause. */
export const MOST_REPEATED = 10;

/** The outcome of a run whose failed tests ran once more, alone. `passed` are those that passed then. */
export function afterRepeat(first: Outcome, passed: ReadonlySet<string>): Outcome {
  const unstable = first.failures.filter(({ name }) => passed.has(name)).map(({ name }) => name);
  return {
    ...first,
    passed: first.passed + unstable.length,
    failed: first.failed - unstable.length,
    failures: first.failures.filter(({ name }) => !passed.has(name)),
    unstable,
  };
}

/** Characters of a failed test's output that are repeated at the end. */
const EXCERPT = 1_500;

/** The failed tests, a line for each run, the reasons for which tests were left out, and the sum. */
export function summaryOf(all: readonly Ended[]): string {
  const lines: string[] = [];
  for (const [run, outcome] of all) {
    for (const { name, text } of outcome.failures) {
      lines.push(`\n${labelOf(run)} FAILED  ${name}\n${text.slice(0, EXCERPT)}`);
    }
  }
  for (const [run, outcome] of all) {
    for (const name of outcome.unstable ?? []) {
      lines.push(`\n${labelOf(run)} UNSTABLE  ${name}: failed, and passed when it ran alone`);
    }
  }
  lines.push("");
  for (const [run, outcome] of all) lines.push(`${labelOf(run).padEnd(4)}  ${countsOf(outcome)}`);
  const leftOut = all.flatMap(([, outcome]) => outcome.leftOut);
  for (const reason of reasonsOf(leftOut)) lines.push(`      ${reason}`);
  lines.push(`${sumOf(all, "passed")} passed, ${sumOf(all, "failed")} failed`);
  return lines.join("\n");
}

/** How many tests of all runs passed, or failed. */
export function sumOf(all: readonly Ended[], what: "passed" | "failed"): number {
  return all.reduce((total, [, outcome]) => total + outcome[what], 0);
}

function countsOf({ passed, failed, skipped }: Counts): string {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} left out` : ""}`;
}

/** A Markdown table: a row for each server and cluster, a column for each runtime. Then the failed tests. */
export function tableOf(
  all: readonly Ended[],
  names: { readonly server: (run: Run) => string; readonly runtime: (run: Run) => string },
): string {
  const headers = RUNTIMES.map((runtime) => {
    const run = all.map(([run]) => run).find((run) => run.runtime === runtime);
    return run === undefined ? runtime : names.runtime(run);
  });
  const rows = new Map<string, Map<string, string>>();
  for (const [run, outcome] of all) {
    const name = `${names.server(run)}${run.cluster ? ", cluster of three" : ""}`;
    const row = rows.get(name) ?? new Map<string, string>();
    row.set(run.runtime, countsOf(outcome));
    rows.set(name, row);
  }
  const lines = [["server", ...headers], headers.map(() => "---").concat("---")];
  for (const [name, row] of rows) lines.push([name, ...RUNTIMES.map((runtime) => row.get(runtime) ?? "–")]);
  const failures = all.flatMap(([run, outcome]) => outcome.failures.map(({ name }) => `- ${labelOf(run)}: ${name}`));
  const table = lines.map((cells) => `| ${cells.join(" | ")} |`).join("\n");
  return failures.length > 0 ? `${table}\n\nFailed:\n\n${failures.join("\n")}` : table;
}
