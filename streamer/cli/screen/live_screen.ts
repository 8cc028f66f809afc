// Draws a full screen on the terminal again and again, and restores the previous content at the end.

import type { System } from "../system.ts";

const ENTER = "\x1b[?1049h\x1b[?25l"; // the alternate screen, without a cursor
const LEAVE = "\x1b[?25h\x1b[?1049l";
const TOP = "\x1b[H";
const REST_OF_LINE = "\x1b[K";
const REST_OF_SCREEN = "\x1b[J";
const CTRL_C = "\u0003";

/** Occupies the terminal until it is disposed. */
export class LiveScreen implements Disposable {
  readonly #system: System;
  readonly #stopped = new AbortController();
  readonly #release: () => void;

  constructor(system: System) {
    this.#system = system;
    this.#release = system.listenToKeys((key) => {
      if (key === "q" || key === "Q" || key === CTRL_C) this.#stopped.abort();
    });
    system.screen.write(ENTER);
  }

  /** Aborted when the user presses q or Ctrl-C. */
  get stopped(): AbortSignal {
    return this.#stopped.signal;
  }

  /** Draws lines, as many as fit. */
  draw(lines: readonly string[], height: number): void {
    const most = Math.max(1, height);
    const all = lines.length <= most ? lines : [...lines.slice(0, most - 1), `… ${lines.length - most + 1} more lines`];
    this.#system.screen.write(
      `${TOP}${all.map((line) => line + REST_OF_LINE).join("\r\n")}${REST_OF_SCREEN}`,
    );
  }

  [Symbol.dispose](): void {
    this.#release();
    this.#system.screen.write(LEAVE);
  }
}
