// Shows the progress of the demo: two bars on a terminal, otherwise a line every two seconds.

import process from "node:process";
import { columnsOf, type Paint, paintFor, wrap } from "./screen.ts";
import { count } from "./table.ts";

/** The figures to show. */
export interface Shown {
  /** The number of messages at the end. */
  readonly total: number;
  readonly sent: { readonly count: number };
  readonly received: { readonly count: number };
}

/** A running progress display. */
export interface Progress {
  /** Prints a sentence above the bars. */
  note(text: string): void;
  /** Draws the final state and restores the terminal. A second call does nothing. */
  stop(): void;
}

/** Shows progress on stderr; stdout is for the result. */
export function showProgress(shown: Shown): Progress {
  return process.stderr.isTTY ? showBars(shown) : showLines(shown);
}

const WIDEST_BAR = 30;
const NARROWEST_BAR = 5;
const HIDE_CURSOR = "\x1b[?25l";
const SHOW_CURSOR = "\x1b[?25h";
const CLEAR_LINE = "\x1b[K";

interface Row {
  readonly name: string;
  readonly tally: { readonly count: number };
  /** Messages at the last change, and their rate then: a finished row keeps its rate. */
  seen: number;
  rate: number;
}

function showBars({ total, sent, received }: Shown): Progress {
  const { stderr } = process;
  const paint = paintFor(stderr);
  const started = performance.now();
  const rows: Row[] = [
    { name: "sent", tally: sent, seen: 0, rate: 0 },
    { name: "received", tally: received, seen: 0, rate: 0 },
  ];
  let drawn = false;
  const draw = (above: readonly string[] = []) => {
    const seconds = (performance.now() - started) / 1_000;
    for (const row of rows) {
      if (row.seen === row.tally.count) continue;
      row.seen = row.tally.count;
      row.rate = row.seen / seconds;
    }
    const lines = [...above, ...rows.map((row) => barLine(row, { total, columns: columnsOf(stderr), paint }))];
    const back = drawn ? `\x1b[${rows.length}A\r` : HIDE_CURSOR;
    stderr.write(`${back}${lines.map((line) => `${line}${CLEAR_LINE}\n`).join("")}`);
    drawn = true;
  };
  draw();
  return ticking(100, {
    tick: draw,
    note: (text) => draw(wrap(text, columnsOf(stderr))),
    stop: () => stderr.write(SHOW_CURSOR),
  });
}

interface BarOptions {
  readonly total: number;
  readonly columns: number;
  readonly paint: Paint;
}

/** One bar; it becomes shorter, or disappears, on a narrow terminal. */
export function barLine(
  { name, seen, rate }: Pick<Row, "name" | "seen" | "rate">,
  { total, columns, paint }: BarOptions,
): string {
  const share = total > 0 ? Math.min(1, seen / total) : 1;
  const whole = count(total);
  const parts = [
    `${Math.floor(share * 100)} %`.padStart(5),
    `${count(seen).padStart(whole.length)} of ${whole}`,
    `${count(rate)}/s`.padStart(9),
  ];
  const label = name.padEnd("received".length);
  // The last column stays empty, since some terminals wrap a full line.
  const room = columns - 1 - label.length - parts.reduce((sum, part) => sum + 2 + part.length, 0) - 2;
  if (room < NARROWEST_BAR) return [label, ...parts].join("  ").slice(0, Math.max(0, columns - 1));
  const width = Math.min(WIDEST_BAR, room);
  const full = Math.round(share * width);
  const bar = paint("█".repeat(full), "green") + paint("░".repeat(width - full), "dim");
  return [label, bar, ...parts].join("  ");
}

function showLines({ total, sent, received }: Shown): Progress {
  const tick = () => say(`sent ${count(sent.count)}, received ${count(received.count)} of ${count(total)}`);
  return ticking(2_000, { tick, note: say, stop: () => {} });
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

interface Show extends Progress {
  tick(): void;
}

function ticking(interval: number, { tick, note, stop }: Show): Progress {
  const timer = setInterval(tick, interval);
  let stopped = false;
  return {
    note: (text) => stopped ? say(text) : note(text),
    stop: () => {
      if (stopped) return;
      stopped = true;
      clearInterval(timer);
      tick();
      stop();
    },
  };
}
