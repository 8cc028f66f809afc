// One framed reply: its bytes and the tape of its values, read in place.

import { digits } from "../encoder.ts";
import { TYPE } from "../wire.ts";
import { decodeText } from "../value.ts";

/**
 * The bytes of a reply and its tape: two integers for each value.
 *
 * @category RESP
 */
export interface RespReplyBytes {
  /** Bytes that contain the reply. There can be other bytes before and after it. */
  readonly bytes: Uint8Array;
  /** The index in `bytes` where the reply starts. */
  readonly start: number;
  /** For each value: the index of its header, relative to `start`, and its length. */
  readonly tape: Int32Array;
  /** The number of integers on the tape. The rest of the array is unused. */
  readonly tapeLength: number;
}

/**
 * A complete reply with its tape, from which values are read lazily.
 *
 * A frame from `detach` owns its bytes. A frame from `borrow` shares the receive buffer of the decoder. An index `at` is the index of
 * a value's first integer on the tape. The value after a scalar is at `at + 2`.
 *
 * @example
 * ```ts
 * import { RespDecoder } from "@sea/streamer-redis/resp";
 *
 * const decoder = new RespDecoder();
 * decoder.feed(new TextEncoder().encode("*2\r\n$2\r\nid\r\n$4\r\npaid\r\n"));
 * if (decoder.advance()) {
 *   const frame = decoder.detach();
 *   console.log(frame.lengthAt(0), frame.textAt(2), frame.textAt(4)); // 2 id paid
 * }
 * ```
 *
 * @category RESP
 */
export class RespFrame implements RespReplyBytes {
  /** Bytes that contain the reply. */
  readonly bytes: Uint8Array;
  /** The index in `bytes` where the reply starts. */
  readonly start: number;
  /** For each value: the index of its header, relative to `start`, and its length. */
  readonly tape: Int32Array;
  /** The number of integers on the tape. */
  readonly tapeLength: number;
  /** The number of bytes of the reply. */
  readonly byteLength: number;

  /** Creates a frame of these bytes, without a copy. */
  constructor(reply: RespReplyBytes, byteLength: number) {
    this.bytes = reply.bytes;
    this.start = reply.start;
    this.tape = reply.tape;
    this.tapeLength = reply.tapeLength;
    this.byteLength = byteLength;
  }

  /** The type byte, one of `TYPE`. */
  typeAt(at: number): number {
    return this.bytes[this.start + this.tape[at]];
  }

  /** The bytes of a body, the values of an array, or the pairs of a map. -1 for null. */
  lengthAt(at: number): number {
    return this.tape[at + 1];
  }

  /** Whether the value is an array or a null array. */
  isArray(at: number): boolean {
    return this.typeAt(at) === TYPE.array;
  }

  /** Whether the value is a bulk string of announced length, and not null. */
  isBulk(at: number): boolean {
    const header = this.start + this.tape[at];
    return this.bytes[header] === TYPE.bulk && this.tape[at + 1] >= 0 && this.bytes[header + 1] !== 0x3f;
  }

  /** The index in `bytes` where the body of a bulk string starts. */
  bodyAt(at: number): number {
    return this.start + this.tape[at] + 3 + digits(this.tape[at + 1]);
  }

  /** The body of a bulk string, as a view of this frame's bytes. */
  viewAt(at: number): Uint8Array {
    return new Uint8Array(this.bytes.buffer, this.bytes.byteOffset + this.bodyAt(at), this.tape[at + 1]);
  }

  /** The body of a bulk string as UTF-8 text. */
  textAt(at: number): string {
    return textAt(this, this.bodyAt(at), this.tape[at + 1]);
  }
}

/** Below this number of bytes, ASCII text is decoded faster character by character than with a TextDecoder. */
const SHORT = 24;

/** UTF-8 text of `length` bytes at `from`, which is an index into the bytes and not into the reply. */
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
