// Finds messages in pages of a file, over beacons that interrupt them, and what is wrong with them. Pure: it says which bytes
// it wants. It must not know where they come from.

import { crc16 } from "./crc.ts";
import type { Flaw } from "./error.ts";
import {
  type Beacon,
  beaconSize,
  decodeBeacon,
  END_OF_STREAM,
  FIXED_BYTES,
  FRAME_BYTES,
  HEADER_BYTES,
  INTERNAL_KEY,
  isKeyLength,
  isStreamKey,
  KEY_RULE,
  keyRule,
  MARK,
  MAX_BEACON_BYTES,
  measureBeacon,
  PULSE,
  shardOf,
  TRAILER_BYTES,
  viewOf,
} from "./layout.ts";
import { FrameMessage } from "./message.ts";
import { Page, PAGE_BYTES } from "./page.ts";

/** What a step came to: a message is there; more bytes are needed, up to `need`; or something is wrong, which `flaw` tells. */
export const STEP = Object.freeze({ frame: 0, need: 1, flaw: 2 });

/** What a decoder accepts. */
export interface DecoderOptions {
  /** Bytes between beacons. */
  readonly interval: number;
  /** Largest payload in bytes. */
  readonly maxPayload: number;
  /** Is shown each beacon. */
  readonly onBeacon?: (beacon: Beacon) => void;
}

/** What a beacon must say if the length of the message that it interrupts is right. */
export interface ExpectedBeacon {
  readonly boundary: number;
  readonly remaining: number;
}

/** Where a decoder stands. */
export interface DecoderState {
  readonly position: number;
  readonly resync: boolean;
  readonly skip: number;
}

/** Decodes from one position on; after a flaw it goes on where it can. */
export class FileDecoder {
  readonly page: Page = new Page();
  readonly #interval: number;
  readonly #maxPayload: number;
  readonly #onBeacon: ((beacon: Beacon) => void) | undefined;
  readonly #keys: ({ readonly bytes: Uint8Array; readonly text: string } | undefined)[] = new Array(256);
  #position = HEADER_BYTES;
  #boundary: number;
  #resync = false; // at a boundary: what interrupts is passed over
  #skip = 0; // bytes of an interrupted message to be passed over
  #expected: ExpectedBeacon | undefined;
  #suspect = 0; // bytes of the message, if a beacon inside of it says that it has another length
  #wasted = 0; // bytes of such messages that came to nothing

  /** Of the byte up to which (exclusively) bytes are needed. */
  need = 0;
  /** Up to where (exclusively) they are likely to be needed soon; not more than twice as far as has been looked. */
  wish = 0;
  /** What is wrong; valid after `STEP.flaw`. */
  flaw: Flaw = { kind: "corrupt", offset: 0, why: "" };

  // The message that was found: its bytes in one piece, and where in the file it ends.
  #bytes = this.page.bytes;
  #view = this.page.view;
  #at = 0;
  #key = 0;
  #size = 0;
  #end = 0;

  constructor({ interval, maxPayload, onBeacon }: DecoderOptions) {
    this.#interval = interval;
    this.#maxPayload = maxPayload;
    this.#onBeacon = onBeacon;
    this.#boundary = this.#boundaryFrom(HEADER_BYTES);
  }

  /** Where the next message, or the beacon before it, begins. */
  get position(): number {
    return this.#position;
  }

  /** Where the message that was found ends. */
  get frameEnd(): number {
    return this.#end;
  }

  /** Of a message that could not be completed: what the first beacon inside of it must say, where there is one. */
  get expected(): ExpectedBeacon | undefined {
    return this.#expected;
  }

