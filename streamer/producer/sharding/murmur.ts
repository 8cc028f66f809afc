// MurmurHash3 of 32 bits, as published by Austin Appleby (MurmurHash3_x86_32, public domain). It is fast, and spreads short and
// similar keys evenly.

import { STRAIGHT_BELOW, writeText } from "../../../resp/encoder.ts";

const utf8 = new TextEncoder();
/** Holds the UTF-8 of any text shorter than {@linkcode STRAIGHT_BELOW}. Used only within one call. */
let scratch: Uint8Array | undefined;

/** The hash of bytes: an unsigned 32-bit number. */
export function murmur32(bytes: Uint8Array, seed = 0): number {
  return hash(bytes, bytes.length, seed);
}

/** The hash of a text's UTF-8 with seed 0. Lone surrogates are encoded as U+FFFD. */
export function murmurOfText(text: string): number {
  if (text.length >= STRAIGHT_BELOW) return murmur32(utf8.encode(text));
  scratch ??= new Uint8Array(STRAIGHT_BELOW * 3);
  return hash(scratch, writeText(scratch, 0, text), 0);
}

function hash(bytes: Uint8Array, length: number, seed: number): number {
  let h = seed | 0;
  const whole = length & ~3;
  for (let i = 0; i < whole; i += 4) {
    h ^= scramble(bytes[i] | bytes[i + 1] << 8 | bytes[i + 2] << 16 | bytes[i + 3] << 24);
    h = Math.imul(h << 13 | h >>> 19, 5) + 0xe6546b64 | 0;
  }
  if (whole < length) {
    let tail = 0;
    for (let i = length - 1; i >= whole; i--) tail = tail << 8 | bytes[i];
    h ^= scramble(tail);
  }
  h ^= length;
  h = Math.imul(h ^ h >>> 16, 0x85ebca6b);
  h = Math.imul(h ^ h >>> 13, 0xc2b2ae35);
  return (h ^ h >>> 16) >>> 0;
}

function scramble(k: number): number {
  k = Math.imul(k, 0xcc9e2d51);
  return Math.imul(k << 15 | k >>> 17, 0x1b873593);
}
