// Encodes commands as arrays of length-prefixed bulk strings, in one growing buffer.

import { CR, LF, TYPE } from "./wire.ts";

const ZERO = 48;

/** Maximum length of a header: a type byte, ten digits, CR and LF. */
const HEADER = 13;
/** From this length on, `encodeInto` is faster than a loop for ASCII strings (Node 26, Deno 2.9, Bun 1.4). */
const LOOP_BELOW = 24;

/** From this length on, text is encoded separately first. Encoding it in place needs space for three bytes for each character. */
export const STRAIGHT_BELOW = 4 * 1024;

const utf8 = new TextEncoder();

/**
 * An argument of a command. Text is sent as UTF-8, bytes unchanged, and a number or bigint in decimal.
 *
 * @category RESP
 */
export type RespArgument = string | Uint8Array | number | bigint;

/**
 * Options of {@linkcode RespEncoder}.
 *
 * @category RESP
 */
export interface RespEncoderOptions {
  /** Size of the first buffer in bytes. @default {1024} */
  readonly capacity?: number;
}

/**
 * Encodes commands one after another into one buffer, which grows as needed.
 *
 * A lone surrogate in a string becomes U+FFFD. Lengths count the encoded bytes.
 *
 * Source: RESP3 specification, “Sending commands to a Redis server”.
 *
 * @example
 * ```ts
 * import { RespEncoder } from "@sea/streamer-redis/resp";
 *
 * const encoder = new RespEncoder();
 * encoder.command(["XADD", "orders", "*", "msg", "paid"]);
 * encoder.command(["XLEN", "orders"]);
 * const bytes = encoder.take();
 * console.log(new TextDecoder().decode(bytes));
 * ```
 *
 * @category RESP
 */
export class RespEncoder {
  #bytes: Uint8Array;
  #length = 0;

  /** Creates an empty encoder. */
  constructor(options: RespEncoderOptions = {}) {
    this.#bytes = new Uint8Array(Math.max(options.capacity ?? 1024, 64));
  }

  /** The number of encoded bytes that are not taken yet. */
  get length(): number {
    return this.#length;
  }

  /**
   * Adds a command. With `count`, the command has that many arguments: add the missing ones with {@linkcode bulk} or
   * {@linkcode append}.
   *
   * @throws {RangeError} if there are no arguments, since a server does not answer an empty command. Or if `count` is too low.
   */
  command(args: readonly RespArgument[], count: number = args.length): this {
    if (count === 0) throw new RangeError("Cannot encode a command: 'args' must contain a name, got []");
    if (!Number.isSafeInteger(count) || count < args.length) {
      throw new RangeError(
        `Cannot encode a command: 'count' must be a whole number of at least ${args.length}, got ${count}`,
      );
    }
    const before = this.#length;
    this.#reserve(HEADER);
    this.#length = writeHeader(this.#bytes, this.#length, TYPE.array, count);
    try {
      for (const arg of args) this.bulk(arg);
    } catch (error) {
      this.#length = before; // the next command would be read as the rest of an incomplete one
      throw error;
    }
    return this;
  }

  /** Adds an argument to a command that was started with a larger `count`. */
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

  /** Adds bytes that are already encoded. */
  append(encoded: Uint8Array): this {
    this.#reserve(encoded.length);
    this.#bytes.set(encoded, this.#length);
    this.#length += encoded.length;
    return this;
  }

  /** Returns the encoded bytes, which belong to the caller. The encoder continues with an empty buffer. */
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

/**
 * Encodes one command.
 *
 * @throws {RangeError} if there are no arguments.
 *
 * @example
 * ```ts
 * import { encodeCommand } from "@sea/streamer-redis/resp";
 *
 * const bytes = encodeCommand(["XADD", "orders", "*", "msg", "paid"]);
 * console.log(bytes.length); // 52
 * ```
 *
 * @category RESP
 */
export function encodeCommand(args: readonly RespArgument[]): Uint8Array {
  return new RespEncoder().command(args).take();
}

function decimal(value: number | bigint): string {
  if (typeof value !== "number" && typeof value !== "bigint") {
    throw new TypeError(
      `Cannot encode an argument: it must be a string, a Uint8Array, a number or a bigint, got ${typeof value}`,
    );
  }
  if (typeof value === "number" && !Number.isSafeInteger(value)) {
    throw new RangeError(`Cannot encode an argument: a number must be a safe integer, got ${value}`);
  }
  return value.toString();
}

/** Maximum bytes that {@linkcode writeBulk} and {@linkcode writeBulkText} need in addition to the body. */
export const BULK_OVERHEAD = HEADER + 2;

/** Writes the header of an aggregate or bulk string at `at`; returns its end. Needs 13 bytes of space. */
export function writeHeader(bytes: Uint8Array, at: number, type: number, count: number): number {
  bytes[at++] = type;
  at = writeDecimal(bytes, at, count);
  bytes[at] = CR;
  bytes[at + 1] = LF;
  return at + 2;
}

/** Writes a bulk string of these bytes; returns its end. Needs `body.length + BULK_OVERHEAD` bytes of space. */
export function writeBulk(bytes: Uint8Array, at: number, body: Uint8Array): number {
  at = writeHeader(bytes, at, TYPE.bulk, body.length);
  bytes.set(body, at);
  at += body.length;
  bytes[at] = CR;
  bytes[at + 1] = LF;
  return at + 2;
}

/**
 * Writes a bulk string of this text as UTF-8; returns its end. Needs `text.length * 3 + BULK_OVERHEAD` bytes of space.
 *
 * The text is encoded in place: the length is written as if each character took one byte, and corrected if it was wrong.
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

/** Writes text as UTF-8 at `at`; returns the number of bytes. Needs `text.length * 3` bytes of space. */
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

/** The number of decimal digits of a whole number from 0 to 2^31 − 1. */
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
