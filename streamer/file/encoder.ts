// Lays messages out, with beacons between and inside of them. Pure: bytes go into chunks. It must not know where they go from there.

import { CHUNK_BYTES, type ChunkQueue } from "./chunks.ts";
import { crc16, CRC_START } from "./crc.ts";
import { BEACON_BYTES, END_BYTES, FIXED_BYTES, FRAME_BYTES, MARK, markersPerBeacon, TRAILER_BYTES } from "./layout.ts";
import { count, type Tally, type TallyEntry } from "./tally.ts";

/** Messages up to this size are put together where they will stay, if no beacon comes between. */
const WHOLE = CHUNK_BYTES / 4;
/** Bytes of a marker beside its prefix: sequence, time, running checksum. */
const MARKER_TAIL = 18;
/** Largest marker. */
const MAX_MARKER = 1 + 249 + 8 + MARKER_TAIL;

/** What an encoder goes on with. */
export interface EncoderStart {
  /** Bytes between beacons. */
  readonly interval: number;
  /** Where in the file the next byte goes; at least the header's end. */
  readonly offset: number;
  /** What the beacons will tell. */
  readonly tally: Tally;
}

/** Writes the format from one point on. */
export class FileEncoder {
  readonly #out: ChunkQueue;
  readonly #interval: number;
  readonly #tally: Tally;
  readonly #perBeacon: number;
  readonly #head = new Uint8Array(1 + 249 + FIXED_BYTES);
  readonly #headView = new DataView(this.#head.buffer);
  readonly #tail = new Uint8Array(TRAILER_BYTES);
  #offset: number;
  #boundary: number;
  #markers = 0; // written so far

  constructor(out: ChunkQueue, { interval, offset, tally }: EncoderStart) {
    this.#out = out;
    this.#interval = interval;
    this.#tally = tally;
    this.#perBeacon = markersPerBeacon(interval);
    this.#offset = offset;
    this.#boundary = Math.ceil(offset / interval) * interval;
    if (this.#boundary === offset) this.#beacon(0);
  }

  /** Where in the file the next byte goes. */
  get offset(): number {
    return this.#offset;
  }

  /** Writes a message. The payload is copied. */
  write(entry: TallyEntry, sequence: bigint, timestamp: bigint, payload: Uint8Array): void {
    const crc = crc16(payload, 0, payload.length);
    count(entry, sequence, timestamp);
    entry.running = runningOf(entry.running, crc);
    const { prefix } = entry;
    const fixed = prefix.length + FIXED_BYTES - 8;
    const total = fixed + payload.length + TRAILER_BYTES;
    if (total <= WHOLE && total <= this.#boundary - this.#offset) {
      const chunk = this.#out.room(total);
      const { bytes, view, length: at } = chunk;
      bytes.set(prefix, at);
      putFixed(view, at + prefix.length, sequence, timestamp, payload.length);
      bytes.set(payload, at + fixed);
      putTail(bytes, at + fixed + payload.length, crc);
      this.#out.fill(chunk, total);
      this.#offset += total;
      if (this.#offset === this.#boundary) this.#beacon(0);
      return;
    }
    this.#head.set(prefix);
    putFixed(this.#headView, prefix.length, sequence, timestamp, payload.length);
    putTail(this.#tail, 0, crc);
    this.#drip(this.#head.subarray(0, fixed), total);
    this.#drip(payload, total - fixed);
    this.#drip(this.#tail, TRAILER_BYTES);
  }

  /** By how many bytes the file grows with a message whose payload has this many bytes, beacons included. */
  growth(entry: TallyEntry, payloadBytes: number): number {
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

  /** Bytes that the message that ends the stream can take behind this offset at most, with a beacon if one is due. */
  endRoom(offset: number): number {
    const isDue = Math.ceil(offset / this.#interval) * this.#interval - offset <= END_BYTES;
    return END_BYTES + (isDue ? BEACON_BYTES + this.#perBeacon * MAX_MARKER : 0);
  }

  #drip(piece: Uint8Array, frameLeft: number): void {
    for (let from = 0; from < piece.length;) {
      const bytes = Math.min(piece.length - from, this.#boundary - this.#offset);
      this.#out.append(piece.subarray(from, from + bytes));
      from += bytes;
      this.#offset += bytes;
      if (this.#offset === this.#boundary) this.#beacon(frameLeft - from);
    }
  }

  #take(): number {
    return Math.min(this.#tally.size, this.#perBeacon);
  }

  #beaconBytes(markers: number): number {
    const { sorted } = this.#tally;
    let bytes = BEACON_BYTES;
    for (let i = 0; i < this.#take(); i++) bytes += sorted[(markers + i) % sorted.length].prefix.length + MARKER_TAIL;
    return bytes;
  }

  #beacon(remaining: number): void {
    const { sorted } = this.#tally;
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

function putFixed(view: DataView, at: number, sequence: bigint, timestamp: bigint, size: number): void {
  view.setBigUint64(at, sequence);
  view.setBigUint64(at + 8, timestamp);
  view.setUint32(at + 16, size);
}

function putTail(bytes: Uint8Array, at: number, crc: number): void {
  bytes[at] = crc >> 8;
  bytes[at + 1] = crc & 0xff;
  bytes[at + 2] = MARK;
}

/** Counts a message that was read, as the one who wrote it did. */
export function recount(entry: TallyEntry, sequence: bigint, timestamp: bigint, crc: number): void {
  if (!entry.known) entry.running = CRC_START;
  count(entry, sequence, timestamp);
  entry.running = runningOf(entry.running, crc);
}
