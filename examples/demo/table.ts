// Formats the result of the demo: a table and a verdict.

import { type Paint, wrap } from "./screen.ts";
import type { Tally } from "./tally.ts";

/** One run of sender and receiver. */
export interface Run {
  readonly startedAt: number;
  readonly sent: Tally;
  readonly received: Tally;
}

/** The result of the demo. */
export interface Result {
  /** The run at full speed. */
  readonly full: Run;
  /** The run at a steady pace. */
  readonly steady: Run;
  /** Messages per second of the steady run. */
  readonly pace: number;
  /** Resident memory of this process, in bytes. */
  readonly memory: { readonly before: number; readonly most: number };
  readonly reconnects: number;
}

/** Whether all messages arrived: the same number, bytes and order. */
export function isProven({ full, steady }: Result): boolean {
  return [full, steady].every(isSame);
}

/** How the result is shown. */
export interface Layout {
  /** The width in characters. */
  readonly columns: number;
  readonly paint: Paint;
}

/** The table and the verdict. */
export function formatResult(result: Result, layout: Layout): string {
  const { full, steady, pace, memory, reconnects } = result;
  const seconds = (tally: Tally) => (tally.endedAt - full.startedAt) / 1_000;
  const row = (name: string, cell: (tally: Tally) => string, { sent, received }: Run = full) => [
    name,
    cell(sent),
    cell(received),
  ];
  const latency = (title: string, run: Run) => [
    [title, "to receipt", "to receive"],
    row("  p50, ms", (tally) => fixed(tally.latencies.percentile(0.5), 2), run),
    row("  p99, ms", (tally) => fixed(tally.latencies.percentile(0.99), 2), run),
    row("  messages timed", (tally) => count(tally.latencies.size), run),
  ];
  const rows = [
    ["", "sent", "received"],
    row("messages", (tally) => count(tally.count)),
    row("MB of text", (tally) => fixed(tally.bytes / 1e6)),
    row("seconds", (tally) => fixed(seconds(tally), 2)),
    row("messages/s", (tally) => count(tally.count / seconds(tally))),
    row("MB/s", (tally) => fixed(tally.bytes / 1e6 / seconds(tally))),
    row("SHA-256", (tally) => `${tally.hash.slice(0, 8)}…${tally.hash.slice(-8)}`),
    ...latency(`latency at ${count(pace)} messages/s`, steady),
    ...latency("latency at full speed", full),
  ];
  const { columns, paint } = layout;
  const memoryText = `Memory of this process: ${mebibytes(memory.before)} before, ${mebibytes(memory.most)} at most`;
  const lines = [
    ...align(rows).map((line, i) => isHeading(rows[i]) ? paint(line, "bold") : line),
    "",
    ...wrap(memoryText, columns),
    ...reconnects > 0 ? wrap(`The connection was lost: ${count(reconnects)} reconnect attempts`, columns) : [],
    ...verdict(result, layout),
  ];
  return `${lines.join("\n")}\n`;
}

/** Whether a row is a heading: its cells are words. */
function isHeading([name, ...cells]: readonly string[]): boolean {
  return name === "" || cells.every((cell) => cell.startsWith("to "));
}

/** A whole number with separators. */
export function count(number: number): string {
  return Math.round(number).toLocaleString("en");
}

function isSame({ sent, received }: Run): boolean {
  return sent.count === received.count && sent.bytes === received.bytes && sent.hash === received.hash;
}

function verdict(result: Result, { columns, paint }: Layout): string[] {
  const { full, steady, pace } = result;
  if (isProven(result)) {
    const also = `${count(steady.sent.count)} at ${count(pace)} messages/s`;
    const text = `✓ All messages arrived in order, byte for byte: ${count(full.sent.count)} at full speed, ${also}`;
    return [
      ...wrap(text, columns).map((line) => paint(line, "green")),
      `  SHA-256 ${full.sent.hash}`,
    ];
  }
  return [full, steady].filter((run) => !isSame(run)).flatMap((run) => [
    ...wrap(`✗ The received messages DIFFER: ${difference(run, result.reconnects)}`, columns)
      .map((line) => paint(line, "red")),
    `  sent     SHA-256 ${run.sent.hash}`,
    `  received SHA-256 ${run.received.hash}`,
  ]);
}

function difference({ sent, received }: Run, reconnects: number): string {
  const missing = sent.count - received.count;
  if (missing > 0) return `${count(missing)} messages are missing`;
  if (missing < 0) {
    const why = reconnects > 0 ? " (at least once: a message in flight at a lost connection can be stored twice)" : "";
    return `${count(-missing)} more than were sent${why}`;
  }
  return "the same number of messages, but other bytes or another order";
}

function fixed(number: number | undefined, digits = 1): string {
  return number === undefined || !Number.isFinite(number) ? "–" : number.toLocaleString("en", {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  });
}

function mebibytes(bytes: number): string {
  return `${count(bytes / 1024 / 1024)} MiB`;
}

/** Aligns the first column to the left and the others to the right. */
function align(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  return rows.map((row) =>
    row.map((cell, i) => i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i])).join("   ")
  );
}
