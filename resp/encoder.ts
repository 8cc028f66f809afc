// Turns commands into bytes: arrays of length-prefixed bulk strings, many of them in one growing buffer.
// It must not know what any command means, nor where the bytes go.

import { CR, LF, TYPE } from "./wire.ts";

const ZERO = 48;

/** Longest header: a type byte, ten digits, CR and LF. */
const HEADER = 13;
/** From this many characters on a short ASCII string is encoded faster by `encodeInto` than by a loop (Node 26, Deno 2.9, Bun 1.4). */
const LOOP_BELOW = 24;

/** From this many characters on text is encoded by itself first: encoded in place it would need room for three bytes each. */
export const STRAIGHT_BELOW = 4 * 1024;

const utf8 = new TextEncoder();

/** An argument of a command: text is sent as UTF-8, bytes as they are, a number or bigint in decimal. */
export type RespArgument = string | Uint8Array | number | bigint;

/** What {@linkcode RespEncoder} can be told. */
export interface RespEncoderOptions {
  /** Bytes of the first buffer. @default {1024} */
  readonly capacity?: number;
}

/**
 * Encodes commands one behind the other into one buffer, which grows as needed.
 *
 * A lone surrogate in a string becomes U+FFFD; lengths always count the bytes that are really written.
 * Source: RESP3 specification, “sending commands to a Redis server”.
 *
 * @example
 * ```ts
 * import { RespEncoder } from "@sea/streamer-redis/resp";
 *
 * const encoder = new RespEncoder();
 * encoder.command(["XADD", "orders", "*", "msg", "paid"]);
 * encoder.command(["XLEN", "orders"]);
 * const bytes = encoder.take();
 * ```
 */
export class RespEncoder {
  #bytes: Uint8Array;
  #length = 0;

  /** Makes an empty encoder. */
  constructor(options: RespEncoderOptions = {}) {
    this.#bytes = new Uint8Array(Math.max(options.capacity ?? 1024, 64));
  }

  /** Bytes encoded and not yet taken. */
  get length(): number {
    return this.#length;
  }

  /**
   * Adds one command; an empty one is refused, since a server would not answer it. With `count` the command has that
   * many arguments, and those not given here follow by {@linkcode bulk}, or by other means.
   */
  command(args: readonly RespArgument[], count: number = args.length): this {
    if (count === 0) throw new RangeError("Cannot encode a command as it must have a name: current value is []");
    if (!Number.isSafeInteger(count) || count < args.length) {
      throw new RangeError(
        `Cannot encode a command as its count must be at least ${args.length}: current value is ${count}`,
      );
    }
    const before = this.#length;
    this.#reserve(HEADER);
    this.#length = writeHeader(this.#bytes, this.#length, TYPE.array, count);
    try {
      for (const arg of args) this.bulk(arg);
    } catch (error) {
      this.#length = before; // half a command would be taken for the beginning of the next one
      throw error;
    }
    return this;
  }

  /** Adds one argument to a command that was begun with a larger count. */
  bulk(arg: RespArgument): this {
    if (arg instanceof Uint8Array) {
      this.#reserve(arg.length + BULK_OVERHEAD);
      this.#length = writeBulk(this.#bytes, this.#length, arg);
      return this;
    }
    const text = typeof arg === "string" ? arg : decimal(arg);
    if (text.length > STRAIGHT_BELOW) return this.bulk(utf8.encode(text));
    this.#reserve(text.length * 3 + BULK_OVERHEAD);
    this.#length = writeBulkText(this.#bytes, this.#length, text);
    return this;
  }

  /** Adds commands that were encoded before, as they are. */
  append(encoded: Uint8Array): this {
    this.#reserve(encoded.length);
    this.#bytes.set(encoded, this.#length);
    this.#length += encoded.length;
    return this;
  }

  /** Hands over what has been encoded; the encoder starts anew, in a buffer of its own. */
  take(): Uint8Array {
    const taken = this.#bytes.subarray(0, this.#length);
    this.#bytes = new Uint8Array(Math.min(Math.max(this.#bytes.length >> 1, 1024), 64 * 1024));
    this.#length = 0;
    return taken;
  }

