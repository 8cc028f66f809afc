// Finds messages in pages of a file, across the beacons that interrupt them, and reports flaws. Pure: it names the bytes that it
// needs next.

import { crc16 } from "./crc.ts";
import type { Flaw } from "../error.ts";
import {
  type Beacon,
  beaconSize,
  decodeBeacon,
  FIXED_BYTES,
  FRAME_BYTES,
  HEADER_BYTES,
  isKeyLength,
  keyRule,
  measureBeacon,
  TRAILER_BYTES,
  viewOf,
} from "./layout.ts";
import { FrameMessage } from "../message.ts";
import { FileFrame, type FramePlace } from "./frame.ts";
import { Page, PAGE_BYTES } from "./page.ts";

/** The result of a step: a message was found, more bytes are needed until `need`, or a flaw was found. */
export const STEP = Object.freeze({ frame: 0, need: 1, flaw: 2 });

/** Options of a decoder. */
export interface DecoderOptions {
  /** Bytes between beacons. */
  readonly interval: number;
  /** The largest payload in bytes. */
  readonly maxPayload: number;
  /** Called with each beacon. */
  readonly onBeacon?: (beacon: Beacon) => void;
}

/** The content that a beacon must have if the length of the message around it is right. */
export interface ExpectedBeacon {
  readonly boundary: number;
  readonly remaining: number;
}

/** The position of a decoder. */
export interface DecoderState {
  readonly position: number;
  readonly resync: boolean;
  readonly skip: number;
}

/** Decodes from a position; after a flaw, it continues where it can. */
export class FileDecoder {
  readonly page: Page = new Page();
  /** The message that was found; valid after `STEP.frame`. */
  readonly frame: FileFrame = new FileFrame();
  readonly #interval: number;
  readonly #maxPayload: number;
  readonly #onBeacon: ((beacon: Beacon) => void) | undefined;
  #position = HEADER_BYTES;
  #boundary: number;
  #resync = false; // at a boundary: the rest of an interrupted message is skipped
  #skip = 0; // bytes of an interrupted message to skip
  #expected: ExpectedBeacon | undefined;
  #suspect = 0; // bytes of the message, if a beacon inside it contradicts its length
  #wasted = 0; // bytes of such messages that were discarded

  /** The byte offset before which bytes are needed. */
  need = 0;
  /** The byte offset before which bytes are likely to be needed soon; at most twice the distance walked so far. */
  wish = 0;
  /** The flaw that was found; valid after `STEP.flaw`. */
  flaw: Flaw = { kind: "corrupt", offset: 0, why: "" };

  constructor({ interval, maxPayload, onBeacon }: DecoderOptions) {
    this.#interval = interval;
    this.#maxPayload = maxPayload;
    this.#onBeacon = onBeacon;
    this.#boundary = this.#boundaryFrom(HEADER_BYTES);
  }

  /** The byte offset of the next message, or of the beacon before it. */
  get position(): number {
    return this.#position;
  }

  /** For an incomplete message: the expected content of the first beacon inside it, if any. */
  get expected(): ExpectedBeacon | undefined {
    return this.#expected;
  }

