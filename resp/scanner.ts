// Frames one reply at a time: walks its headers, checks them, and notes every value on a tape. It hops over bodies,
// builds nothing, and resumes where the bytes ran out. It must not know who owns the bytes, nor what a reply means.
//
// The tape holds two integers a value: where its header stands, counted from the start of the reply, and its length
// (bytes of a body, values of an aggregate, -1 for null). Everything else can be read off the bytes again, because
// lengths are canonical: the body of a bulk string of n bytes starts 3 + digits(n) behind its header.

import { ProtocolError, type StreamerError } from "./errors.ts";
import type { RespLimits } from "./limits.ts";
import { fitsInt64, isDigit, isDouble, MAX_INT64_DIGITS } from "./numbers.ts";
import { COUNTED, RespProgress } from "./progress.ts";
import { CR, LF, TYPE } from "./wire.ts";

const MINUS = 0x2d;
const PLUS = 0x2b;
const QUESTION = 0x3f;

/** Length on the tape of an aggregate or string whose end was not announced; patched when the end has come. */
const STREAMED = -2;

const ATTRIBUTE = 1;
const STREAMED_LIST = 2;
const STREAMED_MAP = 3;
const CHUNKS = 4;

/** More digits than this cannot be a length within 32 bits. */
const MAX_LENGTH_DIGITS = 10;
const INCOMPLETE = -1;

/** Frames replies out of a buffer that its owner fills, moves and reuses between calls. */
export class RespScanner {
  readonly #limits: Required<RespLimits>;
  readonly #progress: RespProgress;
  #pos = 0; // all positions are relative to the start of the reply, so that its owner may move it
  #lineFrom = 0; // how far an unfinished line has been searched for its end
  #valueAt = 0;
  #attributed = false; // whether this reply has had an attribute at all
  #attributes: number[] = []; // by depth: attributes in a row in front of the next value
  #streamOffset = 0; // bytes of all replies before this one, for messages
  #opened: number[] = []; // by depth: where on the tape a frame stands, unless its values were counted on the fast path
  #number = 0; // result of #length
  #failure: StreamerError | undefined;

  constructor(limits: Required<RespLimits>) {
    this.#limits = limits;
    this.#progress = new RespProgress(limits);
  }

  /** Two integers a value, valid until the next {@linkcode next}. */
  get tape(): Int32Array {
    return this.#progress.tape;
  }

  /** How many integers of the tape are in use. */
  get tapeLength(): number {
    return this.#progress.tapeLength;
  }

  /** Where on the tape the value itself begins: behind its attributes, if it had any. */
  get valueAt(): number {
    return this.#valueAt;
  }

  /** Bytes of the reply scanned so far; its whole length once it is complete. */
  get length(): number {
    return this.#pos;
  }

  /** What broke the stream, once something did. */
  get failure(): StreamerError | undefined {
    return this.#failure;
  }

  /** Gives the tape away with the reply it describes; a new one takes its place. */
  giveTape(): Int32Array {
    return this.#progress.giveTape();
  }

  /** Forgets the reply that is complete; the next one starts where it ended. */
  next(): void {
    this.#streamOffset += this.#pos;
    this.#pos = 0;
    this.#lineFrom = 0;
    this.#progress.tapeLength = 0;
    this.#valueAt = 0;
    this.#attributed = false;
  }