  /** Where it stands, to be taken up again by {@linkcode restore}. */
  get state(): DecoderState {
    return { position: this.#position, resync: this.#resync, skip: this.#skip };
  }

  /** Goes back to where it stood. */
  restore({ position, resync, skip }: DecoderState): void {
    this.moveTo(position);
    this.#resync = resync;
    this.#skip = skip;
  }

  /** Goes on where a message begins, or a beacon before one. */
  moveTo(position: number): void {
    this.#position = position;
    this.#boundary = this.#boundaryFrom(position);
    this.#resync = false;
    this.#skip = 0;
    this.#suspect = this.#wasted = 0;
  }

  /** Goes on with the first message that begins behind the beacon at this boundary; 0 is the beginning of the file. */
  moveToBeacon(boundary: number): void {
    this.moveTo(Math.max(HEADER_BYTES, boundary));
    this.#resync = boundary > 0;
  }

  /** Finds the next message; {@linkcode take} or {@linkcode pass} goes behind it. */
  locate(): number {
    this.#suspect = 0;
    this.#expected = undefined;
    // One large message does not make the pages of those behind it large.
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
      // Where the two do not agree on what is passed over, the later beacon is nearer to what comes.
      if (this.#resync || this.#skip > 0) this.#skip = this.page.view.getUint32(at + 1);
      this.#resync = false;
      this.#onBeacon?.(decodeBeacon(this.page.bytes, at, size));
      this.#position += size;
      this.#boundary += this.#interval;
    }
    return this.#frame();
  }

  /** Key, shard, sequence and time of the message that was found. */
  get streamKey(): string {
    return this.#keyText();
  }
  get shardId(): number | bigint {
    return shardOf(this.#view.getBigUint64(this.#at + 1 + this.#key));
  }
  get sequence(): bigint {
    return this.#view.getBigUint64(this.#at + 9 + this.#key);
  }
  get timestamp(): bigint {
    return this.#view.getBigUint64(this.#at + 17 + this.#key);
  }
  /** The checksum that stands behind its payload. */
  get checksum(): number {
    return this.#view.getUint16(this.#at + 1 + this.#key + FIXED_BYTES + this.#size);
  }

  /** Whether the message that was found is one to the reader: the end of the stream, a pulse, or neither. */
  get special(): "end" | "pulse" | undefined {
    if (this.#key !== INTERNAL_KEY.length || (this.#size !== 3 && this.#size !== 5)) return undefined;
    if (this.#keyText() !== INTERNAL_KEY) return undefined;
    const from = this.#at + 1 + this.#key + FIXED_BYTES;
    const is = (word: Uint8Array) =>
      word.length === this.#size && word.every((byte, i) => byte === this.#bytes[from + i]);
    return is(END_OF_STREAM) ? "end" : is(PULSE) ? "pulse" : undefined;
  }

  /** Goes behind the message that was found without a look at its payload. */
  pass(): void {
    this.#position = this.#end;
    while (this.#boundary < this.#end) this.#boundary += this.#interval;
  }

  /** Gives the message that was found and goes behind it; `undefined`, with a `flaw`, where its checksum is wrong. */
  take(): FrameMessage | undefined {
    const from = this.#at + 1 + this.#key + FIXED_BYTES;
    const to = from + this.#size;
    const computed = crc16(this.#bytes, from, to);
    const { checksum } = this;
    if (computed !== checksum) {
      const { offset, suspect } = { offset: this.#position, suspect: this.#suspect };
      const why = `the payload's checksum must be ${checksum}: current value is ${computed}`;
      if (suspect > 0) this.#fail(offset, why);
      else {
        this.pass(); // its length is believed
        this.flaw = { kind: "corrupt", offset, why };
      }
      return undefined;
    }
    if (this.#bytes === this.page.bytes) this.page.lent = true;
    const message = new FrameMessage({
      streamKey: this.#keyText(),
      shardId: this.shardId,
      sequence: this.sequence,
      timestampMs: this.timestamp,
      payload: this.#bytes.subarray(from, to),
      offset: this.#position,
    });
    this.pass();
    return message;
  }

  /** Goes on behind the next beacon, as a message that seems to go past the end of the file cannot be believed. */
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
    const room = this.#boundary - base; // where on the page a beacon comes between
    if (at < 0 || at >= length) return this.#want(this.#position + 1);
    const key = bytes[at];
    if (!isKeyLength(key)) return this.#fail(this.#position, keyRule(key));
    const payload = at + 1 + key + FIXED_BYTES;
    if (payload > room) return this.#stitch();
    if (payload > length) return this.#want(base + payload);
    const size = view.getUint32(payload - 4);
    if (size > this.#maxPayload) return this.#fail(this.#position, this.#sizeRule(size));
    const end = payload + size + TRAILER_BYTES;
    if (end > room) return this.#stitch();
    if (end > length) return this.#want(base + end);
    return this.#found(bytes, view, { at, key, size, end: base + end });
  }

  /** Finds the message at the position where a beacon interrupts it, and puts its pieces together. */
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
    const whole = this.#gather(start, total, this.#onBeacon); // all of it is there: no more is taken than was read
    return this.#found(whole, viewOf(whole), { at: 0, key, size, end });
  }

  #found(
    bytes: Uint8Array,
    view: DataView,
    place: { readonly at: number; readonly key: number; readonly size: number; readonly end: number },
  ): number {
    const { at, key, size, end } = place;
    this.#bytes = bytes;
    this.#view = view;
    this.#at = at;
    this.#key = key;
    this.#size = size;
    this.#end = end;
    if (this.#knownKey() === undefined) return this.#fail(this.#position, KEY_RULE);
    const mark = bytes[at + 1 + key + FIXED_BYTES + size + TRAILER_BYTES - 1];
    return mark === MARK ? STEP.frame : this.#fail(this.#position, "a message must end with its mark");
  }

  /**
   * Where in the file `bytes` of a message end that begins at `start`, beacons in between left out. Of a whole message of
   * `total` bytes, it is noted whether the beacons agree. Else `NEED` or `FLAW`.
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
      // Beacons that disagree come early: no more is asked for than twice what has been walked over.
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

  /** Copies bytes of a message together whose beacons have been walked over. */
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

  /** The size of the beacon at a boundary, or `NEED` or `FLAW`; `behind` it, so many bytes are wanted too. */
  #beaconAt(boundary: number, behind = 0): number {
    const { bytes, base, length } = this.page;
    const at = boundary - base;
    if (at < 0 || at >= length) {
      // A long message goes over many beacons: all that it needs at least is asked for at once.
      return this.#wants(boundary + 1 + behind);
    }
    const measured = measureBeacon(bytes, at, length);
    if ("need" in measured) return this.#wants(boundary + Math.max(measured.need, behind));
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
    // The first boundary behind where the message begins, for what it says of its length is not believed.
    const next = (Math.floor(offset / this.#interval) + 1) * this.#interval;
    return this.#failAt(offset, next, why);
  }

  #doubt(start: number): number {
    this.#suspect = 0; // it costs nothing
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
    return `a payload must have at most ${this.#maxPayload} bytes: current value is ${size}`;
  }

  #keyText(): string {
    return this.#knownKey() ?? "";
  }

  /** The key's text; the same few come again and again. `undefined` where it is none. */
  #knownKey(): string | undefined {
    const bytes = this.#bytes;
    const from = this.#at + 1;
    const to = from + this.#key;
    const slot = (this.#key * 31 + bytes[from] * 7 + bytes[to - 1]) & 0xff;
    const known = this.#keys[slot];
    if (known !== undefined && isSame(known.bytes, bytes, from, to)) return known.text;
    if (!isStreamKey(bytes, from, to)) return undefined;
    const key = bytes.slice(from, to);
    const text = String.fromCharCode(...key);
    this.#keys[slot] = { bytes: key, text };
    return text;
  }
}

const NEED = -1;
const FLAW = -2;
/**
 * Bytes of messages that a beacon contradicts which may be read in vain, beside four times what stands before: one beacon may be
 * wrong about a message, but where all are, reading would take time with the square of the file.
 */
const WASTE = 64 * 1024 * 1024;
const DISAGREE = "beacons must agree with the length of the message they interrupt";
const TOO_LARGE = `a beacon must be shorter than the distance between beacons, of at most ${MAX_BEACON_BYTES} bytes`;

function isSame(known: Uint8Array, bytes: Uint8Array, from: number, to: number): boolean {
  if (known.length !== to - from) return false;
  for (let i = 0; i < known.length; i++) if (known[i] !== bytes[from + i]) return false;
  return true;
}
