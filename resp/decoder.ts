// Takes bytes in pieces of any size and gives whole replies. It owns the receive buffer and lends or gives it away;
// it must not know where the bytes come from.

import { RespFrame, type RespReplyBytes } from "./frame.ts";
import { checkLimits, type RespLimits } from "./limits.ts";
import { RespScanner } from "./scanner.ts";
import { TYPE } from "./wire.ts";
import { buildAttributes, buildValue } from "./tree.ts";
import type { RespMap, RespValue } from "./value.ts";
import { StreamerError } from "./errors.ts";

/** What {@linkcode RespDecoder} can be told. */
export interface RespDecoderOptions {
  /** What is accepted at most. @default {the limits listed with RespLimits} */
  readonly limits?: RespLimits;
  /** Bytes of the first receive buffer. @default {65536} */
  readonly capacity?: number;
}

/** One whole reply. */
export interface RespReply {
  /** `"push"` for what the server sent without being asked; it answers no command. */
  readonly kind: "reply" | "push";
  /** The value; of a push the array of its parts. */
  readonly value: RespValue;
  /** The attributes that stood before it, if any; those inside a reply are dropped. */
  readonly attributes?: RespMap;
}

/** Bytes of the first receive buffer, if nothing else is said. */
const FIRST_CAPACITY = 64 * 1024;
/** Room below which the buffer is tidied or grown before more is read into it. */
const LEAST_ROOM = 4 * 1024;
/**
 * A reply of at most this size is copied out of the buffer rather than taking the buffer with it. Reading into a buffer
 * that is warm and copying once is faster than reading into a fresh one, whose memory the system has to bring page by page
 * while the server waits: 2.4 against 1.5 million messages a second in a client that does nothing else (Node 26).
 */
const COPY_BELOW = 1024 * 1024;

/**
 * Decodes RESP3 and RESP2 incrementally.
 *
 * Bytes go in by {@linkcode feed}, or without a copy by {@linkcode space} and {@linkcode received}; replies come out
 * by {@linkcode read}, in order. A reply whose bytes have not all come is resumed where they ran out, never scanned
 * again. Memory follows the bytes that really came: nothing is sized by what a header declares. After a violation
 * of the protocol or a limit every further call of `read` throws that same error.
 *
 * What has come of a reply is kept in one piece, in a buffer that doubles: a reply of more than 64 MiB, or of more than
 * four million values, stops the loop for more than 50 ms when that happens. Lower `limits.reply` where that matters.
 *
 * Source: RESP3 specification; every type of it and of RESP2.
 *
 * @example
 * ```ts
 * import { RespDecoder } from "@sea/streamer-redis/resp";
 *
 * const decoder = new RespDecoder();
 * decoder.feed(new TextEncoder().encode("+OK\r\n:4"));
 * console.log(decoder.read()?.value); // "OK"
 * console.log(decoder.read()); // undefined: the integer is not whole
 * decoder.feed(new TextEncoder().encode("2\r\n"));
 * console.log(decoder.read()?.value); // 42
 * ```
 */
export class RespDecoder {
  readonly #scanner: RespScanner;
  #bytes: Uint8Array;
  #start = 0; // of the reply being framed, or framed
  #end = 0; // of the bytes that have come
  #framed = false;

  /** Makes a decoder that has seen nothing. Throws `INVALID_OPTION` for an unusable limit. */
  constructor(options: RespDecoderOptions = {}) {
    this.#scanner = new RespScanner(checkLimits(options.limits));
    this.#bytes = new Uint8Array(Math.max(checkCapacity(options.capacity ?? FIRST_CAPACITY), LEAST_ROOM));
  }

  /** Bytes that have come and belong to no reply read yet. */
  get buffered(): number {
    return this.#end - this.#start - (this.#framed ? this.#scanner.length : 0);
  }

  /** The violation after which nothing is decoded any more, or `undefined`. */
  get failure(): StreamerError | undefined {
    return this.#scanner.failure;
  }

  /** Takes a copy of these bytes. After a violation they are dropped. */
  feed(bytes: Uint8Array): void {
    for (let from = 0; from < bytes.length;) {
      const space = this.space();
      const count = Math.min(space.length, bytes.length - from);
      space.set(bytes.subarray(from, from + count));
      this.received(count);
      from += count;
    }
  }

