// Runs one of the programs in a process of its own, on the runtime of this process.

import { spawn } from "node:child_process";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const { deno, bun } = process.versions;
const FLAGS = deno ? ["run", "-A", "--no-check"] : bun ? ["run"] : ["--disable-warning=ExperimentalWarning"];

/** The program to start. */
export interface ChildOptions {
  /** A file of this folder. */
  readonly file: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Called with each line on its stderr. Its stdout is that of this process. */
  readonly onLine: (line: string) => void;
}

/** A running process. */
export class Child {
  /** Resolves to the exit code of the process, or to `null` if a signal killed it. Never rejects. */
  readonly ended: Promise<number | null>;
  readonly #pid: number | undefined;
  readonly #lines: string[] = [];
  readonly #listeners = new Set<() => void>();
  #gone = false;

  constructor({ file, args, env, onLine }: ChildOptions) {
    const program = fileURLToPath(new URL(file, import.meta.url));
    const child = spawn(process.execPath, [...FLAGS, program, ...args], {
      env: { ...process.env, ...env },
      stdio: ["ignore", "inherit", "pipe"],
    });
    this.#pid = child.pid;
    createInterface({ input: child.stderr }).on("line", (line) => {
      onLine(line);
      this.#lines.push(line);
      this.#notify();
    });
    this.ended = new Promise((resolve) => {
      child.once("error", () => resolve(1)); // it did not start
      child.once("close", (code) => resolve(code));
    });
    this.ended.then(() => {
      this.#gone = true;
      this.#notify();
    });
  }

  /** Waits for a line with this text; resolves to false if the process ends before. */
  async says(text: string): Promise<boolean> {
    while (!this.#lines.some((line) => line.includes(text))) {
      if (this.#gone) return false;
      await new Promise<void>((resolve) => this.#listeners.add(resolve));
    }
    return true;
  }

  /** Sends a signal to the process if it is running, and waits for its end. */
  async end(signal: "SIGTERM" | "SIGKILL"): Promise<number | null> {
    // Not child.kill(), which works only once on Deno.
    if (!this.#gone && this.#pid !== undefined) process.kill(this.#pid, signal);
    return await this.ended;
  }

  #notify(): void {
    for (const listener of this.#listeners) listener();
    this.#listeners.clear();
  }
}
