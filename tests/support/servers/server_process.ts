// One server process: its start, its signals, its end. It never outlives the process that started it.

import { type ChildProcess, spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { openSync } from "node:fs";
import { join } from "node:path";
import { env, platform } from "node:process";
import process from "node:process";
import type { ServerBinary } from "./server_binary.ts";

/** Signals that tests send. */
export type Signal = "SIGKILL" | "SIGTERM" | "SIGSTOP" | "SIGCONT";

// The shell becomes the server (same pid). Before that it starts a watcher, which reads from a pipe whose other end
// belongs to this process, so the pipe closes when this process ends. Then the watcher kills the server and removes its
// folder, unless this process still runs (a test has killed a server to start it again).
const WATCHED = `
exec 3<&0
(
  read -r _ <&3
  kill -9 $$
  n=0
  while [ -d "$SEA_TEST_DIR" ] && [ $n -lt 20 ]; do
    kill -0 $PPID || rm -rf "$SEA_TEST_DIR"
    sleep 0.1
    n=$((n + 1))
  done
) >/dev/null 2>&1 &
exec "$@" 3<&- </dev/null >>"$SEA_TEST_DIR/log" 2>&1
`;

/** A running server process. */
export class ServerProcess {
  readonly pid: number;
  /** Resolves when the process is gone; never rejects. */
  readonly exited: Promise<void>;
  #child: ChildProcess;
  #gone = false;

  /** Starts it. Its output goes to the file `log` in its folder. */
  constructor(binary: ServerBinary, args: readonly string[], folder: string) {
    this.#child = start(binary, args, folder);
    this.pid = this.#child.pid ?? 0;
    this.exited = new Promise((resolve) => {
      this.#child.once("error", () => resolve());
      this.#child.once("close", () => resolve());
    });
    this.exited.then(() => this.#gone = true);
    // A server that was not stopped does not keep the test process running: the watcher ends it.
    this.#child.unref();
  }

  get gone(): boolean {
    return this.#gone;
  }

  /** Sends a signal; after one that ends the process, resolves when it is gone. */
  async kill(signal: Signal): Promise<void> {
    if (this.#gone) return;
    this.#child.ref();
    // Not child.kill(): on Deno it works once.
    process.kill(this.pid, signal);
    if (signal === "SIGKILL" || signal === "SIGTERM") await this.exited;
    else this.#child.unref();
  }
}

function start(binary: ServerBinary, args: readonly string[], folder: string): ChildProcess {
  const words = [...binary.command, ...args];
  const options = { cwd: folder, env: { ...env, ...binary.env, SEA_TEST_DIR: folder } };
  if (platform === "win32") {
    const log = openSync(join(folder, "log"), "a");
    const child = spawn(words[0], words.slice(1), { ...options, stdio: ["ignore", log, log] });
    process.once("exit", () => child.kill("SIGKILL"));
    return child;
  }
  // A group of its own: Ctrl-C is for the program, which may still need its server while it ends.
  return spawn("sh", ["-c", WATCHED, "sh", ...words], {
    ...options,
    detached: true,
    stdio: ["pipe", "ignore", "ignore"],
  });
}

/** The last lines of a server's output. */
export async function logOf(folder: string): Promise<string> {
  const log = await readFile(join(folder, "log"), "utf8").catch(() => "");
  return log.trim().split("\n").slice(-12).join("\n");
}
