// The fixed parts of the format: the header, control messages, beacons. Bytes in, values out.

/** Bytes of a file's header. */
export const HEADER_BYTES = 128;
/** Bytes of a message without its stream key and payload. */
export const FRAME_BYTES = 32;
/** Bytes between a stream key and the payload: shard, sequence, time, size. */
export const FIXED_BYTES = 28;
/** Bytes after the payload: its checksum and the mark. */
export const TRAILER_BYTES = 3;
/** Bytes of a beacon without markers. */
export const BEACON_BYTES = 7;
/** Bytes of a marker without its stream key. */
const MARKER_BYTES = 27;
/** The size that the format assumes for every marker. */
const MARKER_SIZE = 282;
/** The longest stream key. */
const MAX_KEY = 249;
/** The size of the largest beacon: 255 markers with the longest keys. */
export const MAX_BEACON_BYTES = BEACON_BYTES + 255 * (MARKER_BYTES + MAX_KEY);
/** The last byte of a header, a message and a beacon, and the first byte of a beacon. */
export const MARK = 0x0d;
/** The longest file name in a header. */
export const MAX_FILE_NAME = 111;
/** The smallest distance between beacons. */
export const MIN_INTERVAL = 128;

/** The stream key of control messages. */
export const INTERNAL_KEY = "SEA_STREAMER_INTERNAL";
/** The payload of the message that marks the end of the stream. */
export const END_OF_STREAM: Uint8Array = new TextEncoder().encode("EOS");
/** Bytes of the message that marks the end of the stream. */
export const END_BYTES: number = FRAME_BYTES + INTERNAL_KEY.length + END_OF_STREAM.length;
/** The payload of a keep-alive message, which should not occur in a file. */
export const PULSE: Uint8Array = new TextEncoder().encode("PULSE");

/** The header of a file. */
export interface FileHeader {
  /** The name of the file at its creation, without its folder. */
  readonly fileName: string;
  /** Milliseconds since 1970. */
  readonly createdAt: bigint;
  /** Bytes between beacons. */
  readonly beaconInterval: number;
}

const ascii = new TextDecoder();

/** Encodes a header; its name must be ASCII and not too long. */
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

/** Whether bytes may be the beginning of a header. */
export function startsLikeHeader(bytes: Uint8Array): boolean {
  return [0x53, 0x73, 1].every((byte, i) => i >= bytes.length || bytes[i] === byte);
}

/** Decodes a header of 128 bytes, or returns the reason why it is invalid. */
export function decodeHeader(bytes: Uint8Array): FileHeader | string {
  if (bytes[0] !== 0x53 || bytes[1] !== 0x73) return 'it does not start with "Ss"';
  if (bytes[2] !== 1) return `its version is ${bytes[2]}, expected 1`;
  const length = bytes[3];
  if (length > MAX_FILE_NAME) return `its file name has ${length} bytes, at most ${MAX_FILE_NAME} are allowed`;
  const view = viewOf(bytes);
  const beaconInterval = view.getUint32(12 + length);
  if (beaconInterval < MIN_INTERVAL) {
    return `its beacon interval is ${beaconInterval}, at least ${MIN_INTERVAL} is required`;
  }
  if (bytes[HEADER_BYTES - 1] !== MARK) return "its header does not end with the mark";
  const fileName = ascii.decode(bytes.subarray(4, 4 + length));
  return { fileName, createdAt: view.getBigUint64(4 + length), beaconInterval };
}

/** The state of one shard of a stream at a beacon, including a message that the beacon interrupts. */
export interface Marker {
  readonly streamKey: string;
  readonly shard: bigint;
  /** The highest so far. */
  readonly sequence: bigint;
  /** The highest so far, in milliseconds. */
  readonly timestamp: bigint;
  /** The running checksum of all checksums so far. */
  readonly running: number;
}

/** A decoded beacon. */
export interface Beacon {
  /** Its size in bytes. */
  readonly size: number;
  /** Bytes of the interrupted message that follow the beacon. */
  readonly remaining: number;
  readonly markers: readonly Marker[];
}

/** The most markers in a beacon, by the format's own calculation. */
export function markersPerBeacon(interval: number): number {
  return Math.floor(Math.min(255, Math.floor((interval - BEACON_BYTES) / MARKER_SIZE)) / 2);
}

/** The result of {@linkcode measureBeacon}: the size, the number of bytes that are needed to measure it, or the reason why it is invalid. */
export type Measured = { readonly size: number } | { readonly need: number } | { readonly why: string };

/** Measures the beacon at index `at`, of which the bytes before `end` are available. */
export function measureBeacon(bytes: Uint8Array, at: number, end: number): Measured {
  if (end - at < 1) return { need: 1 };
  if (bytes[at] !== MARK) return { why: "a beacon does not start with its mark" };
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
  return bytes[at + size] === MARK ? { size: size + 1 } : { why: "a beacon does not end with its mark" };
}

/** The size of a beacon that was measured. */
export function beaconSize(bytes: Uint8Array, at: number): number {
  let size = BEACON_BYTES - 1;
  for (let i = 0; i < bytes[at + 5]; i++) size += MARKER_BYTES + bytes[at + size];
  return size + 1;
}

/** Decodes a beacon that was measured. */
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

/** A DataView of the same bytes. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** The reason why a stream key is invalid. */
export const KEY_RULE = "a stream key has characters other than A–Z a–z 0–9 . _ -";
/** The reason why the end of a file is invalid. */
export const ENDS_INSIDE = "the file ends inside a message or a beacon";

/** The reason why a key of this many bytes is invalid. */
export function keyRule(length: number): string {
  return `a stream key has ${length} characters, 1 to ${MAX_KEY} are allowed`;
}

/** Whether a stream key may have this many bytes. */
export function isKeyLength(length: number): boolean {
  return length > 0 && length <= MAX_KEY;
}

const IN_KEY = new Uint8Array(256);
for (const c of "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") IN_KEY[c.charCodeAt(0)] = 1;

/** Whether all of these bytes are allowed in a stream key. */
export function isStreamKey(bytes: Uint8Array, from: number, to: number): boolean {
  for (let at = from; at < to; at++) if (IN_KEY[bytes[at]] === 0) return false;
  return true;
}

/** The number of a shard: a `number` up to 2^53 − 1. */
export function shardOf(shard: bigint): number | bigint {
  return shard <= Number.MAX_SAFE_INTEGER ? Number(shard) : shard;
}