  /**
   * Lends room for the next bytes, to be written from its beginning; say how many by {@linkcode received}. Until then
   * no reply may be taken, since taking one can move the room.
   */
  space(): Uint8Array {
    if (this.#bytes.length - this.#end < LEAST_ROOM) this.#makeRoom();
    return this.#bytes.subarray(this.#end);
  }

  /** `count` bytes have been written into the room lent last. After a violation they are dropped. */
  received(count: number): void {
    if (this.#scanner.failure === undefined) this.#end += count;
  }

  /**
   * Gives the next whole reply, its bytes copied, or `undefined` while none is whole. What holding a part of it holds
   * in memory is said at {@linkcode RespValue}.
   *
   * @throws {StreamerError} `PROTOCOL`, quoting offset and byte; from then on always.
   */
  read(): RespReply | undefined {
    if (!this.advance()) return undefined;
    const reply = this.#reply();
    const { valueAt } = this.#scanner;
    const value = buildValue(reply, valueAt);
    const kind = this.isPush() ? "push" : "reply";
    if (valueAt === 0) return { kind, value };
    return { kind, value, attributes: buildAttributes(reply, valueAt) };
  }

  /**
   * Frames the next whole reply and stands on it until the next call; false while none is whole. What stands there is
   * read by {@linkcode value}, {@linkcode detach} and the members beside them, in any number, or not at all.
   *
   * @throws {StreamerError} `PROTOCOL`, quoting offset and byte; from then on always.
   */
  advance(): boolean {
    if (this.#framed) {
      this.#start += this.#scanner.length;
      this.#scanner.next();
      this.#framed = false;
      if (this.#start === this.#end) this.#start = this.#end = 0;
    }
    return this.#framed = this.#scanner.scan(this.#bytes, this.#start, this.#end);
  }

  /** Whether the reply stood on is a push. */
  isPush(): boolean {
    return this.typeByte() === TYPE.push;
  }

  /** The type byte of the reply stood on. */
  typeByte(): number {
    return this.#bytes[this.#start + this.#scanner.tape[this.#scanner.valueAt]];
  }

  /** The value of the reply stood on, its bytes copied as by {@linkcode read}. */
  value(): RespValue {
    return buildValue(this.#reply(), this.#scanner.valueAt);
  }

  /** Where the reply stood on has its first header, inside {@linkcode bytes}. */
  get position(): number {
    return this.#start + this.#scanner.tape[this.#scanner.valueAt];
  }

  /** What the tape says of the length of the reply stood on: of a bulk string its bytes, of null -1. */
  get valueLength(): number {
    return this.#scanner.tape[this.#scanner.valueAt + 1];
  }

  /** The receive buffer as it is now: valid until the next call of any other member. */
  get bytes(): Uint8Array {
    return this.#bytes;
  }

  /**
   * The reply stood on as a frame that borrows the receive buffer: to be looked at before the next call of any other member.
   * {@linkcode detach} then gives one with the same tape that lasts.
   */
  borrow(): RespFrame {
    const { tape, tapeLength, valueAt, length } = this.#scanner;
    const own = { tape: valueAt === 0 ? tape : tape.subarray(valueAt), tapeLength: tapeLength - valueAt };
    return new RespFrame({ bytes: this.#bytes, start: this.#start, ...own }, length);
  }

  /**
   * Gives the reply stood on away as a frame that owns its bytes, and holds no others. A very large one takes the receive
   * buffer with it, and the bytes behind it move to a fresh one; else it is copied, and the buffer stays.
   */
  detach(): RespFrame {
    const { length, tapeLength, valueAt } = this.#scanner;
    const to = this.#start + length;
    if (length <= COPY_BELOW || length * 2 < this.#bytes.length) {
      const copied = {
        bytes: this.#bytes.slice(this.#start, to),
        start: 0,
        tape: this.#scanner.tape.slice(valueAt, tapeLength),
        tapeLength: tapeLength - valueAt,
      };
      return new RespFrame(copied, length);
    }
    const tape = valueAt === 0 ? this.#scanner.giveTape() : this.#scanner.tape.slice(valueAt, tapeLength);
    const frame = new RespFrame(
      { bytes: this.#bytes, start: this.#start, tape, tapeLength: tapeLength - valueAt },
      length,
    );
    const rest = this.#bytes.subarray(to, this.#end);
    this.#bytes = new Uint8Array(Math.max(COPY_BELOW, rest.length + LEAST_ROOM));
    this.#bytes.set(rest);
    this.#scanner.next();
    this.#start = 0;
    this.#end = rest.length;
    this.#framed = false;
    return frame;
  }

  #reply(): RespReplyBytes {
    const { tape, tapeLength } = this.#scanner;
    return { bytes: this.#bytes, start: this.#start, tape, tapeLength };
  }

  #makeRoom(): void {
    const kept = this.#end - this.#start;
    if (kept > this.#bytes.length / 2) {
      const grown = new Uint8Array(this.#bytes.length * 2);
      grown.set(this.#bytes.subarray(this.#start, this.#end));
      this.#bytes = grown;
    } else {
      this.#bytes.copyWithin(0, this.#start, this.#end);
    }
    this.#start = 0;
    this.#end = kept;
  }
}

function checkCapacity(capacity: number): number {
  if (Number.isSafeInteger(capacity) && capacity >= 0) return capacity;
  throw new StreamerError(
    "INVALID_OPTION",
    `Cannot use capacity as it must be a whole number of bytes: current value is ${String(capacity)}`,
  );
}
