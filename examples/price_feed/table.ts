// Formats the result: a table and a verdict.

import type { Candle, Candles } from "./candles.ts";

/** The table and the verdict. */
export function formatTable({ bySymbol, byProcessor, complete }: Candles): string {
  const candles = [...bySymbol.values()];
  const total = {
    ticks: sum(candles.map(({ ticks }) => ticks)),
    reflected: sum(candles.map(({ reflected }) => reflected)),
    repeated: sum(candles.map(({ repeated }) => repeated)),
    missing: sum(candles.map(({ missing }) => missing)),
  };
  const rows = [
    ["", "ticks", "reflected", "repeated", "missing", "open", "high", "low", "close"],
    ...[...bySymbol].map(([symbol, candle]) => [symbol, ...counts(candle), ...prices(candle)]),
    ["all", ...counts(total)],
  ];
  const shares = [...byProcessor].sort().map(([name, quotes]) => `${whole(quotes)} by ${name}`);
  const verdict = complete
    ? `✓ Nothing is missing: each of ${whole(total.ticks)} ticks has become a quote`
    : `✗ ${total.missing === undefined ? "Not every bell has arrived" : `${whole(total.missing)} ticks are MISSING`}`;
  return [align(rows), "", `Quotes: ${shares.join(", ") || "none"}`, verdict].join("\n");
}

type Counts = Readonly<Record<"ticks" | "reflected" | "repeated" | "missing", number | undefined>>;

function counts({ ticks, reflected, repeated, missing }: Counts): string[] {
  return [ticks, reflected, repeated, missing].map(whole);
}

function prices({ open, high, low, close }: Candle): string[] {
  return [open, high, low, close].map((price) => price?.toFixed(2) ?? "–");
}

/** The sum; `undefined` if a number is unknown. */
function sum(numbers: readonly (number | undefined)[]): number | undefined {
  const known = numbers.filter((number) => number !== undefined);
  return known.length === numbers.length ? known.reduce((total, number) => total + number, 0) : undefined;
}

function whole(number: number | undefined): string {
  return number?.toLocaleString("en") ?? "?";
}

/** Aligns the first column to the left and the others to the right. */
function align(rows: readonly (readonly string[])[]): string {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]) =>
    row.map((cell, i) => i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i])).join("  ");
  return rows.map(line).join("\n");
}
