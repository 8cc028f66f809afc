// Runs programs in a real terminal: util-linux' `script`, which is part of every Debian, gives them one.

import { type ChildProcess, spawn } from "node:child_process";
import { env, platform } from "node:process";
import { onPath } from "../servers/server_binary.ts";

/** Whether there is no `script` here, or one with other options. */
export const noTerminal: boolean = platform !== "linux" || await onPath("script") === undefined;

/** Options of {@linkcode Pty}. */
export interface PtyOptions {
  /** The width in characters. @default {80} */
  readonly columns?: number;
  /** Variables in addition to those of the tests. */
  readonly env?: Readonly<Record<string, string>>;
}

/** A terminal in which a shell runs one command line. */
export class Pty implements AsyncDisposable {
  /** Everything that was written to the terminal, echoed input included. */
  shown = "";
  /** Resolves to the exit code of the command line. */
  readonly ended: Promise<number | null>;
  readonly #process: ChildProcess;
  #gone = false;
  #wake = Promise.withResolvers<void>();

  constructor(line: string, options: PtyOptions = {}) {
    const { REDIS_URL: _, NO_COLOR: __, ...rest } = env;
    const command = `stty cols ${options.columns ?? 80} rows 30; exec ${line}`;
    this.#process = spawn("script", ["-qfec", command, "/dev/null"], {
      env: { ...rest, SHELL: "/bin/sh", ...options.env },
      stdio: ["pipe", "pipe", "pipe"],
    });
    const decoder = new TextDecoder();
    this.#process.stdout?.on("data", (chunk: Uint8Array) => {
      this.shown += decoder.decode(chunk, { stream: true });
      this.#woken();
    });
    this.#process.stdin?.on("error", () => {}); // the command line may have ended
    this.ended = new Promise((resolve) =>
      this.#process.once("close", (code) => {
        this.#gone = true;
        this.#woken();
        resolve(code);
      })
    );
  }

  /** Types characters; `"\u0003"` is Ctrl-C, `"\u0004"` Ctrl-D. */
  type(characters: string): void {
    this.#process.stdin?.write(characters);
  }

  /** Waits until the terminal has shown something. */
  async until(condition: (shown: string) => boolean): Promise<void> {
    while (!condition(this.shown)) {
      if (this.#gone) throw new Error(`The command line ended first: ${this.shown.slice(-2_000)}`);
      await this.#wake.promise;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // The terminal's end hangs up what runs in it.
    if (!this.#gone) this.#process.kill("SIGTERM");
    await this.ended;
  }

  #woken(): void {
    const { resolve } = this.#wake;
    this.#wake = Promise.withResolvers();
    resolve();
  }
}

/** The lines of a terminal's output without styles and cursor movements; a redrawn line counts as several. */
export function linesShown(shown: string): string[] {
  // deno-lint-ignore no-control-regex -- control characters are what is removed
  return shown.replace(/\x1b\[[0-9;?]*[A-Za-z]/g, "").split(/\r\n|\r|\n/);
}
