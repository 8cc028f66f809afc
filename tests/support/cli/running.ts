// Runs the command line as a process, on the runtime that runs the tests: arguments, input and output, signals, exit
// code.

import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { env, execPath } from "node:process";
import { fileURLToPath } from "node:url";
import { exitCodeOf, Program } from "../programs/program.ts";
import { runtime } from "../runner.ts";

const program = fileURLToPath(new URL("../../../cli.ts", import.meta.url));
/** Without what the tests need: the command line must run without it. */
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
export class Running extends Program {
  /** The most that it had resident, in kB, as far as it was looked at. */
  peak = 0;
  readonly ended: Promise<Ended>;

  constructor(words: readonly string[], options: RunOptions = {}) {
    super(program, { args: words, env: { REDIS_URL: undefined, NO_COLOR: undefined, ...options.env }, flags });
    this.ended = this.exited.then((code) => {
      return { code, bytes: joined(this.chunks), stdout: this.stdout, stderr: this.stderr };
    });
  }

  /** Gives it something to read. */
  write(input: string | Uint8Array): void {
    this.stdin.write(input);
  }

  /** Closes its stdin. */
  close(): void {
    this.stdin.end();
  }

  /** Looks at its memory, again and again until it ends. Only where /proc is. */
  async watchMemory(): Promise<void> {
    while (!this.isGone) {
      const status = await readFile(`/proc/${this.pid}/status`, "utf8").catch(() => "");
      this.peak = Math.max(this.peak, Number(/^VmHWM:\s*(\d+)/m.exec(status)?.[1] ?? 0));
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

/** Runs it to its end. */
export async function run(words: readonly string[], options: RunOptions = {}): Promise<Ended> {
  await using running = new Running(words, options);
  if (options.input !== undefined) running.write(options.input);
  running.close();
  return await running.ended;
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
