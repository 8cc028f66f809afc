// A program of its own, on the runtime that runs the tests: arguments, stdin, output, signals and exit code.

import { type ChildProcess, spawn } from "node:child_process";
import { constants } from "node:os";
import { env, execPath, kill } from "node:process";
import { PROGRAM_FLAGS } from "../run/invocation.ts";
import { runtime } from "../runner.ts";

/** How a program is started. */
export interface ProgramOptions {
  readonly args?: readonly string[];
  /** Variables beside those of the tests. `undefined` removes one. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** What the runtime is called with. @default {what resolves the package's name and those of the tests} */
  readonly flags?: readonly string[];
}

/** A running program. */
export class Program implements AsyncDisposable {
  /** What it has printed so far. */
  stdout = "";
  stderr = "";
  /** What it has printed to stdout, as bytes. */
  readonly chunks: Uint8Array[] = [];
  /** Resolves to the exit code as a shell gives it: 128 and the signal's number if a signal ended the process. */
  readonly exited: Promise<number | null>;
  readonly #process: ChildProcess;
  #isGone = false;
  #wake = Promise.withResolvers<void>();

  constructor(path: string, { args = [], env: variables = {}, flags = PROGRAM_FLAGS[runtime] }: ProgramOptions = {}) {
    this.#process = spawn(execPath, [...flags, path, ...args], {
      env: { ...env, ...variables },
      stdio: ["pipe", "pipe", "pipe"],
    });
    for (const name of ["stdout", "stderr"] as const) {
      const decoder = new TextDecoder();
      this.#process[name]?.on("data", (chunk: Uint8Array) => {
        if (name === "stdout") this.chunks.push(chunk);
        this[name] += decoder.decode(chunk, { stream: true });
        this.#stir();
      });
    }
    this.stdin.on("error", () => {}); // it may have exited before it has read everything
    this.exited = new Promise((resolve) =>
      this.#process.once("close", (code, signal) => {
        this.#isGone = true;
        this.#stir();
        resolve(exitCodeOf(code, signal));
      })
    );
  }

  /** Its standard input. */
  get stdin(): NonNullable<ChildProcess["stdin"]> {
    const { stdin } = this.#process;
    if (stdin === null) throw new Error("The program has no stdin");
    return stdin;
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  get isGone(): boolean {
    return this.#isGone;
  }

  /** All that it has printed. */
  get output(): string {
    return `${this.stdout}${this.stderr}`;
  }

  /** Resolves when it prints something, or ends. */
  stirred(): Promise<void> {
    return this.#wake.promise;
  }

  /** Waits until the condition holds for its output. */
  async until(condition: (program: this) => boolean): Promise<void> {
    while (!condition(this)) {
      if (this.#isGone) throw new Error(`It ended before that was so: ${this.stdout.slice(-300)}${this.stderr}`);
      await this.stirred();
    }
  }

  /** Sends a signal. By the process id: on Deno a child that its own object has killed does not report its exit code. */
  signal(signal: "SIGINT" | "SIGTERM" | "SIGKILL"): void {
    if (!this.#isGone && this.#process.pid !== undefined) kill(this.#process.pid, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.signal("SIGKILL");
    await this.exited;
  }

  #stir(): void {
    const { resolve } = this.#wake;
    this.#wake = Promise.withResolvers();
    resolve();
  }
}

/** The exit code as a shell gives it. */
export function exitCodeOf(code: number | null, signal: NodeJS.Signals | null): number | null {
  return signal === null ? code : 128 + constants.signals[signal];
}