  /**
   * Goes on with the reply that starts at `start`; `end` is where the bytes end for now. True when it is complete.
   *
   * @throws {StreamerError} `PROTOCOL`, now and for ever, after the first violation.
   */
  scan(bytes: Uint8Array, start: number, end: number): boolean {
    if (this.#failure !== undefined) throw this.#failure;
    const progress = this.#progress;
    let { remaining, kind } = progress;
    let { tape, tapeLength, depth } = progress;
    let pos = start + this.#pos;
    let attributed = this.#attributed;
    const maxElements = this.#limits.elements * 2;

    while (pos < end) {
      let type = bytes[pos];
      if ((type === TYPE.bulk || type === TYPE.array) && depth > 0 && kind[depth - 1] === COUNTED && !attributed) {
        progress.depth = depth;
        progress.tapeLength = tapeLength;
        pos = progress.hop(bytes, start, pos, end);
        ({ tape, tapeLength, depth } = progress);
        if (depth === 0) {
          this.#pause(bytes, start, pos, pos, 0, tapeLength, false);
          return true;
        }
        if (pos >= end) break;
        type = bytes[pos]; // what the fast path left
      }
      if (depth > 0 && kind[depth - 1] === CHUNKS && type !== TYPE.chunk) {
        return this.#fail("a chunk of a streamed string", bytes, start, pos);
      }
      let after: number;
      let length = 0;
      let body = false; // whether `length` bytes and CRLF follow the header
      let opens = -1; // what kind of frame this value opens, if any
      let children = 0;

      switch (type) {
        case TYPE.bulk:
          after = this.#length(bytes, start, pos, end, true);
          length = this.#number;
          if (length === STREAMED) opens = CHUNKS;
          else body = length >= 0;
          break;
        case TYPE.array:
          after = this.#length(bytes, start, pos, end, true);
          length = this.#number;
          if (length === STREAMED) opens = STREAMED_LIST;
          else if (length > 0) {
            opens = COUNTED;
            children = length;
          }
          break;
        case TYPE.set:
        case TYPE.map:
          after = this.#length(bytes, start, pos, end, true);
          length = this.#number;
          if (length === STREAMED) opens = type === TYPE.map ? STREAMED_MAP : STREAMED_LIST;
          else if (length > 0) {
            opens = COUNTED;
            children = type === TYPE.map ? length * 2 : length;
          }
          break;
        case TYPE.attribute:
          after = this.#length(bytes, start, pos, end, false);
          length = this.#number;
          children = length * 2;
          opens = ATTRIBUTE;
          break;
        case TYPE.push:
          if (depth > 0) return this.#fail("a reply", bytes, start, pos);
          after = this.#length(bytes, start, pos, end, false);
          length = children = this.#number;
          if (length === 0 && after !== INCOMPLETE) return this.#fail("1 or more values", bytes, start, pos + 1);
          opens = COUNTED;
          break;
        case TYPE.bulkError:
        case TYPE.verbatim:
          after = this.#length(bytes, start, pos, end, false);
          length = this.#number;
          body = true;
          break;
        case TYPE.chunk:
          if (depth === 0 || kind[depth - 1] !== CHUNKS) return this.#fail("a reply", bytes, start, pos);
          after = this.#length(bytes, start, pos, end, false);
          length = this.#number;
          body = length > 0;
          break;
        case TYPE.end: {
          const open = depth === 0 ? -1 : kind[depth - 1];
          const dangling = attributed && this.#attributes[depth] > 0;
          if ((open !== STREAMED_LIST && open !== STREAMED_MAP) || dangling) {
            return this.#fail("a reply", bytes, start, pos);
          }
          after = this.#line(bytes, start, pos, end, 0);
          break;
        }
        default:
          after = this.#scalar(type, bytes, start, pos, end);
          length = after - pos - 3;
      }
      if (after === INCOMPLETE) break;
      const closes = type === TYPE.end || (type === TYPE.chunk && length === 0);
      if (tapeLength + children * 2 > maxElements && !closes) {
        return this.#fail(`at most ${this.#limits.elements} values`, bytes, start, pos, true);
      }
      if (body) {
        if (length > this.#limits.bulk) {
          return this.#fail(`at most ${this.#limits.bulk} bytes`, bytes, start, pos, true);
        }
        const tail = after + length;
        if (tail + 2 - start > this.#limits.reply) return this.#tooLarge(bytes, start);
        if (tail + 2 > end) break;
        if (bytes[tail] !== CR) return this.#fail("CR", bytes, start, tail);
        if (bytes[tail + 1] !== LF) return this.#fail("LF", bytes, start, tail + 1);
        after = tail + 2;
      }

      if (closes) {
        depth--;
        const opened = this.#opened[depth];
        const count = -remaining[depth]; // streamed frames count their values downwards from 0
        if (kind[depth] === STREAMED_MAP && count % 2 !== 0) return this.#fail("a value", bytes, start, pos);
        tape[opened + 1] = kind[depth] === STREAMED_MAP ? count / 2 : count;
      } else {
        if (tapeLength + 2 > tape.length) tape = progress.growTape();
        tape[tapeLength] = pos - start;
        tape[tapeLength + 1] = length;
        tapeLength += 2;
        if (opens >= 0) {
          const before = attributed ? this.#attributes[depth] : 0;
          if (depth + before >= this.#limits.depth) {
            return this.#fail(`at most ${this.#limits.depth} levels`, bytes, start, pos);
          }
          if (depth === kind.length) {
            progress.deepen();
            ({ remaining, kind } = progress);
          }
          remaining[depth] = children;
          kind[depth] = opens;
          this.#opened[depth] = tapeLength - 2;
          depth++;
          if (attributed) this.#attributes[depth] = 0;
          if (opens !== ATTRIBUTE) {
            pos = after;
            continue;
          }
          if (!attributed) {
            attributed = true;
            this.#attributes.fill(0, 0, depth + 1);
            while (this.#attributes.length <= depth) this.#attributes.push(0);
          }
          if (children > 0) {
            pos = after;
            continue;
          }
          remaining[depth - 1] = 1; // an attribute without pairs ends at once, below
        }
      }
      pos = after;

      // A value is complete: so may be the aggregates around it.
      for (;;) {
        if (depth === 0) {
          this.#pause(bytes, start, pos, pos, 0, tapeLength, false);
          return true;
        }
        const left = --remaining[depth - 1];
        if (attributed) this.#attributes[depth] = 0;
        if (left !== 0) break; // streamed frames count below zero and end by their marker
        depth--;
        if (kind[depth] !== ATTRIBUTE) continue;
        if (depth === 0) this.#valueAt = tapeLength;
        else tapeLength = this.#opened[depth]; // attributes inside a reply are dropped
        this.#attributes[depth]++;
        break; // it was no value: its parent still waits for one
      }
    }
    this.#pause(bytes, start, pos, end, depth, tapeLength, attributed);
    return false;
  }

  #pause(
    bytes: Uint8Array,
    start: number,
    pos: number,
    end: number,
    depth: number,
    tapeLength: number,
    attributed: boolean,
  ): void {
    this.#pos = pos - start;
    this.#progress.depth = depth;
    this.#progress.tapeLength = tapeLength;
    this.#attributed = attributed;
    if (end - start > this.#limits.reply) this.#tooLarge(bytes, start);
  }

  #tooLarge(bytes: Uint8Array, start: number): never {
    return this.#fail(`a reply of at most ${this.#limits.reply} bytes`, bytes, start, start, true);
  }

  #fail(expected: string, bytes: Uint8Array, start: number, pos: number, tooLarge = false): never {
    if (!tooLarge && pos - start >= this.#limits.reply) return this.#tooLarge(bytes, start);
    const offset = this.#streamOffset + (pos - start);
    const byte = bytes[pos];
    const shown = byte > 0x20 && byte < 0x7f ? ` (${String.fromCharCode(byte)})` : "";
    const hex = byte === undefined ? "none" : `0x${byte.toString(16).padStart(2, "0")}${shown}`;
    this.#failure = new ProtocolError(
      `Cannot decode byte ${hex} at offset ${offset} as ${expected} was expected`,
      tooLarge,
    );
    throw this.#failure;
  }

  /** Reads `<digits>CRLF` (or `-1`, or `?` where allowed) behind the type byte into #number; returns where it ends. */
  #length(bytes: Uint8Array, start: number, pos: number, end: number, extended: boolean): number {
    let at = pos + 1;
    let value = 0;
    while (at < end) {
      const digit = bytes[at] - 48;
      if (digit < 0 || digit > 9) break;
      value = value * 10 + digit;
      at++;
    }
    const count = at - pos - 1;
    if (count > 1 && bytes[pos + 1] === 48) return this.#fail("a length without leading zeros", bytes, start, pos + 1);
    if (count > MAX_LENGTH_DIGITS) return this.#fail("a length of at most 10 digits", bytes, start, pos + 11);
    if (at >= end) return INCOMPLETE;
    if (count === 0) {
      if (!extended) return this.#fail("a digit", bytes, start, at);
      if (bytes[at] === QUESTION) {
        value = STREAMED;
        at++;
      } else if (bytes[at] === MINUS && (bytes[pos] === TYPE.bulk || bytes[pos] === TYPE.array)) {
        if (at + 1 >= end) return INCOMPLETE;
        if (bytes[at + 1] !== 49) return this.#fail("1", bytes, start, at + 1);
        value = -1;
        at += 2;
      } else {
        return this.#fail("a digit", bytes, start, at);
      }
      if (at >= end) return INCOMPLETE;
    }
    if (bytes[at] !== CR) return this.#fail("a digit or CR", bytes, start, at);
    if (at + 1 >= end) return INCOMPLETE;
    if (bytes[at + 1] !== LF) return this.#fail("LF", bytes, start, at + 1);
    this.#number = value;
    return at + 2;
  }