  /** The position, for {@linkcode restore}. */
  get state(): DecoderState {
    return { position: this.#position, resync: this.#resync, skip: this.#skip };
  }

  /** Returns to a previous position. */
  restore({ position, resync, skip }: DecoderState): void {
    this.moveTo(position);
    this.#resync = resync;
    this.#skip = skip;
  }

  /** Continues at the beginning of a message, or of a beacon before one. */
  moveTo(position: number): void {
    this.#position = position;
    this.#boundary = this.#boundaryFrom(position);
    this.#resync = false;
    this.#skip = 0;
    this.#suspect = this.#wasted = 0;
  }

  /** Continues with the first message after the beacon at a boundary; 0 is the beginning of the file. */
  moveToBeacon(boundary: number): void {
    this.moveTo(Math.max(HEADER_BYTES, boundary));
    this.#resync = boundary > 0;
  }

  /** Finds the next message; {@linkcode take} or {@linkcode pass} moves after it. */
  locate(): number {
    this.#suspect = 0;
    this.#expected = undefined;
    // One large message does not make the pages of later messages large.
    if (this.page.bytes.length > 2 * PAGE_BYTES && this.#position > this.page.base) this.page.shrink(this.#position);
    while (this.#position === this.#boundary || this.#skip > 0) {
      if (this.#position !== this.#boundary) {
        const bytes = Math.min(this.#skip, this.#boundary - this.#position);
        this.#position += bytes;
        this.#skip -= bytes;
        continue;
      }
      const size = this.#beaconAt(this.#position);
      if (size < 0) return size === NEED ? STEP.need : STEP.flaw;
      const at = this.#position - this.page.base;
      // If two beacons disagree about the bytes to skip, the later one is closer to the next message.
      if (this.#resync || this.#skip > 0) this.#skip = this.page.view.getUint32(at + 1);
      this.#resync = false;
      this.#onBeacon?.(decodeBeacon(this.page.bytes, at, size));
      this.#position += size;
      this.#boundary += this.#interval;
    }
    return this.#frame();
  }

  /** Moves after the message without checking its payload. */
  pass(): void {
    const { end } = this.frame;
    this.#position = end;
    while (this.#boundary < end) this.#boundary += this.#interval;
  }

  /** Returns the message and moves after it; `undefined` with a `flaw` if its checksum is wrong. */
  take(): FrameMessage | undefined {
    const { frame } = this;
    const { bytes, payloadStart, payloadEnd, checksum } = frame;
    const computed = crc16(bytes, payloadStart, payloadEnd);
    if (computed !== checksum) {
      const { offset, suspect } = { offset: this.#position, suspect: this.#suspect };
      const why = `the checksum of the payload is ${computed}, expected ${checksum}`;
      if (suspect > 0) this.#fail(offset, why);
      else {
        this.pass(); // its length is trusted
        this.flaw = { kind: "corrupt", offset, why };
      }
      return undefined;
    }
    if (bytes === this.page.bytes) this.page.lent = true;
    const message = new FrameMessage({
      streamKey: frame.streamKey,
      shardId: frame.shardId,
      sequence: frame.sequence,
      timestampMs: frame.timestamp,
      payload: bytes.subarray(payloadStart, payloadEnd),
      offset: this.#position,
    });
    this.pass();
    return message;
  }

  /** Continues after the next beacon, since the length of a message beyond the end of the file is wrong. */
  giveUp(): void {
    this.#fail(this.#position, DISAGREE);
  }

  #boundaryFrom(position: number): number {
    return Math.ceil(position / this.#interval) * this.#interval;
  }

  /** Finds the message at the position, where no beacon is due. */
  #frame(): number {
    const { bytes, view, base, length } = this.page;
    const at = this.#position - base;
    const limit = this.#boundary - base; // the next beacon, as an index into the page
    if (at < 0 || at >= length) return this.#want(this.#position + 1);
    const key = bytes[at];
    if (!isKeyLength(key)) return this.#fail(this.#position, keyRule(key));
    const payload = at + 1 + key + FIXED_BYTES;
    if (payload > limit) return this.#stitch();
    if (payload > length) return this.#want(base + payload);
    const size = view.getUint32(payload - 4);
    if (size > this.#maxPayload) return this.#fail(this.#position, this.#sizeRule(size));
    const end = payload + size + TRAILER_BYTES;
    if (end > limit) return this.#stitch();
    if (end > length) return this.#want(base + end);
    return this.#found(bytes, view, { at, key, size, end: base + end });
  }

  /** Finds a message that a beacon interrupts, and joins its pieces. */
  #stitch(): number {
    const start = this.#position;
    const key = this.page.bytes[start - this.page.base];
    const headEnd = this.#walk(start, 1 + key + FIXED_BYTES);
    if (headEnd < 0) return headEnd === NEED ? STEP.need : STEP.flaw;
    const head = this.#gather(start, 1 + key + FIXED_BYTES);
    const size = viewOf(head).getUint32(1 + key + FIXED_BYTES - 4);
    if (size > this.#maxPayload) return this.#fail(start, this.#sizeRule(size));
    const total = FRAME_BYTES + key + size;
    const end = this.#walk(start, total, total);
    if (end < 0) return end === NEED ? STEP.need : STEP.flaw;
    const whole = this.#gather(start, total, this.#onBeacon); // complete: no more memory is allocated than was read
    return this.#found(whole, viewOf(whole), { at: 0, key, size, end });
  }

  #found(bytes: Uint8Array, view: DataView, place: FramePlace): number {
    const broken = this.frame.move(bytes, view, place);
    return broken === undefined ? STEP.frame : this.#fail(this.#position, broken);
  }

  /**
   * The byte offset at which `bytes` of a message end that starts at `start`, beacons not counted; or `NEED`, or `FLAW`. For a whole
   * message of `total` bytes, it also records whether the beacons agree with its length.
   */
  #walk(start: number, bytes: number, total?: number): number {
    let position = start;
    let boundary = this.#boundary;
    for (let left = bytes;;) {
      if (left <= boundary - position) {
        const end = position + left;
        return end > this.page.end ? this.#wants(end) : end;
      }
      left -= boundary - position;
      if (total !== undefined) this.#expected ??= { boundary, remaining: left };
      // A contradiction shows early: at most twice the distance walked so far is requested.
      const walked = boundary - start;
      const size = this.#beaconAt(boundary, total === undefined ? 0 : Math.min(left, 2 * walked));
      if (size === NEED) this.wish = this.need + Math.min(2 * walked, Math.ceil(left * walked / (bytes - left)));
      if (size < 0) return size;
      if (total !== undefined && this.page.view.getUint32(boundary - this.page.base + 1) !== left) {
        this.#suspect = total;
        if (this.#wasted + total > 4 * start + WASTE) return this.#doubt(start);
      }
      position = boundary + size;
      boundary += this.#interval;
    }
  }

  /** Joins the bytes of a message whose beacons have been checked. */
  #gather(start: number, bytes: number, onBeacon?: (beacon: Beacon) => void): Uint8Array {
    const { bytes: from, base } = this.page;
    const whole = new Uint8Array(bytes);
    let position = start;
    let boundary = this.#boundary;
    for (let done = 0;;) {
      const count = Math.min(bytes - done, boundary - position);
      whole.set(from.subarray(position - base, position - base + count), done);
      done += count;
      if (done === bytes) return whole;
      const size = beaconSize(from, boundary - base);
      onBeacon?.(decodeBeacon(from, boundary - base, size));
      position = boundary + size;
      boundary += this.#interval;
    }
  }

  /** The size of the beacon at a boundary, or `NEED`, or `FLAW`. `after` the beacon, this many bytes are needed too. */
  #beaconAt(boundary: number, after = 0): number {
    const { bytes, base, length } = this.page;
    const at = boundary - base;
    if (at < 0 || at >= length) {
      // A long message spans many beacons: its minimum is requested at once.
      return this.#wants(boundary + 1 + after);
    }
    const measured = measureBeacon(bytes, at, length);
    if ("need" in measured) return this.#wants(boundary + Math.max(measured.need, after));
    if ("size" in measured && measured.size < this.#interval) return measured.size;
    this.#failAt(boundary, boundary + this.#interval, "why" in measured ? measured.why : TOO_LARGE);
    return FLAW;
  }

  #want(need: number): number {
    this.need = this.wish = need;
    return STEP.need;
  }

  #wants(need: number): number {
    this.need = this.wish = need;
    return NEED;
  }

  #fail(offset: number, why: string): number {
    // The first boundary after the beginning of the message, since its length cannot be trusted.
    const next = (Math.floor(offset / this.#interval) + 1) * this.#interval;
    return this.#failAt(offset, next, why);
  }

  #doubt(start: number): number {
    this.#suspect = 0; // nothing of it was read
    this.#fail(start, DISAGREE);
    return FLAW;
  }

  #failAt(offset: number, next: number, why: string): number {
    this.flaw = { kind: "corrupt", offset, why };
    const wasted = this.#wasted + Math.min(this.#suspect, Math.max(0, this.page.end - this.#position));
    this.moveToBeacon(next);
    this.#wasted = wasted;
    return STEP.flaw;
  }

  #sizeRule(size: number): string {
    return `the payload would have ${size} bytes, more than ${this.#maxPayload}`;
  }
}

const NEED = -1;
const FLAW = -2;
/**
 * The most bytes to read of messages that a beacon contradicts, in addition to four times the bytes before them. A single beacon may be
 * wrong. But if all are, the time for reading would grow with the square of the file.
 */
const WASTE = 64 * 1024 * 1024;
const DISAGREE = "a beacon contradicts the length of the message around it";
const TOO_LARGE = "a beacon is longer than the distance between beacons";