  #reserve(more: number): void {
    const needed = this.#length + more;
    if (needed <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(needed, this.#bytes.length * 2));
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
  }
}

/** Encodes one command into bytes of its own. */
export function encodeCommand(args: readonly RespArgument[]): Uint8Array {
  return new RespEncoder().command(args).take();
}

function decimal(value: number | bigint): string {
  if (typeof value !== "number" && typeof value !== "bigint") {
    throw new TypeError(
      `Cannot encode an argument as it must be a string, bytes, a number or a bigint: current value is ${
        String(value)
      }`,
    );
  }
  if (typeof value === "number" && !Number.isSafeInteger(value)) {
    throw new RangeError(`Cannot encode a number as it must be a safe integer: current value is ${value}`);
  }
  return value.toString();
}

/** Most bytes that {@linkcode writeBulk} and {@linkcode writeBulkText} need beside the body. */
export const BULK_OVERHEAD = HEADER + 2;

/** Writes the header of an aggregate or bulk string at `at`; returns where it ends. Needs 13 bytes of room. */
export function writeHeader(bytes: Uint8Array, at: number, type: number, count: number): number {
  bytes[at++] = type;
  at = writeDecimal(bytes, at, count);
  bytes[at] = CR;
  bytes[at + 1] = LF;
  return at + 2;
}

/** Writes a bulk string of these bytes; returns where it ends. Needs `body.length + BULK_OVERHEAD` bytes of room. */
export function writeBulk(bytes: Uint8Array, at: number, body: Uint8Array): number {
  at = writeHeader(bytes, at, TYPE.bulk, body.length);
  bytes.set(body, at);
  at += body.length;
  bytes[at] = CR;
  bytes[at + 1] = LF;
  return at + 2;
}

/**
 * Writes a bulk string of this text, as UTF-8, encoded straight into its place: the length is written as if each
 * character took one byte, and mended where that was wrong. Returns where it ends. Needs `text.length * 3 + BULK_OVERHEAD`
 * bytes of room.
 */
export function writeBulkText(bytes: Uint8Array, at: number, text: string): number {
  const guess = text.length;
  let body = writeHeader(bytes, at, TYPE.bulk, guess);
  const written = writeText(bytes, body, text);
  if (written !== guess) {
    const shift = digits(written) - digits(guess);
    if (shift > 0) bytes.copyWithin(body + shift, body, body + written);
    body = writeHeader(bytes, at, TYPE.bulk, written);
  }
  const end = body + written;
  bytes[end] = CR;
  bytes[end + 1] = LF;
  return end + 2;
}

/** Writes text as UTF-8 at `at`; returns how many bytes that took. Needs `text.length * 3` bytes of room. */
export function writeText(bytes: Uint8Array, at: number, text: string): number {
  if (text.length < LOOP_BELOW) {
    let i = 0;
    for (; i < text.length; i++) {
      const code = text.charCodeAt(i);
      if (code > 0x7f) break;
      bytes[at + i] = code;
    }
    if (i === text.length) return i;
  }
  return utf8.encodeInto(text, bytes.subarray(at)).written;
}

function writeDecimal(bytes: Uint8Array, at: number, value: number): number {
  const end = at + digits(value);
  let rest = value;
  for (let i = end - 1; i >= at; i--) {
    const tenth = Math.floor(rest / 10);
    bytes[i] = ZERO + rest - tenth * 10;
    rest = tenth;
  }
  return end;
}

/** How many decimal digits a whole number from 0 to 2^31 − 1 has. */
export function digits(value: number): number {
  if (value < 10) return 1;
  if (value < 100) return 2;
  if (value < 1000) return 3;
  if (value < 10_000) return 4;
  if (value < 100_000) return 5;
  if (value < 1_000_000) return 6;
  if (value < 10_000_000) return 7;
  if (value < 100_000_000) return 8;
  return value < 1_000_000_000 ? 9 : 10;
}
