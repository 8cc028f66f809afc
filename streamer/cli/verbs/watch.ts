// `info --watch`: reads figures again and again, and shows them as a live table or as lines. A server that is away ends neither.

import { systemClock } from "../../../resp/connection/clock.ts";
import { classOf, isPassing } from "../../../resp/connection/server_errors.ts";
import { escapeControls, StreamerError } from "../../../resp/errors.ts";
import type { RedisStreamer } from "../../streamer.ts";
import { sentence } from "../failure.ts";
import { plural } from "../screen/figures.ts";
import { type NodeRow, nodeTable } from "../screen/node_table.ts";
import { LiveScreen } from "../screen/live_screen.ts";
import { Rates, type StreamRow } from "../screen/rates.ts";
import { ServerStatus } from "../screen/status.ts";
import { infoTable, painted, shortened, type Style } from "../screen/table.ts";
import type { System } from "../system.ts";
import type { Note } from "./session.ts";

/** What to watch. */
export interface WatchOptions {
  /** Reads the current figures. */
  readonly read: (signal: AbortSignal) => Promise<StreamRow[]>;
  /** Milliseconds between reads. */
  readonly interval: number;
}

/** Options of {@linkcode watchLines}. */
export interface LinesOptions extends WatchOptions {
  /** Prints figures; resolves to false if nobody reads them. */
  readonly show: (rows: readonly StreamRow[], rates: Rates) => Promise<boolean>;
  readonly note: Note;
}

/** Prints the figures again and again, until a signal or until the reader has gone away. */
export async function watchLines(
  system: System,
  { read, interval, show, note }: LinesOptions,
): Promise<void> {
  const { signal } = system;
  const rates = new Rates();
  while (!signal.aborted) {
    const started = system.now();
    try {
      const rows = await read(signal);
      rates.add(rows, started);
      if (!await show(rows, rates)) return;
    } catch (error) {
      if (signal.aborted) return;
      if (!isTemporary(error)) throw error;
      note(`No figures, trying again: ${sentence(error)}`);
    }
    await pause(interval, signal);
  }
}

/** Options of {@linkcode watchLive}. */
export interface LiveOptions extends WatchOptions {
  readonly streamer: RedisStreamer;
  /** The server, for the first line. */
  readonly title: string;
  /** The nodes of now; `undefined` if they are not wanted. */
  readonly nodes: () => readonly NodeRow[] | undefined;
}

/** Milliseconds between redraws while the server is away. */
const REDRAW = 500;

/** Draws the figures on the whole terminal until q, Ctrl-C or a signal. */
export async function watchLive(
  system: System,
  { read, interval, streamer, title, nodes }: LiveOptions,
): Promise<void> {
  using screen = new LiveScreen(system);
  const signal = AbortSignal.any([screen.stopped, system.signal]);
  const rates = new Rates();
  const status = new ServerStatus(streamer, () => system.now(), () => draw());
  const color = !system.env("NO_COLOR");
  let rows: readonly StreamRow[] | undefined;
  let readAt = 0;
  let ended = false;
  const draw = () => {
    if (ended || signal.aborted) return;
    const { columns, rows: height } = system.screen;
    const paint = (text: string, style: Style) => color ? painted(text, style) : text;
    const time = rows === undefined ? "" : `${new Date(readAt).toISOString().slice(11, 19)}Z   `;
    const count = rows === undefined ? "" : `${plural(rows.length, "stream")}   `;
    const trouble = status.text();
    const known = nodes();
    screen.draw([
      shortened(`${title}   ${count}${time}q quits`, columns),
      trouble === undefined ? "" : paint(shortened(escapeControls(trouble), columns), "red"),
      ...(rows === undefined ? [] : infoTable(rows, { columns, color, rates })),
      ...(known === undefined ? [] : ["", ...nodeTable(known, { columns, color })]),
    ], height);
  };
  const timer = setInterval(() => {
    if (status.text() !== undefined) draw();
  }, REDRAW);
  try {
    draw();
    while (!signal.aborted) {
      const started = system.now();
      status.requested();
      try {
        const current = await read(signal);
        rates.add(current, started);
        [rows, readAt] = [current, started];
        status.answered();
      } catch (error) {
        if (signal.aborted) return;
        if (!isTemporary(error)) throw error;
        status.failed(error);
      }
      draw();
      await pause(interval, signal);
    }
  } finally {
    ended = true; // the end of the connection is an event too
    clearInterval(timer);
  }
}

const AWAY: readonly string[] = ["DISCONNECTED", "TIMEOUT", "CONNECT"];

/** Whether the same request may succeed later. */
function isTemporary(error: unknown): boolean {
  return isPassing(classOf(error)) || (error instanceof StreamerError && AWAY.includes(error.code));
}

/** Waits, or until the signal is aborted. */
async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = systemClock.after(milliseconds, resolve);
  const stop = () => resolve();
  signal.addEventListener("abort", stop);
  if (signal.aborted) resolve();
  await promise;
  signal.removeEventListener("abort", stop);
  timer.stop();
}
