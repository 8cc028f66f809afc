// Owns where the demo's lines come from: which files are text, and their lines as bytes. Must not know where they go.
//
// A line is what stands between two "\n", without them and as it is: a "\r" or a byte order mark belongs to it.

import { open, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { root, UsageError } from "./options.ts";

/** A file that is text from its first byte to its last. */
export interface TextFile {
  readonly path: string;
  readonly lines: number;
}

/** What was found. */
export interface Finding {
  readonly files: readonly TextFile[];
  readonly lines: number;
  /** Files that were looked at and left out, by reason. */
  readonly skipped: ReadonlyMap<Reason, number>;
}

/** How text is looked for. */
export interface FindOptions {
  /** Stops looking when there are so many lines. */
  readonly limit: number;
  readonly signal: AbortSignal;
}

const NEWLINE = 10;
const CHUNK = 256 * 1024;
/** The one thing that must fit into memory. Redis itself takes 512 MiB. */
const LONGEST = 64 * 1024 * 1024;

type Reason = "binary" | "not UTF-8" | "empty" | "too long";

const REASONS: Readonly<Record<Reason, string>> = {
  "binary": "it is binary: it has a NUL byte",
  "not UTF-8": "it is not UTF-8",
  "empty": "it is empty",
  "too long": `it has a line of more than ${LONGEST} bytes`,
};

/** Finds the text files among the paths, in an order that is the same everywhere. */
export async function findText(paths: readonly string[], { limit, signal }: FindOptions): Promise<Finding> {
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
      throw new UsageError(`Cannot stream ${path} as ${REASONS[found]}`);
    } else {
      skipped.set(found, (skipped.get(found) ?? 0) + 1);
    }
  }
  return { files, lines: Math.min(lines, limit), skipped };
}

/** The lines of the files, those of one chunk at a time; they are views, good until the next chunk is asked for. */
export async function* readLines(files: readonly TextFile[]): AsyncGenerator<Iterable<Uint8Array>> {
  const buffer = new Uint8Array(CHUNK);
  for (const { path } of files) {
    const splitter = new LineSplitter();
    for await (const chunk of chunksOf(path, buffer)) yield splitter.split(chunk);
    yield splitter.end();
  }
}

interface Candidate {
  readonly path: string;
  readonly named: boolean;
}

async function* candidates(paths: readonly string[]): AsyncGenerator<Candidate> {
  if (paths.length === 0) return yield* filesIn(join(root, "node_modules"));
  for (const path of paths) {
    const kind = await tryTo("stream", path, () => stat(path));
    if (kind.isDirectory()) yield* filesIn(path);
    else if (kind.isFile()) yield { path, named: true };
    else throw new UsageError(`Cannot stream ${path} as it is neither a file nor a folder`);
  }
}

/** Links are not followed: packages link to one another, in circles too. */
async function* filesIn(folder: string): AsyncGenerator<Candidate> {
  const entries = await tryTo("look into", folder, () => readdir(folder, { withFileTypes: true }));
  entries.sort((a, b) => a.name < b.name ? -1 : 1);
  for (const entry of entries) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* filesIn(path);
    else if (entry.isFile()) yield { path, named: false };
  }
}

/** How many lines it has, or why it is no text for us. */
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

/** The bytes of a file, each chunk in the same buffer. */
async function* chunksOf(path: string, buffer: Uint8Array<ArrayBuffer>): AsyncGenerator<Uint8Array> {
  const file = await tryTo("read", path, () => open(path));
  try {
    for (;;) {
      const { bytesRead } = await file.read(buffer, 0, buffer.length);
      if (bytesRead > 0) yield buffer.subarray(0, bytesRead);
      // Of a file, less than asked for is the end: most are small, and spared a second read.
      if (bytesRead < buffer.length) return;
    }
  } finally {
    await file.close();
  }
}

/** Cuts chunks into lines. */
class LineSplitter {
  /** The pieces of a line whose end has not come. */
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

  /** The last line, where no "\n" ends it. */
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
      ["ENOENT", "there is no such file"],
      ["EACCES", "it may not be read"],
      ["ENOTDIR", "a part of its path is no folder"],
    ]);
    const reason = reasons.get(code) ?? (cause instanceof Error ? cause.message : String(cause));
    throw new UsageError(`Cannot ${what} ${path} as ${reason}`, { cause });
  }
}
