// One of the programs in a process of its own, on the runtime that runs this one. It must not know what the program does.

import { spawn } from "node:child_process";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const { deno, bun } = process.versions;
const FLAGS = deno ? ["run", "-A", "--no-check"] : bun ? ["run"] : ["--disable-warning=ExperimentalWarning"];

/** What is started. */
export interface ChildOptions {
  /** A file of this folder. */
  readonly file: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Is told each line that it says, on stderr: what it prints on stdout is its result, and goes where ours goes. */
  readonly onLine: (line: string) => void;
}

/** A process, from its start to its end. */
export class Child {
  /** Resolves when it has ended: with its exit code, or `null` where a signal has killed it. Never rejects. */
  readonly ended: Promise<number | null>;
  readonly #pid: number | undefined;
  readonly #said: string[] = [];
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
      this.#said.push(line);
      this.#tell();
    });
    this.ended = new Promise((resolve) => {
      child.once("error", () => resolve(1)); // it could not be started
      child.once("close", (code) => resolve(code));
    });
    this.ended.then(() => {
      this.#gone = true;
      this.#tell();
    });
  }

  /** Waits until it has said that; gives false where it has ended without. */
  async says(text: string): Promise<boolean> {
    while (!this.#said.some((line) => line.includes(text))) {
      if (this.#gone) return false;
      await new Promise<void>((resolve) => this.#listeners.add(resolve));
    }
    return true;
  }

  /** Sends it a signal, if it is still there, and waits for its end. */
  async end(signal: "SIGTERM" | "SIGKILL"): Promise<number | null> {
    // Not child.kill(): on Deno it works once.
    if (!this.#gone && this.#pid !== undefined) process.kill(this.#pid, signal);
    return await this.ended;
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
    this.#listeners.clear();
  }
}
