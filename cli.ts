/**
 * Streams of messages in Redis on the command line: `produce`, `consume`, `relay`, `dump`, `restore`, `trim`, `info` and
 * `decode`. Each has a `--help`.
 *
 * ```sh
 * deno run -A jsr:@sea/streamer-redis/cli produce orders < lines.txt
 * deno run -A jsr:@sea/streamer-redis/cli consume orders --from beginning --json
 * deno run -A jsr:@sea/streamer-redis/cli info --watch
 * ```
 *
 * It runs as it is on Node (`node cli.ts`) and Bun (`bun cli.ts`), too. Importing it does nothing; a program calls
 * {@linkcode main} to run it inside of itself.
 *
 * @example
 * ```ts no-eval
 * import { main } from "@sea/streamer-redis/cli";
 *
 * const exitCode = await main(["info", "redis://localhost", "--json"]);
 * ```
 *
 * @module
 */

// Owns the process: arguments, environment, files, streams, signals, the terminal and the exit code. It must not know what
// commands do.

import { read, write, writeSync } from "node:fs";
import { type FileHandle, open, readFile, realpath, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { isatty } from "node:tty";
import { parseArgs } from "node:util";
import { runCommandLine } from "./streamer/cli/main.ts";
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

// The global one: importing node:process makes Node open stdin and stdout, which then no longer block, and are ours no more.
const { process } = globalThis;

const STDIN = 0;
const STDOUT = 1;
const STDERR = 2;
/** At its end, Node waits for threads that read or write: what may wait for ever must not be left to them. */
const waitsForThreads = !("Deno" in globalThis) && !("Bun" in globalThis);
/** Milliseconds until a pipe that cannot be read or written without waiting is tried again. */
const AGAIN = 5;

/**
 * Runs a command line in this process: its stdin, stdout, stderr, environment and signals are used.
 *
 * The first SIGINT, SIGTERM or SIGHUP ends the command in good order, a second one the process at once.
 *
 * @returns The exit code: 0 done, 1 failed, 2 a mistake in the call, 3 what a `.ss` file cannot hold, 128 and the number
 * of a signal.
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
    parse: (words, options) => parseArgs({ args: [...words], options, allowPositionals: true }),
    readText: (path) => readFile(path, "utf8"),
    openFile: async (path) => new FileInput(await openOr("read", path, "r")),
    newFile,
    writeFile: async (path) => new FileSink(await openOr("write", path, "w")),
    listenToKeys,
    now: () => Date.now(),
  };
}

/** A file, or why it cannot be had, in a sentence. */
async function openOr(verb: string, path: string, flags: string): Promise<FileHandle> {
  try {
    return await open(path, flags);
  } catch (cause) {
    throw new Error(`Cannot ${verb} ${path} as the system refuses: ${messageOf(cause)}`, { cause });
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
 * Stdin, read by a thread of the runtime's: what its own streams do differs too much, and a read that waits there does not keep
 * the process from ending.
 */
class DescriptorInput implements Input {
  readonly size: number | undefined = undefined;
  readonly #fd: number;

  constructor(fd: number) {
    this.#fd = fd;
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

/** Stdin by Node's own stream, which waits in no thread. */
class StreamInput implements Input {
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

/** Writes to stdout that have not come back. */
let writing = 0;

/** Stdout, written by a thread, so that a reader that stops reading stops nothing else here. */
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
    // Deno's node:fs writes all of it or tells an error, and not how much of it was taken before.
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
  readonly isTerminal = false;
  readonly #file: FileHandle;
  #closing: Promise<void> | undefined;

  constructor(file: FileHandle) {
    this.#file = file;
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
        if (codeOf(error) !== "EINVAL") throw error; // a device or a pipe has nothing to bring to a disk
      });
    } finally {
      await this.#file.close();
    }
  }
}

/** Beside where it is to be, so that it can take its name in one step. What is no plain file is written as it is. */
async function newFile(path: string): Promise<NewFile> {
  const target = await realpath(path).catch(() => path);
  const there = await stat(target).catch(() => undefined);
  if (there !== undefined && !there.isFile()) {
    return { path: target, commit: () => Promise.resolve(), discard: () => Promise.resolve() };
  }
  const temporary = join(dirname(target), `.${basename(target)}.${crypto.randomUUID().slice(0, 8)}.part`);
  return {
    path: temporary,
    commit: () => rename(temporary, target),
    discard: () => rm(temporary, { force: true }),
  };
}

/** Written at once and in order; what nobody reads any more is dropped. */
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
        // There is nobody to tell.
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

/** Ends the process. Where a write that nobody takes would keep it, the signal that has ended the command does. */
function leave(code: number): void {
  const signal = code === 130 ? "SIGINT" : code === 129 ? "SIGHUP" : "SIGTERM";
  if (waitsForThreads && writing > 0 && code > 128) process.kill(process.pid, signal);
  else process.exit(code);
}

if (import.meta.main) leave(await main(process.argv.slice(2)));
