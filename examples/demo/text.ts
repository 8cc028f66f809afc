// Finds the demo's text: which files are text, and their lines as bytes.
//
// A line ends at "\n" and does not include it. A "\r" or a byte order mark belongs to its line.

import { existsSync } from "node:fs";
import { open, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { UsageError } from "../usage.ts";
import { root } from "./options.ts";

/** A text file. */
export interface TextFile {
  readonly path: string;
  readonly lines: number;
}

/** The text to stream. */
export interface Text {
  readonly files: readonly TextFile[];
  /** The lines of all files. */
  readonly lines: number;
  /** The number of lines to stream: the files are read again if they have fewer, and not to their end if they have more. */
  readonly total: number;
  /** Where it was found, for people. */
  readonly place: string;
  /** The number of files that were skipped, by reason. */
  readonly skipped: ReadonlyMap<Reason, number>;
}

/** Options of {@linkcode findText}. */
export interface FindOptions {
  /** Files and folders; empty for the default text. */
  readonly paths: readonly string[];
  /** The most lines to stream. */
  readonly limit: number | undefined;
  readonly signal: AbortSignal;
}

/** Lines that are streamed if neither FILE nor --limit is given and the packages are not installed. */
const DEFAULT_LINES = 1_000_000;

const NEWLINE = 10;
const CHUNK = 256 * 1024;
/** The longest line: it must fit into memory. Redis itself accepts 512 MiB. */
const LONGEST = 64 * 1024 * 1024;

type Reason = "binary" | "not UTF-8" | "empty" | "too long";

const REASONS: Readonly<Record<Reason, string>> = {
  "binary": "it is binary (it has a NUL byte)",
  "not UTF-8": "it is not UTF-8",
  "empty": "it is empty",
  "too long": `it has a line longer than ${LONGEST} bytes`,
};

/** Finds the text files to stream, in an order that is the same on every machine. */
export async function findText({ paths, limit, signal }: FindOptions): Promise<Text> {
  if (paths.length > 0) {
    const found = await search(paths, { limit, signal });
    return { ...found, total: Math.min(found.lines, limit ?? Infinity), place: paths.join(", ") };
  }
  const packages = join(root, "node_modules");
  if (existsSync(packages)) {
    const found = await search([packages], { limit, signal });
    return { ...found, total: Math.min(found.lines, limit ?? Infinity), place: "in node_modules" };
  }
  const total = limit ?? DEFAULT_LINES;
  return { ...await search([root], { limit: total, signal }), total, place: "in this project" };
}

type Found = Pick<Text, "files" | "lines" | "skipped">;

async function search(
  paths: readonly string[],
  { limit = Infinity, signal }: Omit<FindOptions, "paths">,
): Promise<Found> {
  const files: TextFile[] = [];
  const skipped = new Map<Reason, number>();
  const buffer = new Uint8Array(CHUNK);
  let lines = 0;
  for await (const { path, named } of candidates(paths)) {
    signal.throwIfAborted();
    if (lines >= limit) break;
    const found = await inspect(path, buffer);
    if (typeof found === "number") {
      files.push({ path, lines: found });
      lines += found;
    } else if (named) {
      throw new UsageError(`Cannot stream ${path}: ${REASONS[found]}`);
    } else {
      skipped.set(found, (skipped.get(found) ?? 0) + 1);
    }
  }
  return { files, lines, skipped };
}

/** The lines of the files, again and again, chunk by chunk. Each line is a view that is valid until the next chunk is requested. */
export async function* readLines(files: readonly TextFile[]): AsyncGenerator<Iterable<Uint8Array>> {
  const buffer = new Uint8Array(CHUNK);
  while (files.length > 0) {
    for (const { path } of files) {
      const splitter = new LineSplitter();
      for await (const chunk of chunksOf(path, buffer)) yield splitter.split(chunk);
      yield splitter.end();
    }
  }
}

interface Candidate {
  readonly path: string;
  readonly named: boolean;
}

async function* candidates(paths: readonly string[]): AsyncGenerator<Candidate> {
  for (const path of paths) {
    const kind = await tryTo("stream", path, () => stat(path));
    if (kind.isDirectory()) yield* filesIn(path);
    else if (kind.isFile()) yield { path, named: true };
    else throw new UsageError(`Cannot stream ${path}: it is neither a file nor a folder`);
  }
}

/** All files below a folder. Links are not followed, since packages link to one another in circles. Git's own files are skipped. */
async function* filesIn(folder: string): AsyncGenerator<Candidate> {
  const entries = await tryTo("read", folder, () => readdir(folder, { withFileTypes: true }));
  entries.sort((a, b) => a.name < b.name ? -1 : 1);
  for (const entry of entries) {
    const path = join(folder, entry.name);
    if (entry.name === ".git") continue;
    if (entry.isDirectory()) yield* filesIn(path);
    else if (entry.isFile()) yield { path, named: false };
  }
}

/** The number of lines of a file, or the reason why it cannot be streamed as text. */
async function inspect(path: string, buffer: Uint8Array<ArrayBuffer>): Promise<number | Reason> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let lines = 0;
  let length = 0;
  for await (const chunk of chunksOf(path, buffer)) {
    if (chunk.includes(0)) return "binary";
    try {
      decoder.decode(chunk, { stream: true });
    } catch {
      return "not UTF-8";
    }
    let from = 0;
    for (let at = chunk.indexOf(NEWLINE); at >= 0; at = chunk.indexOf(NEWLINE, from)) {
      from = at + 1;
      length = 0;
      lines++;
    }
    length += chunk.length - from;
    if (length > LONGEST) return "too long";
  }
  try {
    decoder.decode();
  } catch {
    return "not UTF-8";
  }
  if (length > 0) lines++;
  return lines > 0 ? lines : "empty";
}

