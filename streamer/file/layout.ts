// The format's fixed parts: the header, special messages, beacons. Bytes in, values out; it must not know files.

/** Bytes of a file's header. */
export const HEADER_BYTES = 128;
/** Bytes of a message beside its stream key and payload. */
export const FRAME_BYTES = 32;
/** Bytes between a stream key and the payload: shard, sequence, time, size. */
export const FIXED_BYTES = 28;
/** Bytes behind the payload: its checksum and the mark. */
export const TRAILER_BYTES = 3;
/** Bytes of a beacon without markers. */
export const BEACON_BYTES = 7;
/** Bytes of a marker beside its stream key. */
const MARKER_BYTES = 27;
/** What the format reckons a marker with, whatever its size. */
const MARKER_SIZE = 282;
/** Longest stream key. */
const MAX_KEY = 249;
/** What a beacon can be at most: 255 markers of the longest keys. */
export const MAX_BEACON_BYTES = BEACON_BYTES + 255 * (MARKER_BYTES + MAX_KEY);
/** What ends a header, a message and a beacon, and begins a beacon. */
export const MARK = 0x0d;
/** Longest name of a file in its header. */
export const MAX_FILE_NAME = 111;
/** Smallest distance of beacons. */
export const MIN_INTERVAL = 128;

/** The stream of messages to the format itself. */
export const INTERNAL_KEY = "SEA_STREAMER_INTERNAL";
/** The payload of the message that ends a file. */
export const END_OF_STREAM: Uint8Array = new TextEncoder().encode("EOS");
/** Bytes of the message that ends a file. */
export const END_BYTES: number = FRAME_BYTES + INTERNAL_KEY.length + END_OF_STREAM.length;
/** The payload of a message that only says that there is none; it does not belong into a file. */
export const PULSE: Uint8Array = new TextEncoder().encode("PULSE");

/** What stands at the beginning of a file. */
export interface FileHeader {
  /** The name the file was made with, without its folder. */
  readonly fileName: string;
  /** Milliseconds since 1970. */
  readonly createdAt: bigint;
  /** Bytes between beacons. */
  readonly beaconInterval: number;
}

const ascii = new TextDecoder();

/** A header as it is written; its name must be ASCII and not too long. */
export function encodeHeader({ fileName, createdAt, beaconInterval }: FileHeader): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES);
  const view = new DataView(bytes.buffer);
  bytes.set([0x53, 0x73, 1, fileName.length]);
  for (let i = 0; i < fileName.length; i++) bytes[4 + i] = fileName.charCodeAt(i);
  view.setBigUint64(4 + fileName.length, createdAt);
  view.setUint32(12 + fileName.length, beaconInterval);
  bytes[HEADER_BYTES - 1] = MARK;
  return bytes;
}

/** Whether bytes can be the beginning of a header. */
export function startsLikeHeader(bytes: Uint8Array): boolean {
  return [0x53, 0x73, 1].every((byte, i) => i >= bytes.length || bytes[i] === byte);
}

/** A header of 128 bytes, or the rule that it breaks. */
export function decodeHeader(bytes: Uint8Array): FileHeader | string {
  if (bytes[0] !== 0x53 || bytes[1] !== 0x73) return 'a file must begin with "Ss"';
  if (bytes[2] !== 1) return `its version must be 1: current value is ${bytes[2]}`;
  const length = bytes[3];
  if (length > MAX_FILE_NAME) return `a file name must have at most ${MAX_FILE_NAME} bytes: current value is ${length}`;
  const view = viewOf(bytes);
  const beaconInterval = view.getUint32(12 + length);
  if (beaconInterval < MIN_INTERVAL) {
    return `the beacon interval must be at least ${MIN_INTERVAL}: current value is ${beaconInterval}`;
  }
  if (bytes[HEADER_BYTES - 1] !== MARK) return "a header must end with its mark";
  const fileName = ascii.decode(bytes.subarray(4, 4 + length));
  return { fileName, createdAt: view.getBigUint64(4 + length), beaconInterval };
}

