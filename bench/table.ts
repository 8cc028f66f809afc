// Formats the results for a terminal.

import { type Figure, FIGURES } from "./plan.ts";
import type { Bound, Verdict } from "./marks.ts";
import type { Summary } from "./statistics.ts";

const TITLES: Readonly<Record<Figure, string>> = {
  produce: "Produce: XADD on one connection",
  consume: "Consume: XREAD of a backlog, pages of 1000 unless said",
  group: "Group: XREADGROUP and XACK of a backlog, pages of 100 unless said, load-balanced of 10",
  relay: "Relay: from one stream to another in a group, acked after the receipt",
  decode: "Decode: captured replies to XREAD, in pieces of 64 KiB",
  latency: "End to end: from send to receipt, at a steady pace",
  memory: "Memory: sends that respect `ready`",
  file: "File: a .ss file written and read",
  dump: "Dump: a stream to a file by the command line, and back",
};

/** One table for each figure, and one for the marks. */
export function formatTables(summaries: readonly Summary[], verdicts: readonly Verdict[]): string {
  const parts = FIGURES.flatMap((figure) => {
    const rows = summaries.filter((summary) => summary.figure === figure);
    return rows.length === 0 ? [] : [`${TITLES[figure]}\n\n${align(rowsOf(figure, rows))}`];
  });
  if (verdicts.length > 0) parts.push(`Marks\n\n${align(rowsOfVerdicts(verdicts))}`);
  return parts.join("\n\n") + "\n";
}

function rowsOf(figure: Figure, summaries: readonly Summary[]): string[][] {
  const columns: readonly (readonly [string, (summary: Summary) => string])[] = [
    ["", ({ name }) => label(figure, name)],
    // At a steady pace, the rate is an input, not a result.
    ["k messages/s", ({ rate }) => figure === "latency" ? "" : fixed(rate / 1_000, 0)],
    ["MB/s", ({ megabytes }) => fixed(megabytes, 0)],
    ["of the limit", ({ ofLimit }) => fixed(ofLimit, 2)],
    ["client CPU µs", ({ clientUs }) => fixed(clientUs, 2)],
    ["server CPU µs", ({ serverUs }) => fixed(serverUs, 2)],
    ["p50 µs", ({ p50 }) => fixed(p50, 0)],
    ["p99 µs", ({ p99 }) => fixed(p99, 0)],
    ["resident MiB", ({ residentMiB }) => fixed(residentMiB, 0)],
    ["over base MiB", ({ growthMiB }) => fixed(growthMiB, 0)],
    ["rounds", ({ rounds }) => String(rounds)],
  ];
  const used = columns.filter(([, cell]) => summaries.some((summary) => cell(summary) !== ""));
  return [used.map(([title]) => title), ...summaries.map((summary) => used.map(([, cell]) => cell(summary)))];
}

function rowsOfVerdicts(verdicts: readonly Verdict[]): string[][] {
  return [
    ["", "", "measured", "first mark", "", "full mark", ""],
    ...verdicts.map(({ name, what, value, first, full }) => [
      name.replace("/streamer-redis/", ": "),
      what,
      fixed(value, value < 20 ? 2 : 0),
      ...cells(first),
      ...cells(full),
    ]),
  ];
}

function cells(bound: Bound | undefined): [string, string] {
  return bound ? [bound.text, bound.reached ? "reached" : "NOT reached"] : ["", ""];
}

function label(figure: Figure, name: string): string {
  return name.slice(figure.length + 1).replace("/", ", ").replace(/^limit\b/, "yardstick");
}

/** A number with so many digits; nothing for none. */
export function fixed(value: number | null, digits: number): string {
  return value === null ? "" : value.toFixed(digits);
}

/** Aligns the first column to the left and the others to the right. */
export function align(rows: readonly (readonly string[])[]): string {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  return rows
    .map((row) =>
      row.map((cell, i) => i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i])).join("  ").trimEnd()
    )
    .join("\n");
}
