// Scans one reply at a time: checks its headers, and records every value on a tape. It skips bodies, builds no values, and resumes
// where the bytes ended.
//
// The tape has two integers for each value: the index of its header, relative to the start of the reply, and its length (bytes of a
// body, values of an aggregate, -1 for null). Everything else can be computed from the bytes, because lengths are canonical: the body
// of a bulk string of n bytes starts 3 + digits(n) bytes after the index of its header.

import { ProtocolError, type StreamerError } from "../errors.ts";
import { type EffectiveLimits, LARGEST } from "../limits.ts";
import { fitsInt64, isDigit, isDouble, MAX_INT64_DIGITS } from "./numbers.ts";
import { COUNTED, ScanState } from "./fast_path.ts";
import { CR, LF, TYPE } from "../wire.ts";

const MINUS = 0x2d;
const PLUS = 0x2b;
const QUESTION = 0x3f;

/** Length on the tape of an aggregate or string of unknown length. It is corrected at the end marker. */
const STREAMED = -2;

const ATTRIBUTE = 1;
const STREAMED_LIST = 2;
const STREAMED_MAP = 3;
const CHUNKS = 4;

/** A length of 32 bits has no more digits. */
const MAX_LENGTH_DIGITS = 10;
const INCOMPLETE = -1;

/** Scans replies in a buffer that its owner fills, moves and reuses between calls. */
export class RespScanner {
  readonly #pushLimits: EffectiveLimits;
  #replyLimits: EffectiveLimits;
  #limits: EffectiveLimits; // of the current reply: the limits of replies, or those of pushes
  readonly #state: ScanState;
  #pos = 0; // positions are relative to the start of the reply, so that its owner can move the bytes
  #lineFrom = 0; // where the search for the end of an incomplete line resumes
  #valueAt = 0;
  #attributed = false; // whether this reply has an attribute
  #attributes: number[] = []; // by depth: attributes in a row before the next value
  #streamOffset = 0; // bytes of all replies before this one, for messages
  #opened: number[] = []; // by depth: the tape index of a frame, unless the fast path has opened it
  #number = 0; // result of #length
  #failure: StreamerError | undefined;

  constructor(limits: EffectiveLimits, pushLimits: EffectiveLimits) {
    this.#limits = this.#replyLimits = limits;
    this.#pushLimits = pushLimits;
    this.#state = new ScanState(limits);
  }

