// Lines out of bytes that come in pieces. It must not know what a line means.

import { CommandError } from "./failure.ts";
import type { Input } from "./system.ts";

const NEWLINE = 10;
/** Bytes that are asked for at once. */
const PIECE = 256 * 1024;

/** What reading lines is told. */
export interface LinesOptions {
  /** Most bytes of a line. */
  readonly longest: number;
  readonly signal: AbortSignal;
  /** Is told of bytes as they come. */
  readonly onBytes?: (count: number) => void;
  /** Bytes that have been read from it already. */
  readonly before?: Uint8Array;
}

/**
 * The lines of an input, those that came together at once, without their newlines; what stands behind the last newline is a
 * line, too, unless it is nothing. They are views, good until the next ones are asked for.
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

/** Cuts pieces into lines. */
class LineSplitter {
  readonly #longest: number;
  #open: Uint8Array[] = []; // copies of the pieces of a line whose end has not come
  #openLength = 0;
  #number = 1;
  #failure: CommandError | undefined;

  constructor(longest: number) {
    this.#longest = longest;
  }

  /** Throws what is wrong behind the lines that were given last. */
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
      `Cannot read line ${this.#number} as a line must have at most ${this.#longest} bytes: see --max-line`,
    );
    return false;
  }
}
