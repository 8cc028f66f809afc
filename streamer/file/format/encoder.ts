// Encodes messages, with beacons between and inside them. Pure: the bytes go into a queue of buffers.

import { BUFFER_BYTES, type WriteQueue } from "./write_queue.ts";
import { crc16, CRC_START } from "./crc.ts";
import { BEACON_BYTES, END_BYTES, FIXED_BYTES, FRAME_BYTES, MARK, markersPerBeacon, TRAILER_BYTES } from "./layout.ts";
import { type BeaconSummary, type BeaconSummaryEntry, count } from "./beacon_summary.ts";

/** The largest message that is encoded directly into a buffer, unless a beacon interrupts it. */
const WHOLE = BUFFER_BYTES / 4;
/** Bytes of a marker after its prefix: sequence, time, running checksum. */
const MARKER_TAIL = 18;
/** The size of the largest marker. */
const MAX_MARKER = 1 + 249 + 8 + MARKER_TAIL;

/** The start of an encoder. */
export interface EncoderStart {
  /** Bytes between beacons. */
  readonly interval: number;
  /** The byte offset of the next byte; at least the end of the header. */
  readonly offset: number;
  /** The content of the beacons. */
  readonly summary: BeaconSummary;
}

/** Writes the format from a byte offset. */
export class FileEncoder {
  readonly #out: WriteQueue;
  readonly #interval: number;
  readonly #summary: BeaconSummary;
  readonly #perBeacon: number;
  readonly #head = new Uint8Array(1 + 249 + FIXED_BYTES);
  readonly #headView = new DataView(this.#head.buffer);
  readonly #tail = new Uint8Array(TRAILER_BYTES);
  #offset: number;
  #boundary: number;
  #markers = 0; // written so far

  constructor(out: WriteQueue, { interval, offset, summary }: EncoderStart) {
    this.#out = out;
    this.#interval = interval;
    this.#summary = summary;
    this.#perBeacon = markersPerBeacon(interval);
    this.#offset = offset;
    this.#boundary = Math.ceil(offset / interval) * interval;
    if (this.#boundary === offset) this.#beacon(0);
  }

  /** The byte offset of the next byte. */
  get offset(): number {
    return this.#offset;
  }

  /** Writes a message; the payload is copied. */
  write(entry: BeaconSummaryEntry, sequence: bigint, timestamp: bigint, payload: Uint8Array): void {
    const crc = crc16(payload, 0, payload.length);
    count(entry, sequence, timestamp);
    entry.running = runningOf(entry.running, crc);
    const { prefix } = entry;
    const fixed = prefix.length + FIXED_BYTES - 8;
    const total = fixed + payload.length + TRAILER_BYTES;
    if (total <= WHOLE && total <= this.#boundary - this.#offset) {
      const buffer = this.#out.space(total);
      const { bytes, view, length: at } = buffer;
      bytes.set(prefix, at);
      putIds(view, at + prefix.length, sequence, timestamp);
      view.setUint32(at + fixed - 4, payload.length);
      bytes.set(payload, at + fixed);
      putTail(bytes, at + fixed + payload.length, crc);
      this.#out.fill(buffer, total);
      this.#offset += total;
      if (this.#offset === this.#boundary) this.#beacon(0);
      return;
    }
    this.#head.set(prefix);
    putIds(this.#headView, prefix.length, sequence, timestamp);
    this.#headView.setUint32(fixed - 4, payload.length);
    putTail(this.#tail, 0, crc);
    this.#writePieces(this.#head.subarray(0, fixed), total);
    this.#writePieces(payload, total - fixed);
    this.#writePieces(this.#tail, TRAILER_BYTES);
  }

  /** The number of bytes that a message with such a payload adds to the file, beacons included. */
  growth(entry: BeaconSummaryEntry, payloadBytes: number): number {
    let left = FRAME_BYTES - 9 + entry.prefix.length + payloadBytes;
    let offset = this.#offset;
    let markers = this.#markers;
    for (let boundary = this.#boundary; left >= boundary - offset; boundary += this.#interval) {
      left -= boundary - offset;
      offset = boundary + this.#beaconBytes(markers);
      markers += this.#take();
    }
    return offset + left - this.#offset;
  }

  /** The most bytes that the end-of-stream message needs at this offset, including a beacon if one is due. */
  endSpace(offset: number): number {
    const isDue = Math.ceil(offset / this.#interval) * this.#interval - offset <= END_BYTES;
    return END_BYTES + (isDue ? BEACON_BYTES + this.#perBeacon * MAX_MARKER : 0);
  }

  #writePieces(piece: Uint8Array, frameLeft: number): void {
    for (let from = 0; from < piece.length;) {
      const bytes = Math.min(piece.length - from, this.#boundary - this.#offset);
      this.#out.append(piece.subarray(from, from + bytes));
      from += bytes;
      this.#offset += bytes;
      if (this.#offset === this.#boundary) this.#beacon(frameLeft - from);
    }
  }

  #take(): number {
    return Math.min(this.#summary.size, this.#perBeacon);
  }

  #beaconBytes(markers: number): number {
    const { sorted } = this.#summary;
    let bytes = BEACON_BYTES;
    for (let i = 0; i < this.#take(); i++) bytes += sorted[(markers + i) % sorted.length].prefix.length + MARKER_TAIL;
    return bytes;
  }

  #beacon(remaining: number): void {
    const { sorted } = this.#summary;
    const take = this.#take();
    const bytes = new Uint8Array(this.#beaconBytes(this.#markers));
    const view = new DataView(bytes.buffer);
    bytes[0] = MARK;
    view.setUint32(1, remaining);
    bytes[5] = take;
    let at = BEACON_BYTES - 1;
    for (let i = 0; i < take; i++) {
      const { prefix, sequence, timestamp, running } = sorted[(this.#markers + i) % sorted.length];
      bytes.set(prefix, at);
      at += prefix.length;
      view.setBigUint64(at, sequence);
      view.setBigUint64(at + 8, timestamp);
      view.setUint16(at + 16, running);
      at += MARKER_TAIL;
    }
    bytes[at] = MARK;
    this.#markers += take;
    this.#out.append(bytes);
    this.#offset += bytes.length;
    this.#boundary += this.#interval;
  }
}

/** The running checksum with that of one more payload. */
function runningOf(running: number, crc: number): number {
  PAIR[0] = crc >> 8;
  PAIR[1] = crc & 0xff;
  return crc16(PAIR, 0, 2, running);
}

const PAIR = new Uint8Array(2);

function putIds(view: DataView, at: number, sequence: bigint, timestamp: bigint): void {
  view.setBigUint64(at, sequence);
  view.setBigUint64(at + 8, timestamp);
}

function putTail(bytes: Uint8Array, at: number, crc: number): void {
  bytes[at] = crc >> 8;
  bytes[at + 1] = crc & 0xff;
  bytes[at + 2] = MARK;
}

/** Counts a message that was read, like its writer did. */
export function recount(entry: BeaconSummaryEntry, sequence: bigint, timestamp: bigint, crc: number): void {
  if (!entry.known) entry.running = CRC_START;
  count(entry, sequence, timestamp);
  entry.running = runningOf(entry.running, crc);
}