  /** Sets the limits of the current reply and of those after it. */
  limit(limits: EffectiveLimits): void {
    this.#replyLimits = limits;
    if (this.#limits !== this.#pushLimits) this.#use(limits);
  }

  /** Two integers for each value. Valid until the next {@linkcode next}. */
  get tape(): Int32Array {
    return this.#state.tape;
  }

  /** The number of integers on the tape. */
  get tapeLength(): number {
    return this.#state.tapeLength;
  }

  /** The tape index of the value itself, after its attributes. */
  get valueAt(): number {
    return this.#valueAt;
  }

  /** Bytes of the reply that are scanned so far. */
  get length(): number {
    return this.#pos;
  }

  /** The first violation, if there was one. */
  get failure(): StreamerError | undefined {
    return this.#failure;
  }

  /** Returns the tape, which then belongs to the caller, and continues with a new one. */
  giveTape(): Int32Array {
    return this.#state.giveTape();
  }

  /** Drops the complete reply. The next one starts where it ended. */
  next(): void {
    this.#streamOffset += this.#pos;
    this.#pos = 0;
    this.#lineFrom = 0;
    this.#state.tapeLength = 0;
    this.#valueAt = 0;
    this.#attributed = false;
    if (this.#limits !== this.#replyLimits) this.#use(this.#replyLimits);
  }

  /**
   * Continues with the reply that starts at `start`. `end` is the current end of the bytes. Returns true if the reply is complete.
   *
   * @throws {StreamerError} `PROTOCOL` at the first violation, and at each later call.
   */
  scan(bytes: Uint8Array, start: number, end: number): boolean {
    if (this.#failure !== undefined) throw this.#failure;
    const state = this.#state;
    let { remaining, kind } = state;
    let { tape, tapeLength, depth } = state;
    let pos = start + this.#pos;
    let attributed = this.#attributed;
    let maxElements = this.#limits.elements * 2;

    while (pos < end) {
      let type = bytes[pos];
      if ((type === TYPE.bulk || type === TYPE.array) && depth > 0 && kind[depth - 1] === COUNTED && !attributed) {
        state.depth = depth;
        state.tapeLength = tapeLength;
        pos = state.passPlain(bytes, start, pos, end);
        ({ tape, tapeLength, depth } = state);
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
      let opens = -1; // the kind of the frame that this value opens, if any
      let children = 0;

      switch (type) {
        case TYPE.bulk:
          if (depth === 0 && this.#limits.aggregate) return this.#fail("an aggregate", bytes, start, pos);
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
          if (this.#limits !== this.#pushLimits) {
            this.#use(this.#pushLimits);
            maxElements = this.#limits.elements * 2;
          }
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
          if (depth > 0 && this.#limits.strings && type !== TYPE.null && !kind.subarray(0, depth).includes(ATTRIBUTE)) {
            return this.#fail("a string or an aggregate", bytes, start, pos);
          }
          after = this.#scalar(type, bytes, start, pos, end);
          length = after - pos - 3;
      }
      if (after === INCOMPLETE) break;
      if (opens >= 0 && depth === 0) this.#checkItems(type, opens, children, bytes, start, pos);
      const closes = type === TYPE.end || (type === TYPE.chunk && length === 0);
      if (tapeLength + children * 2 > maxElements && !closes) {
        return this.#fail(`at most ${this.#limits.elements} values`, bytes, start, pos, true);
      }
      if (body) {
        const most = type === TYPE.bulk ? this.#limits.bulk : this.#longest(depth);
        if (length > most) return this.#fail(`at most ${most} bytes`, bytes, start, pos, true);
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
        if (tapeLength + 2 > tape.length) tape = state.growTape();
        tape[tapeLength] = pos - start;
        tape[tapeLength + 1] = length;
        tapeLength += 2;
        if (opens >= 0) {
          const before = attributed ? this.#attributes[depth] : 0;
          if (depth + before >= this.#limits.depth) {
            return this.#fail(`at most ${this.#limits.depth} levels`, bytes, start, pos);
          }
          if (depth === kind.length) {
            state.deepen();
            ({ remaining, kind } = state);
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
          remaining[depth - 1] = 1; // an attribute without pairs ends below
        }
      }
      pos = after;

      // A value is complete, and so are the aggregates that end with it.
      for (;;) {
        if (depth === 0) {
          this.#pause(bytes, start, pos, pos, 0, tapeLength, false);
          return true;
        }
        const left = --remaining[depth - 1];
        if (attributed) this.#attributes[depth] = 0;
        if (left !== 0) break; // streamed frames count below zero and end with their marker
        depth--;
        if (kind[depth] !== ATTRIBUTE) continue;
        if (depth === 0) this.#valueAt = tapeLength;
        else tapeLength = this.#opened[depth]; // attributes inside a reply are dropped
        this.#attributes[depth]++;
        break; // an attribute is no value: its parent still expects one
      }
    }
    this.#pause(bytes, start, pos, end, depth, tapeLength, attributed);
    return false;
  }

  #use(limits: EffectiveLimits): void {
    this.#limits = this.#state.limits = limits;
  }

  /** Maximum bytes of a bulk error, a verbatim string or a chunk. If an aggregate is expected, it is the limit of a line. */
  #longest(depth: number): number {
    const { aggregate, bulk, line } = this.#limits;
    return aggregate && depth === 0 ? Math.min(bulk, line) : bulk;
  }

  /** Checks the number of values of the outermost aggregate. Attributes do not count. */
  #checkItems(type: number, opens: number, children: number, bytes: Uint8Array, start: number, pos: number): void {
    const { items } = this.#limits;
    if (items === LARGEST || opens === ATTRIBUTE || opens === CHUNKS) return;
    const given = type === TYPE.map ? children / 2 : children;
    if (given > items || opens !== COUNTED) this.#fail(`at most ${items} values`, bytes, start, pos);
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
    this.#state.depth = depth;
    this.#state.tapeLength = tapeLength;
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
      `Invalid byte ${hex} at offset ${offset}: expected ${expected}`,
      tooLarge,
    );
    throw this.#failure;
  }

  /** Reads `<digits>CRLF` (or `-1`, or `?` if allowed) after the type byte into #number; returns its end. */
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

  /** Finds the end of a line whose text has at most `limit` bytes, and resumes an earlier search. Returns the end. */
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
    const stop = after === INCOMPLETE ? at : after - 2; // checked once, when the line is complete
    if (after !== INCOMPLETE && (bytes[at] === MINUS || bytes[at] === PLUS)) at++;
    if (after !== INCOMPLETE && (at === stop || stop - at > this.#limits.digits)) {
      return this.#fail(`1 to ${this.#limits.digits} digits`, bytes, start, at);
    }
    for (; at < stop; at++) if (!isDigit(bytes[at])) return this.#fail("a digit", bytes, start, at);
    return after;
  }
}
