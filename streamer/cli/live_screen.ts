// A screen that is drawn again and again in place of what stood on the terminal, which is given back as it was. It must not know
// what is drawn.

import type { System } from "./system.ts";

const ENTER = "\x1b[?1049h\x1b[?25l"; // the other screen, without a cursor
const LEAVE = "\x1b[?25h\x1b[?1049l";
const TOP = "\x1b[H";
const REST_OF_LINE = "\x1b[K";
const REST_OF_SCREEN = "\x1b[J";
const CTRL_C = "\u0003";

/** Takes the terminal. */
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

  /** Is aborted when somebody has had enough. */
  get stopped(): AbortSignal {
    return this.#stopped.signal;
  }

  /** Draws lines, as many as there is room for. */
  draw(lines: readonly string[], height: number): void {
    const room = Math.max(1, height);
    const all = lines.length <= room ? lines : [...lines.slice(0, room - 1), `… ${lines.length - room + 1} more lines`];
    this.#system.screen.write(
      `${TOP}${all.map((line) => line + REST_OF_LINE).join("\r\n")}${REST_OF_SCREEN}`,
    );
  }

  [Symbol.dispose](): void {
    this.#release();
    this.#system.screen.write(LEAVE);
  }
}