/** The state of one shard of a stream at a beacon, what is being written there included. */
export interface Marker {
  readonly streamKey: string;
  readonly shard: bigint;
  /** The highest so far. */
  readonly sequence: bigint;
  /** The highest so far, in milliseconds. */
  readonly timestamp: bigint;
  /** Of the checksums so far. */
  readonly running: number;
}

/** A beacon as it was read. */
export interface Beacon {
  /** Its own bytes. */
  readonly size: number;
  /** Bytes of the interrupted message that are still to come behind it. */
  readonly remaining: number;
  readonly markers: readonly Marker[];
}

/** How many markers a beacon holds at most, as the format's writers reckon. */
export function markersPerBeacon(interval: number): number {
  return Math.floor(Math.min(255, Math.floor((interval - BEACON_BYTES) / MARKER_SIZE)) / 2);
}

/** What {@linkcode measureBeacon} found: the whole size; how many bytes it must be shown, where they are too few; or the rule that is broken. */
export type Measured = { readonly size: number } | { readonly need: number } | { readonly why: string };

/** Looks at the beacon that begins at `at`, of which the bytes before `end` are there. */
export function measureBeacon(bytes: Uint8Array, at: number, end: number): Measured {
  if (end - at < 1) return { need: 1 };
  if (bytes[at] !== MARK) return { why: "a beacon must begin with its mark" };
  if (end - at < BEACON_BYTES) return { need: BEACON_BYTES };
  const count = bytes[at + 5];
  let size = BEACON_BYTES - 1;
  for (let i = 0; i < count; i++) {
    if (at + size >= end) return { need: size + MARKER_BYTES + 1 };
    const length = bytes[at + size];
    if (length === 0 || length > MAX_KEY) return { why: keyRule(length) };
    if (!isStreamKey(bytes, at + size + 1, Math.min(end, at + size + 1 + length))) return { why: KEY_RULE };
    size += MARKER_BYTES + length;
  }
  if (at + size >= end) return { need: size + 1 };
  return bytes[at + size] === MARK ? { size: size + 1 } : { why: "a beacon must end with its mark" };
}

/** The size of a beacon that was measured. */
export function beaconSize(bytes: Uint8Array, at: number): number {
  let size = BEACON_BYTES - 1;
  for (let i = 0; i < bytes[at + 5]; i++) size += MARKER_BYTES + bytes[at + size];
  return size + 1;
}

/** Reads a beacon that was measured. */
export function decodeBeacon(bytes: Uint8Array, at: number, size: number): Beacon {
  const view = viewOf(bytes);
  const markers: Marker[] = [];
  for (let p = at + BEACON_BYTES - 1; p < at + size - 1;) {
    const fields = p + 1 + bytes[p];
    markers.push({
      streamKey: ascii.decode(bytes.subarray(p + 1, fields)),
      shard: view.getBigUint64(fields),
      sequence: view.getBigUint64(fields + 8),
      timestamp: view.getBigUint64(fields + 16),
      running: view.getUint16(fields + 24),
    });
    p = fields + MARKER_BYTES - 1;
  }
  return { size, remaining: view.getUint32(at + 1), markers };
}

/** A view of the same bytes for numbers. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

export const KEY_RULE = "a stream key must be of A–Z a–z 0–9 . _ -";

/** The rule that a key of this many bytes breaks. */
export function keyRule(length: number): string {
  return `a stream key must have 1 to ${MAX_KEY} characters: current value is ${length}`;
}

/** Whether a message can have a key of this many bytes. */
export function isKeyLength(length: number): boolean {
  return length > 0 && length <= MAX_KEY;
}

const IN_KEY = new Uint8Array(256);
for (const c of "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") IN_KEY[c.charCodeAt(0)] = 1;

/** Whether all of these bytes may stand in a stream key. */
export function isStreamKey(bytes: Uint8Array, from: number, to: number): boolean {
  for (let at = from; at < to; at++) if (IN_KEY[bytes[at]] === 0) return false;
  return true;
}

/** A shard's number: a `number` where it is exact as one. */
export function shardOf(shard: bigint): number | bigint {
  return shard <= Number.MAX_SAFE_INTEGER ? Number(shard) : shard;
}
