// Splits a stream of bytes into lines.

import { CommandError } from "../failure.ts";
import type { Input } from "../system.ts";

const NEWLINE = 10;
/** Bytes of one read. */
const PIECE = 256 * 1024;

/** Options of {@linkcode readLines}. */
export interface LinesOptions {
  /** The most bytes of a line. */
  readonly longest: number;
  readonly signal: AbortSignal;
  /** Called with the number of bytes of each read. */
  readonly onBytes?: (count: number) => void;
  /** Bytes of the input that have been read already. */
  readonly before?: Uint8Array;
}

const MARK: readonly number[] = [0xef, 0xbb, 0xbf];

/**
 * A line of JSON without a leading byte order mark; `undefined` for a blank line. Windows programs write the mark at the beginning
 * of files, so it also appears in the middle of concatenated files.
 */
export function lineOfJson(line: Uint8Array): Uint8Array | undefined {
  const bare = MARK.every((byte, i) => line[i] === byte) ? line.subarray(MARK.length) : line;
  return bare.every(isBlank) ? undefined : bare;
}

/** A space, a tab or a carriage return: JSON white space except for the newline. */
function isBlank(byte: number): boolean {
  return byte === 0x20 || byte === 0x09 || byte === 0x0d;
}

/**
 * The lines of an input without their newlines, grouped by read. A last line without a newline is included. Lines are views that
 * are valid until the next group is requested.
 */
export async function* readLines(input: Input, options: LinesOptions): AsyncGenerator<Uint8Array[]> {
  const { longest, signal, onBytes, before } = options;
  const splitter = new LineSplitter(longest);
  if (before !== undefined && before.length > 0) {
    onBytes?.(before.length);
    yield splitter.split(before);
    splitter.throwFailure();
  }
  const piece = new Uint8Array(PIECE);
  for (;;) {
    const length = await input.read(piece, signal);
    if (length === 0) break;
    onBytes?.(length);
    const lines = splitter.split(piece.subarray(0, length));
    if (lines.length > 0) yield lines;
    splitter.throwFailure();
  }
  const rest = splitter.end();
  if (rest !== undefined) yield [rest];
}

/** Splits pieces into lines. */
class LineSplitter {
  readonly #longest: number;
  #open: Uint8Array[] = []; // copies of the pieces of a line whose end has not been read
  #openLength = 0;
  #number = 1;
  #failure: CommandError | undefined;

  constructor(longest: number) {
    this.#longest = longest;
  }

  /** Throws the error that follows the lines returned last. */
  throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  split(piece: Uint8Array): Uint8Array[] {
    const lines: Uint8Array[] = [];
    let from = 0;
    for (let at = piece.indexOf(NEWLINE); at >= 0; at = piece.indexOf(NEWLINE, from)) {
      if (!this.#fits(this.#openLength + at - from)) return lines;
      lines.push(this.#line(piece.subarray(from, at)));
      from = at + 1;
      this.#number++;
    }
    if (from < piece.length) {
      this.#open.push(piece.slice(from));
      this.#openLength += piece.length - from;
      this.#fits(this.#openLength);
    }
    return lines;
  }

  end(): Uint8Array | undefined {
    return this.#open.length === 0 ? undefined : this.#line(new Uint8Array(0));
  }

  #line(last: Uint8Array): Uint8Array {
    if (this.#open.length === 0) return last;
    const line = new Uint8Array(this.#openLength + last.length);
    let at = 0;
    for (const part of this.#open) {
      line.set(part, at);
      at += part.length;
    }
    line.set(last, at);
    this.#open = [];
    this.#openLength = 0;
    return line;
  }

  #fits(length: number): boolean {
    if (length <= this.#longest) return true;
    this.#failure ??= new CommandError(
      `Line ${this.#number} is longer than ${this.#longest} bytes: see --max-line`,
    );
    return false;
  }
}