  /** Finds the end of a line whose text has at most `limit` bytes; resumes its search. Returns where the line ends. */
  #line(bytes: Uint8Array, start: number, pos: number, end: number, limit: number): number {
    let at = Math.max(pos + 1, start + this.#lineFrom);
    while (at < end && bytes[at] !== CR) {
      if (bytes[at] === LF) return this.#fail("CR", bytes, start, at);
      if (at - pos > limit) return this.#fail(`a line of at most ${limit} bytes`, bytes, start, at);
      at++;
    }
    this.#lineFrom = at - start;
    if (at + 1 >= end) return INCOMPLETE;
    if (bytes[at + 1] !== LF) return this.#fail("LF", bytes, start, at + 1);
    return at + 2;
  }

  #scalar(type: number, bytes: Uint8Array, start: number, pos: number, end: number): number {
    switch (type) {
      case TYPE.simple:
      case TYPE.error:
        return this.#line(bytes, start, pos, end, this.#limits.line);
      case TYPE.integer:
        return this.#integer(bytes, start, pos, end);
      case TYPE.bigNumber:
        return this.#bigNumber(bytes, start, pos, end);
      case TYPE.double: {
        const after = this.#line(bytes, start, pos, end, this.#limits.digits);
        if (after !== INCOMPLETE && !isDouble(bytes, pos + 1, after - 2)) {
          return this.#fail("a double", bytes, start, pos + 1);
        }
        return after;
      }
      case TYPE.boolean: {
        if (pos + 1 < end && bytes[pos + 1] !== 0x74 && bytes[pos + 1] !== 0x66) {
          return this.#fail("t or f", bytes, start, pos + 1);
        }
        const after = this.#line(bytes, start, pos, end, 1);
        if (after !== INCOMPLETE && after !== pos + 4) return this.#fail("t or f", bytes, start, pos + 1);
        return after;
      }
      case TYPE.null:
        return this.#line(bytes, start, pos, end, 0);
      default:
        return this.#fail("the type of a reply", bytes, start, pos);
    }
  }

  #integer(bytes: Uint8Array, start: number, pos: number, end: number): number {
    let at = pos + 1;
    if (at < end && (bytes[at] === MINUS || bytes[at] === PLUS)) at++;
    const first = at;
    while (at < end && isDigit(bytes[at])) {
      if (at - first >= MAX_INT64_DIGITS) return this.#fail("an integer of at most 19 digits", bytes, start, at);
      at++;
    }
    if (at >= end) return INCOMPLETE;
    if (at === first || bytes[at] !== CR) return this.#fail("a digit", bytes, start, at);
    if (at + 1 >= end) return INCOMPLETE;
    if (bytes[at + 1] !== LF) return this.#fail("LF", bytes, start, at + 1);
    if (at - first === MAX_INT64_DIGITS && !fitsInt64(bytes, first, bytes[pos + 1] === MINUS)) {
      return this.#fail("an integer of 64 bits", bytes, start, first);
    }
    return at + 2;
  }

  #bigNumber(bytes: Uint8Array, start: number, pos: number, end: number): number {
    const after = this.#line(bytes, start, pos, end, this.#limits.digits + 1);
    let at = pos + 1;
    const stop = after === INCOMPLETE ? at : after - 2; // checked once, when the line is whole
    if (after !== INCOMPLETE && (bytes[at] === MINUS || bytes[at] === PLUS)) at++;
    if (after !== INCOMPLETE && (at === stop || stop - at > this.#limits.digits)) {
      return this.#fail(`1 to ${this.#limits.digits} digits`, bytes, start, at);
    }
    for (; at < stop; at++) if (!isDigit(bytes[at])) return this.#fail("a digit", bytes, start, at);
    return after;
  }
}
