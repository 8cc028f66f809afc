// Runs snippets as programs of their own, on the runtime that runs the tests, each with an empty database of a real server.

import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process, { env, execPath } from "node:process";
import { root } from "../prose/paths.ts";
import { PROGRAM_FLAGS } from "../run/invocation.ts";
import { runtime } from "../runner.ts";
import { type OwnServer, startServer } from "../servers/server.ts";
import type { Snippet } from "./snippets.ts";

/** Milliseconds that a program may take. */
export const PROGRAM_LIMIT = 10_000;

/** Milliseconds from the first output of a program that runs until SIGTERM to the signal. */
const RUNNING = 1_000;
const AT_ONCE = 3;
/** Databases of a server; each program has one of its own. */
const DATABASES = 1_024;
/** Characters of a failed program's output that are shown. */
const EXCERPT = 2_000;

/** Runs programs against a server that it owns. */
export class ProgramRunner implements AsyncDisposable {
  readonly #server: OwnServer;
  readonly #folder: string;
  #next = 0;

  private constructor(server: OwnServer, folder: string) {
    this.#server = server;
    this.#folder = folder;
  }

  static async start(): Promise<ProgramRunner> {
    const server = await startServer({ args: ["--databases", String(DATABASES)] });
    // Inside of the project, so that programs find its packages.
    return new ProgramRunner(server, await mkdtemp(join(root, "tests", "support", ".tmp-programs-")));
  }

  /** Runs programs, a few at a time. Returns a text for each that failed. */
  async run(programs: readonly Snippet[], limit: number = PROGRAM_LIMIT): Promise<string[]> {
    const failures: string[] = [];
    const waiting = programs.values();
    const work = async () => {
      for (const program of waiting) {
        const why = await this.#run(program, limit);
        if (why !== undefined) failures.push(`${program.path}:${program.line} ${why}`);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    return failures.sort();
  }

  async #run({ path, line, code, info }: Snippet, limit: number): Promise<string | undefined> {
    const db = this.#next++;
    if (db >= DATABASES) throw new Error(`Cannot run more than ${DATABASES} programs`);
    const file = join(this.#folder, `${path.replaceAll(/[^\w]/g, "_")}_${line}_${db}.mts`);
    await writeFile(file, code);
    const cwd = await mkdtemp(join(tmpdir(), "sea-program-"));
    try {
      return await execute(file, { cwd, limit, url: `${this.#server.url}/${db}`, stops: info.endsWith("SIGTERM") });
    } finally {
      await rm(cwd, { recursive: true, force: true });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.stop();
    await rm(this.#folder, { recursive: true, force: true });
  }
}

interface Execution {
  readonly cwd: string;
  readonly limit: number;
  readonly url: string;
  /** Whether the program runs until SIGTERM. */
  readonly stops: boolean;
}

/** Why a program failed; undefined if it ended by itself with code 0. */
async function execute(file: string, { cwd, limit, url, stops }: Execution): Promise<string | undefined> {
  const child = spawn(execPath, [...PROGRAM_FLAGS[runtime], file], {
    cwd,
    env: { ...env, REDIS_URL: url, NO_COLOR: "1" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  let stopping: ReturnType<typeof setTimeout> | undefined;
  for (const stream of [child.stdout, child.stderr]) {
    const decoder = new TextDecoder();
    stream.on("data", (chunk: Uint8Array) => {
      if (stops && stopping === undefined) {
        stopping = setTimeout(() => process.kill(child.pid ?? 0, "SIGTERM"), RUNNING);
      }
      output += decoder.decode(chunk, { stream: true });
    });
  }
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill("SIGKILL");
  }, limit);
  const [code, signal] = await new Promise<[number | null, string | null]>((resolve) => {
    child.once("close", (code, signal) => resolve([code, signal]));
  });
  clearTimeout(timer);
  clearTimeout(stopping);
  if (code === 0 && !late && (!stops || stopping !== undefined)) return undefined;
  const why = stops && stopping === undefined
    ? "printed nothing, so that SIGTERM was not sent"
    : late
    ? `did not end within ${limit} ms`
    : `ended with ${signal ?? `code ${code}`}`;
  return `${why}\n${output.slice(0, EXCERPT)}`;
}