/** The bytes of a file. Every chunk is in the same buffer. */
async function* chunksOf(path: string, buffer: Uint8Array<ArrayBuffer>): AsyncGenerator<Uint8Array> {
  const file = await tryTo("read", path, () => open(path));
  try {
    for (;;) {
      const { bytesRead } = await file.read(buffer, 0, buffer.length);
      if (bytesRead > 0) yield buffer.subarray(0, bytesRead);
      // A short read is the end of a file. Most files are small, and this saves their second read.
      if (bytesRead < buffer.length) return;
    }
  } finally {
    await file.close();
  }
}

/** Cuts chunks into lines. */
class LineSplitter {
  /** The pieces of a line whose end has not been read. */
  #open: Uint8Array[] = [];

  *split(chunk: Uint8Array): Generator<Uint8Array> {
    let from = 0;
    for (let at = chunk.indexOf(NEWLINE); at >= 0; at = chunk.indexOf(NEWLINE, from)) {
      const piece = chunk.subarray(from, at);
      yield this.#open.length === 0 ? piece : this.#close(piece);
      from = at + 1;
    }
    if (from < chunk.length) this.#open.push(chunk.slice(from));
  }

  /** The last line, if it has no "\n". */
  *end(): Generator<Uint8Array> {
    if (this.#open.length > 0) yield this.#close(new Uint8Array(0));
  }

  #close(last: Uint8Array): Uint8Array {
    const pieces = [...this.#open, last];
    this.#open = [];
    const line = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
    let at = 0;
    for (const piece of pieces) {
      line.set(piece, at);
      at += piece.length;
    }
    return line;
  }
}

async function tryTo<T>(what: string, path: string, attempt: () => Promise<T>): Promise<T> {
  try {
    return await attempt();
  } catch (cause) {
    const code = cause instanceof Error && "code" in cause ? cause.code : undefined;
    const reasons = new Map<unknown, string>([
      ["ENOENT", "no such file"],
      ["EACCES", "permission denied"],
      ["ENOTDIR", "a part of its path is not a folder"],
    ]);
    const reason = reasons.get(code) ?? (cause instanceof Error ? cause.message : String(cause));
    throw new UsageError(`Cannot ${what} ${path}: ${reason}`, { cause });
  }
}
