// One framed reply: its bytes and the tape of its values, read in place. It must not know what the values mean.

import { digits } from "./encoder.ts";
import { TYPE } from "./wire.ts";
import { decodeText } from "./value.ts";

/** Bytes in which a reply stands, and the tape the scanner made of it: two integers a value. */
export interface RespReplyBytes {
  /** The bytes; the reply need not be all of them. */
  readonly bytes: Uint8Array;
  /** Where in `bytes` the reply starts; the tape counts from here. */
  readonly start: number;
  /** What the scanner noted: of each value where its header stands, counted from `start`, and its length. */
  readonly tape: Int32Array;
  /** How many integers of the tape are in use. */
  readonly tapeLength: number;
}

/**
 * A whole reply, its bytes and its tape, so that values can be read out of it lazily. Both are its own where the decoder has
 * given it away, and lent where it was borrowed. An index `at` is that
 * of a value's first integer on the tape; the value behind a scalar is at `at + 2`.
 */
export class RespFrame implements RespReplyBytes {
  /** The bytes. */
  readonly bytes: Uint8Array;
  /** Where in `bytes` the reply starts. */
  readonly start: number;
  /** What the scanner noted. */
  readonly tape: Int32Array;
  /** How many integers of the tape are in use. */
  readonly tapeLength: number;
  /** Bytes of the wire this reply took. */
  readonly byteLength: number;

  /** Of these bytes, which it does not copy. */
  constructor(reply: RespReplyBytes, byteLength: number) {
    this.bytes = reply.bytes;
    this.start = reply.start;
    this.tape = reply.tape;
    this.tapeLength = reply.tapeLength;
    this.byteLength = byteLength;
  }

  /** The type byte, one of {@linkcode TYPE}. */
  typeAt(at: number): number {
    return this.bytes[this.start + this.tape[at]];
  }

  /** Bytes of a body, values of an array, pairs of a map; -1 for null. */
  lengthAt(at: number): number {
    return this.tape[at + 1];
  }

  /** Whether an array (or null array) stands there. */
  isArray(at: number): boolean {
    return this.typeAt(at) === TYPE.array;
  }

  /** Whether a bulk string of announced length stands there, and no null. */
  isBulk(at: number): boolean {
    const header = this.start + this.tape[at];
    return this.bytes[header] === TYPE.bulk && this.tape[at + 1] >= 0 && this.bytes[header + 1] !== 0x3f;
  }

  /** Where in `bytes` the body of a bulk string begins. */
  bodyAt(at: number): number {
    return this.start + this.tape[at] + 3 + digits(this.tape[at + 1]);
  }

  /** A view of a bulk string's body: it shares this frame's bytes. */
  viewAt(at: number): Uint8Array {
    return new Uint8Array(this.bytes.buffer, this.bytes.byteOffset + this.bodyAt(at), this.tape[at + 1]);
  }

  /** A bulk string's body as UTF-8 text. */
  textAt(at: number): string {
    return textAt(this, this.bodyAt(at), this.tape[at + 1]);
  }
}

/** Below this many bytes, ASCII text is made faster character by character than by a TextDecoder. */
const SHORT = 24;

/** UTF-8 text of `length` bytes at `from`, an index into the bytes and not into the reply. */
export function textAt(reply: RespReplyBytes, from: number, length: number): string {
  if (length < SHORT) {
    let text = "";
    let i = from;
    for (const to = from + length; i < to; i++) {
      const byte = reply.bytes[i];
      if (byte > 0x7f) break;
      text += String.fromCharCode(byte);
    }
    if (i === from + length) return text;
  }
  return decodeText(reply.bytes.subarray(from, from + length));
}
