/**
 * Redis streams on the command line.
 *
 * The commands are `produce`, `consume`, `relay`, `dump`, `restore`, `trim`, `info` and `decode`. Each has a `--help`.
 *
 * ```sh
 * deno run -A jsr:@sea/streamer-redis/cli produce orders < lines.txt
 * deno run -A jsr:@sea/streamer-redis/cli consume orders --from beginning --json
 * deno run -A jsr:@sea/streamer-redis/cli info --watch
 * ```
 *
 * The same file runs on Bun and Node. An import has no effect: a program calls {@linkcode main} to run a command.
 *
 * @example
 * ```ts
 * import { main } from "@sea/streamer-redis/cli";
 *
 * const exitCode = await main(["info", "--json"]);
 * ```
 *
 * @module
 */

// Implements the command line's port to the process: arguments, environment, files, streams, signals, the terminal and the
// exit code.

import { read, write, writeSync } from "node:fs";
import { type FileHandle, open, readFile } from "node:fs/promises";
import { isatty } from "node:tty";
import { parseArgs } from "node:util";
import { runCommandLine } from "./streamer/cli/main.ts";
import { replaceFile } from "./streamer/file/disk/replace.ts";
import { abortable } from "./streamer/model/abortable.ts";
import {
  type FileOutput,
  type Input,
  Interrupted,
  type NewFile,
  type OnKey,
  type Output,
  type Screen,
  type System,
} from "./streamer/cli/system.ts";

// The global: importing node:process makes Node open stdin and stdout as its own non-blocking streams.
const { process } = globalThis;

const STDIN = 0;
const STDOUT = 1;
const STDERR = 2;
/** Node exits only after its threads have finished: a read or write that may never end must not run in one. */
const waitsForThreads = !("Deno" in globalThis) && !("Bun" in globalThis);
/** Milliseconds between attempts on a pipe that is not ready (EAGAIN). */
const AGAIN = 5;

/**
 * Runs a command in this process, and resolves to its exit code.
 *
 * The command uses the stdin, stdout, stderr, environment and signals of the process. The first SIGINT, SIGTERM or SIGHUP ends the
 * command gracefully; a second one ends the process at once. The call does not end the process otherwise, and never rejects.
 *
 * @param args The arguments after the program's name.
 * @returns The exit code: 0 for success, 1 for a failure, 2 for a usage error, 3 if an entry does not fit into a `.ss` file, and
 * 128 plus the number of a signal.
 *
 * @example
 * ```ts
 * import { main } from "@sea/streamer-redis/cli";
 *
 * const exitCode = await main(["trim", "orders", "--min-time", "7d"]);
 * if (exitCode !== 0) console.error("The trim failed");
 * ```
 *
 * @category Managing
 */
export async function main(args: readonly string[]): Promise<number> {
  const interrupting = new AbortController();
  const names = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  const handlers = names.map((name) => {
    const handler = () => {
      const reason = new Interrupted(name);
      if (interrupting.signal.aborted) process.exit(reason.exitCode);
      interrupting.abort(reason);
    };
    process.on(name, handler);
    return { name, handler };
  });
  try {
    return await runCommandLine(systemOf(args, interrupting.signal));
  } finally {
    for (const { name, handler } of handlers) process.off(name, handler);
  }
}

function systemOf(args: readonly string[], signal: AbortSignal): System {
  return {
    args,
    signal,
    stdin: waitsForThreads ? new StreamInput() : new DescriptorInput(STDIN),
    stdout: new DescriptorOutput(STDOUT),
    stderr: screenOf(STDERR),
    screen: screenOf(STDOUT),
    env: (name) => process.env[name],
    parse: (args, options) => parseArgs({ args: [...args], options, allowPositionals: true }),
    readText: (path) => readFile(path, "utf8"),
    openFile: async (path) => new FileInput(await openOr("read", path, "r")),
    newFile,
    writeFile: async (path) => new FileSink(await openOr("write", path, "w")),
    listenToKeys,
    now: () => Date.now(),
  };
}

