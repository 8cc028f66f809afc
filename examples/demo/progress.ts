// Owns what is seen while the demo runs: two bars on a terminal, else a line now and then. Must not know what is counted.

import process from "node:process";
import { MultiBar } from "cli-progress";
import { count } from "./table.ts";

/** What is shown. */
export interface Shown {
  /** How many messages there will be. */
  readonly total: number;
  readonly sent: { readonly count: number };
  readonly received: { readonly count: number };
}

/** Shows how far it is. */
export interface Progress {
  /** Says something beside it. */
  note(text: string): void;
  /** Shows the end and gives the terminal back; a second call does nothing. */
  stop(): void;
}

/** Shows it on stderr; stdout is for the result. */
export function showProgress(shown: Shown): Progress {
  return process.stderr.isTTY ? showBars(shown) : showLines(shown);
}

function showBars({ total, sent, received }: Shown): Progress {
  const bars = new MultiBar({
    format: "{name}  {bar}  {percentage} %  {messages} messages  {speed}/s",
    barCompleteChar: "█",
    barIncompleteChar: "░",
    barsize: 30,
    hideCursor: true,
    gracefulExit: false, // Ctrl-C is the demo's business
  });
  const started = performance.now();
  const rows = [{ name: "sent    ", tally: sent }, { name: "received", tally: received }].map((row) => ({
    ...row,
    bar: bars.create(total, 0, { name: row.name, messages: "0", speed: "0" }),
    shown: 0,
  }));
  return ticking(100, {
    tick: () => {
      const seconds = (performance.now() - started) / 1_000;
      for (const row of rows) {
        if (row.shown === row.tally.count) continue; // what is complete keeps its speed
        row.shown = row.tally.count;
        row.bar.update(row.shown, { messages: count(row.shown), speed: count(row.shown / seconds) });
      }
    },
    note: (text) => bars.log(`${text}\n`),
    stop: () => {
      bars.update(); // with what was noted since the last time
      bars.stop();
    },
  });
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
