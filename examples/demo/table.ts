// Owns the words and figures at the end. Must not know how they came about.

import type { Tally } from "./tally.ts";

/** One run of sender and receiver. */
export interface Run {
  readonly startedAt: number;
  readonly sent: Tally;
  readonly received: Tally;
}

/** What the table is made of. */
export interface Result {
  /** As fast as it went. */
  readonly full: Run;
  /** At a steady pace. */
  readonly steady: Run;
  /** Messages per second of that. */
  readonly pace: number;
  /** Resident bytes of this process. */
  readonly memory: { readonly before: number; readonly most: number };
  readonly reconnects: number;
}

/** Whether what arrived is what was sent: as many messages, the same bytes, the same order. */
export function isProven({ full, steady }: Result): boolean {
  return [full, steady].every(isSame);
}

/** The table and the verdict. */
export function formatResult(result: Result): string {
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
    ...latency("latency at full speed, in the queue", full),
  ];
  const lines = [
    align(rows),
    "",
    `Memory of this process, both sides in it: ${mebibytes(memory.before)} before, ${mebibytes(memory.most)} at most`,
    ...reconnects > 0 ? [`The connection was lost: ${count(reconnects)} attempts to reconnect`] : [],
    ...verdict(result),
  ];
  return `${lines.join("\n")}\n`;
}

/** A whole number for people. */
export function count(number: number): string {
  return Math.round(number).toLocaleString("en");
}

function isSame({ sent, received }: Run): boolean {
  return sent.count === received.count && sent.bytes === received.bytes && sent.hash === received.hash;
}

function verdict(result: Result): string[] {
  const { full, steady, pace } = result;
  if (isProven(result)) {
    const also = `${count(steady.sent.count)} more at ${count(pace)} messages/s`;
    return [
      `✓ What arrived is what was sent: ${count(full.sent.count)} messages and ${also}, in order, byte for byte`,
      `  SHA-256 ${full.sent.hash}`,
    ];
  }
  return [full, steady].filter((run) => !isSame(run)).flatMap((run) => [
    `✗ What arrived is NOT what was sent: ${difference(run, result.reconnects)}`,
    `  sent     SHA-256 ${run.sent.hash}`,
    `  received SHA-256 ${run.received.hash}`,
  ]);
}

function difference({ sent, received }: Run, reconnects: number): string {
  const missing = sent.count - received.count;
  if (missing > 0) return `${count(missing)} messages are missing`;
  if (missing < 0) {
    const why = reconnects > 0
      ? " (at-least-once: what is in flight when a connection breaks can be stored twice)"
      : "";
    return `${count(-missing)} messages more than were sent${why}`;
  }
  return "as many messages, but other bytes or another order";
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

/** First column to the left, the others to the right. */
function align(rows: readonly (readonly string[])[]): string {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  return rows
    .map((row) => row.map((cell, i) => i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i])).join("   "))
    .join("\n");
}
