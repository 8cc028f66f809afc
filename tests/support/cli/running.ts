// Runs the command line as a process, on the runtime that runs the tests: arguments, input and output, signals, exit
// code.

import { type ChildProcess, spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { constants } from "node:os";
import { env, execPath, kill } from "node:process";
import { fileURLToPath } from "node:url";
import { runtime } from "../runner.ts";

const program = fileURLToPath(new URL("../../../cli.ts", import.meta.url));
const flags = {
  deno: ["run", "-A", "--no-check"],
  bun: ["run"],
  node: ["--disable-warning=ExperimentalWarning"],
}[runtime];

/** Input of a run. */
export interface RunOptions {
  /** The text of stdin. Empty by default. */
  readonly input?: string | Uint8Array;
  /** Variables beside those of the tests. */
  readonly env?: Readonly<Record<string, string>>;
}

/** How a run ended. */
export interface Ended {
  /** The exit code as a shell gives it: 128 and the signal's number if a signal ended the process. */
  readonly code: number | null;
  readonly bytes: Uint8Array;
  readonly stdout: string;
  readonly stderr: string;
}

/** A run in progress. */
export class Running implements AsyncDisposable {
  stdout = "";
  stderr = "";
  /** The most that it had resident, in kB, as far as it was looked at. */
  peak = 0;
  readonly ended: Promise<Ended>;
  readonly #process: ChildProcess;
  readonly #chunks: Uint8Array[] = [];
  #gone = false;
  #wake = Promise.withResolvers<void>();

  constructor(words: readonly string[], options: RunOptions = {}) {
    const { REDIS_URL: _, NO_COLOR: __, ...rest } = env;
    this.#process = spawn(execPath, [...flags, program, ...words], {
      env: { ...rest, ...options.env },
      stdio: ["pipe", "pipe", "pipe"],
    });
    const decoders = { stdout: new TextDecoder(), stderr: new TextDecoder() };
    for (const name of ["stdout", "stderr"] as const) {
      this.#process[name]?.on("data", (chunk: Uint8Array) => {
        if (name === "stdout") this.#chunks.push(chunk);
        this[name] += decoders[name].decode(chunk, { stream: true });
        this.#woken();
      });
    }
    this.#process.stdin?.on("error", () => {}); // it may be gone before it has read all
    this.ended = new Promise((resolve) =>
      this.#process.once("close", (code, signal) => {
        this.#gone = true;
        this.#woken();
        resolve({
          code: exitCodeOf(code, signal),
          bytes: joined(this.#chunks),
          stdout: this.stdout,
          stderr: this.stderr,
        });
      })
    );
  }

  /** Gives it something to read. */
  write(input: string | Uint8Array): void {
    this.#process.stdin?.write(input);
  }

  /** Closes its stdin. */
  close(): void {
    this.#process.stdin?.end();
  }

  /** Waits until the condition holds for its output. */
  async until(condition: (run: this) => boolean): Promise<void> {
    while (!condition(this)) {
      if (this.#gone) throw new Error(`It ended before that was so: ${this.stdout.slice(-300)}${this.stderr}`);
      await this.#wake.promise;
    }
  }

  /** By its id: Deno does not tell the exit code of a child that was killed by its object. */
  signal(signal: "SIGINT" | "SIGTERM" | "SIGKILL"): void {
    if (!this.#gone && this.#process.pid !== undefined) kill(this.#process.pid, signal);
  }

  /** Looks at its memory, again and again until it ends. Only where /proc is. */
  async watchMemory(): Promise<void> {
    while (!this.#gone) {
      const status = await readFile(`/proc/${this.#process.pid}/status`, "utf8").catch(() => "");
      this.peak = Math.max(this.peak, Number(/^VmHWM:\s*(\d+)/m.exec(status)?.[1] ?? 0));
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.signal("SIGKILL");
    await this.ended;
  }

  #woken(): void {
    const { resolve } = this.#wake;
    this.#wake = Promise.withResolvers();
    resolve();
  }
}

/** Runs it to its end. */
export async function run(words: readonly string[], options: RunOptions = {}): Promise<Ended> {
  await using running = new Running(words, options);
  if (options.input !== undefined) running.write(options.input);
  running.close();
  return await running.ended;
}

function exitCodeOf(code: number | null, signal: NodeJS.Signals | null): number | null {
  return signal === null ? code : 128 + constants.signals[signal];
}

/** The command that runs it, for a shell. */
export function shellCommand(words: readonly string[]): string {
  return [execPath, ...flags, program, ...words].map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(" ");
}

/** Runs a line of a shell to its end. */
export async function runShell(line: string, variables: Readonly<Record<string, string>> = {}): Promise<Ended> {
  const { REDIS_URL: _, ...rest } = env;
  const child = spawn("sh", ["-c", line], { env: { ...rest, ...variables }, stdio: ["ignore", "pipe", "pipe"] });
  const out: Uint8Array[] = [];
  const err: Uint8Array[] = [];
  child.stdout.on("data", (chunk: Uint8Array) => out.push(chunk));
  child.stderr.on("data", (chunk: Uint8Array) => err.push(chunk));
  const code = await new Promise<number | null>((resolve) =>
    child.once("close", (code, signal) => resolve(exitCodeOf(code, signal)))
  );
  const bytes = joined(out);
  return { code, bytes, stdout: new TextDecoder().decode(bytes), stderr: new TextDecoder().decode(joined(err)) };
}

function joined(chunks: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(chunks.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.length;
  }
  return all;
}