/** Opens a file; the error of a refusal is one sentence. */
async function openOr(verb: string, path: string, flags: string): Promise<FileHandle> {
  try {
    return await open(path, flags);
  } catch (cause) {
    throw new Error(`Cannot ${verb} ${path}: ${messageOf(cause)}`, { cause });
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function codeOf(error: unknown): unknown {
  return Object(error).code;
}

async function pause(): Promise<void> {
  await new Promise<void>((resolve) => setTimeout(resolve, AGAIN));
}

/**
 * Stdin, read in a thread of the runtime. The runtimes' own streams differ too much, and a pending read does not keep the process
 * running.
 */
class DescriptorInput implements Input {
  readonly isTerminal: boolean;
  readonly size: number | undefined = undefined;
  readonly #fd: number;

  constructor(fd: number) {
    this.#fd = fd;
    this.isTerminal = isatty(fd);
  }

  async read(into: Uint8Array, signal?: AbortSignal): Promise<number> {
    for (;;) {
      try {
        return await abortable(this.#read(into), signal);
      } catch (error) {
        if (codeOf(error) === "EOF") return 0;
        if (codeOf(error) !== "EAGAIN") throw error;
        await pause();
      }
    }
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #read(into: Uint8Array): Promise<number> {
    return new Promise((resolve, reject) => {
      read(this.#fd, into, 0, into.length, null, (error, count) => error ? reject(error) : resolve(count));
    });
  }
}

/** Stdin as Node's own stream, which does not wait in a thread. */
class StreamInput implements Input {
  readonly isTerminal: boolean = isatty(STDIN);
  readonly size: number | undefined = undefined;
  #chunks: AsyncIterator<Uint8Array> | undefined;
  #rest: Uint8Array = new Uint8Array(0);

  async read(into: Uint8Array, signal?: AbortSignal): Promise<number> {
    if (this.#rest.length === 0) {
      this.#chunks ??= process.stdin[Symbol.asyncIterator]();
      const { value, done } = await abortable(this.#chunks.next(), signal);
      if (done) return 0;
      this.#rest = value;
    }
    const count = Math.min(into.length, this.#rest.length);
    into.set(this.#rest.subarray(0, count));
    this.#rest = this.#rest.subarray(count);
    return count;
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** The number of pending writes to stdout. */
let writing = 0;

/** Stdout, written in a thread, so that a reader that stops reading blocks nothing else here. */
class DescriptorOutput implements Output {
  readonly isTerminal: boolean;
  readonly #fd: number;

  constructor(fd: number) {
    this.#fd = fd;
    this.isTerminal = isatty(fd);
  }

  async write(bytes: Uint8Array, signal?: AbortSignal): Promise<number> {
    let taken = 0;
    while (taken < bytes.length) {
      if (signal?.aborted) return taken;
      try {
        taken += await abortable(this.#write(bytes.subarray(taken)), signal);
      } catch (error) {
        if (signal?.aborted || codeOf(error) === "EPIPE" || codeOf(error) === "ECONNRESET") return taken;
        if (codeOf(error) !== "EAGAIN") throw error;
        await pause();
      }
    }
    return taken;
  }

  #write(bytes: Uint8Array): Promise<number> {
    // Deno's node:fs writes all bytes or fails, and does not report how many were written before.
    if ("Deno" in globalThis && this.#fd === STDOUT) return Deno.stdout.write(bytes);
    writing++;
    return new Promise((resolve, reject) => {
      write(this.#fd, bytes, 0, bytes.length, null, (error, count) => {
        writing--;
        if (error) reject(error);
        else resolve(count);
      });
    });
  }
}

class FileInput implements Input {
  readonly isTerminal: boolean = false;
  readonly #file: FileHandle;
  size: number | undefined;
  #known = false;

  constructor(file: FileHandle) {
    this.#file = file;
  }

  async read(into: Uint8Array, signal?: AbortSignal): Promise<number> {
    signal?.throwIfAborted();
    if (!this.#known) {
      this.#known = true;
      const { size } = await this.#file.stat();
      if (size > 0) this.size = size;
    }
    return (await this.#file.read(into, 0, into.length)).bytesRead;
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

class FileSink implements FileOutput {
  readonly isTerminal: boolean;
  readonly #file: FileHandle;
  #closing: Promise<void> | undefined;

  constructor(file: FileHandle) {
    this.#file = file;
    this.isTerminal = isatty(file.fd);
  }

  async write(bytes: Uint8Array, signal?: AbortSignal): Promise<number> {
    signal?.throwIfAborted();
    let taken = 0;
    while (taken < bytes.length) taken += (await this.#file.write(bytes, taken, bytes.length - taken)).bytesWritten;
    return taken;
  }

  close(): Promise<void> {
    return this.#closing ??= this.#close();
  }

  async #close(): Promise<void> {
    try {
      await this.#file.sync().catch((error) => {
        if (codeOf(error) !== "EINVAL") throw error; // a device or a pipe cannot be flushed
      });
    } finally {
      await this.#file.close();
    }
  }
}

/** A file that gets its name when it is complete; the error of a refusal is one sentence. */
async function newFile(path: string): Promise<NewFile> {
  const refuse = (cause: unknown) => {
    throw new Error(`Cannot write ${path}: ${messageOf(cause)}`, { cause });
  };
  const file = await replaceFile(path).catch(refuse);
  return { path: file.path, commit: () => file.commit().catch(refuse), discard: () => file.discard() };
}

/** Written at once and in order. Text that cannot be written is dropped. */
function screenOf(fd: number): Screen {
  const isTerminal = isatty(fd);
  const stream = () => fd === STDERR ? process.stderr : process.stdout;
  return {
    isTerminal,
    get columns() {
      return isTerminal ? stream().columns || 80 : 80;
    },
    get rows() {
      return isTerminal ? stream().rows || 24 : 24;
    },
    write(text) {
      const bytes = new TextEncoder().encode(text);
      try {
        for (let at = 0; at < bytes.length;) at += writeSync(fd, bytes, at, bytes.length - at);
      } catch {
        // The reader has gone away: there is no other place for the text.
      }
    },
  };
}

function listenToKeys(onKey: OnKey): () => void {
  const { stdin } = process;
  if (!isatty(STDIN)) return () => {};
  const listener = (bytes: Uint8Array) => {
    for (const key of new TextDecoder().decode(bytes)) onKey(key);
  };
  stdin.setRawMode(true);
  stdin.on("data", listener);
  stdin.resume();
  return () => {
    stdin.off("data", listener);
    stdin.setRawMode(false);
    stdin.pause();
  };
}

/** Ends the process. If a pending write would keep it running, it ends by the signal that has ended the command. */
function leave(code: number): void {
  const signal = code === 130 ? "SIGINT" : code === 129 ? "SIGHUP" : "SIGTERM";
  if (waitsForThreads && writing > 0 && code > 128) process.kill(process.pid, signal);
  else process.exit(code);
}

if (import.meta.main) leave(await main(process.argv.slice(2)));
