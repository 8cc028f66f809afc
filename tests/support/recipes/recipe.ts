// Runs a file of examples/recipes/ as a program of its own, on the runtime that runs the tests: arguments, stdin, output, signals and
// exit code. Must not know what a recipe does.

import { type ChildProcess, spawn } from "node:child_process";
import { env, execPath, kill, platform } from "node:process";
import { fileURLToPath } from "node:url";
import { PROGRAM_FLAGS } from "../run/invocation.ts";
import { runtime } from "../runner.ts";
import { canStartServers } from "../servers/server.ts";

const folder = new URL("../../../examples/recipes/", import.meta.url);

/** Milliseconds to wait for something that a recipe should print. */
const PATIENCE = 15_000;

/** Recipes have fixed stream names, so each test needs a server of its own. They stop on SIGTERM, which Windows does not have. */
export const ignore: boolean = platform === "win32" || !await canStartServers();

/** How a recipe is started. */
export interface RecipeOptions {
  /** Its server. */
  readonly url: string;
  readonly args?: readonly string[];
}

/** A running recipe. */
export class Recipe implements AsyncDisposable {
  stdout = "";
  stderr = "";
  /** Resolves to the exit code, or to `null` if a signal ended the process. */
  readonly ended: Promise<number | null>;
  readonly #process: ChildProcess;
  readonly #name: string;
  #gone = false;
  #wake = Promise.withResolvers<void>();

  constructor(name: string, { url, args = [] }: RecipeOptions) {
    this.#name = name;
    const file = fileURLToPath(new URL(name, folder));
    this.#process = spawn(execPath, [...PROGRAM_FLAGS[runtime], file, ...args], {
      env: { ...env, REDIS_URL: url, PORT: "0", NO_COLOR: "1" },
      stdio: ["pipe", "pipe", "pipe"],
    });
    for (const stream of ["stdout", "stderr"] as const) {
      const decoder = new TextDecoder();
      this.#process[stream]?.on("data", (chunk: Uint8Array) => {
        this[stream] += decoder.decode(chunk, { stream: true });
        this.#woken();
      });
    }
    this.stdin.on("error", () => {}); // the recipe may have exited
    this.ended = new Promise((resolve) =>
      this.#process.once("close", (code) => {
        this.#gone = true;
        this.#woken();
        resolve(code);
      })
    );
  }

  /** Its standard input. */
  get stdin(): NonNullable<ChildProcess["stdin"]> {
    const { stdin } = this.#process;
    if (stdin === null) throw new Error("A recipe has no stdin");
    return stdin;
  }

  /** All that it has printed. */
  get output(): string {
    return `${this.stdout}${this.stderr}`;
  }

  /** Waits until its output, of stdout and stderr, matches. */
  async says(pattern: RegExp): Promise<RegExpExecArray> {
    const late = Symbol();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const timeout = new Promise<typeof late>((resolve) => timer = setTimeout(resolve, PATIENCE, late));
    try {
      for (;;) {
        const match = pattern.exec(this.stdout) ?? pattern.exec(this.stderr);
        if (match) return match;
        if (this.#gone) throw new Error(`${this.#name} exited before it printed ${pattern}: ${this.output}`);
        if (await Promise.race([this.#wake.promise, timeout]) === late) {
          throw new Error(`${this.#name} did not print ${pattern} within ${PATIENCE} ms: ${this.output}`);
        }
      }
    } finally {
      clearTimeout(timer);
    }
  }

  /** The address of a recipe that serves HTTP, without a slash at its end. */
  async origin(): Promise<string> {
    const [, port] = await this.says(/port: (\d+)/);
    return `http://localhost:${port}`;
  }

  /** Sends a signal. By the process id: on Deno a child that its own object has killed does not report its exit code. */
  signal(signal: "SIGTERM" | "SIGKILL"): void {
    if (!this.#gone && this.#process.pid !== undefined) kill(this.#process.pid, signal);
  }

  /** Stops it as a supervisor does; resolves to its exit code. */
  async stop(): Promise<number | null> {
    this.signal("SIGTERM");
    return await this.ended;
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
