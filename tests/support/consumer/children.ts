// Runs consumers in processes of their own, on the runtime that runs the tests. They take commands, and can be killed
// and suspended.

import { type ChildProcess, spawn } from "node:child_process";
import { execPath, kill } from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { Server } from "../servers/server.ts";
import { runtime } from "../runner.ts";

const flags = {
  deno: ["run", "-A", "--no-check"],
  bun: ["run"],
  node: ["--disable-warning=ExperimentalWarning"],
}[runtime];

/** A line that a child has printed. */
export interface Line {
  readonly what: string;
  readonly id?: string;
  readonly ids?: readonly string[];
  readonly from?: string;
  readonly deliveries?: number;
  readonly [name: string]: unknown;
}

/** Options of a child: its program, and what it is given. */
export interface ChildOptions {
  /** A file of `tests/support/programs`. @default {"group_child"} */
  readonly program?: string;
  readonly [name: string]: unknown;
}

/** A consumer in a process of its own. */
export class Child implements AsyncDisposable {
  /** All lines it has printed. */
  readonly lines: Line[] = [];
  readonly name: string;
  readonly #process: ChildProcess;
  readonly #exit: Promise<void>;
  #gone = false;
  #errors = "";
  #wake = Promise.withResolvers<void>();

  constructor(server: Pick<Server, "url">, key: string, name: string, options: ChildOptions = {}) {
    this.name = name;
    const { program = "group_child", ...rest } = options;
    const path = fileURLToPath(new URL(`../programs/${program}.ts`, import.meta.url));
    const args = [...flags, path, server.url, key, name, JSON.stringify(rest)];
    this.#process = spawn(execPath, args, { stdio: ["pipe", "pipe", "pipe"] });
    const { stdout, stderr } = this.#process;
    if (stdout === null || stderr === null) throw new Error("A child has no output");
    createInterface({ input: stdout }).on("line", (line) => {
      this.lines.push(JSON.parse(line));
      this.#woken();
    });
    stderr.on("data", (chunk: Uint8Array) => this.#errors += new TextDecoder().decode(chunk));
    this.#process.stdin?.on("error", () => {});
    this.#exit = new Promise((resolve) =>
      this.#process.once("close", () => {
        this.#gone = true;
        this.#woken();
        resolve();
      })
    );
  }

  /** Starts one; it has joined its group when this resolves. */
  static async start(
    server: Pick<Server, "url">,
    key: string,
    name: string,
    options: ChildOptions = {},
  ): Promise<Child> {
    const child = new Child(server, key, name, options);
    await child.says("ready");
    return child;
  }

  /** Ids of the messages it was given, in their order. */
  get ids(): string[] {
    return this.lines.filter(({ what }) => what === "message").map(({ id }) => `${id}`);
  }

  /** The lines of this kind. */
  of(what: string): Line[] {
    return this.lines.filter((line) => line.what === what);
  }

  /** Sends it a command. */
  do(command: string): void {
    this.#process.stdin?.write(`${command}\n`);
  }

  /** Waits for a line of this kind. Resolves to the first one. */
  async says(what: string): Promise<Line> {
    await this.until(() => this.of(what).length > 0, what);
    return this.of(what)[0];
  }

  /** Sends it a command, and waits for the next line of this kind. */
  async ask(command: string, what: string): Promise<Line> {
    const before = this.of(what).length;
    this.do(command);
    await this.until(() => this.of(what).length > before, what);
    return this.of(what)[before];
  }

  /** Waits until the condition holds for its lines. */
  async until(condition: () => boolean, what: string): Promise<void> {
    while (!condition()) {
      if (this.#gone) throw new Error(`${this.name} ended without ${what}: ${this.#errors}`);
      await this.#wake.promise;
    }
  }

  /** Sends a signal. By its id: a child process of Deno takes no second signal. */
  signal(signal: "SIGKILL" | "SIGSTOP" | "SIGCONT"): void {
    if (!this.#gone && this.#process.pid !== undefined) kill(this.#process.pid, signal);
  }

  async kill(): Promise<void> {
    this.signal("SIGKILL");
    await this.#exit;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.kill();
  }

  #woken(): void {
    const { resolve } = this.#wake;
    this.#wake = Promise.withResolvers();
    resolve();
  }
}
