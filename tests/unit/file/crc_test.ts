// Tests that the checksum is that of the format, in one piece and in several.

import { assertEquals } from "@std/assert";
import { crc16, CRC_START } from "../../../streamer/file/format/crc.ts";
import { freshSeed, Random } from "../../support/resp/drive.ts";
import { test } from "../../support/runner.ts";

const utf8 = new TextEncoder();

/** As in the description of the format, bit by bit. */
function plainCrc(bytes: Uint8Array): number {
  let crc = 0xffff;
  for (const byte of bytes) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit++) crc = ((crc & 0x8000) === 0 ? crc << 1 : (crc << 1) ^ 0xc867) & 0xffff;
  }
  return crc;
}

const VECTORS: readonly (readonly [Uint8Array, number])[] = [
  [utf8.encode(""), 0xffff],
  [new Uint8Array([0]), 0x6b6c],
  [utf8.encode("a"), 0x7f83],
  [utf8.encode("123456789"), 0x4c06],
  [utf8.encode("hello, world"), 0x8028],
  [utf8.encode("123456789abcd"), 0xa106],
  [utf8.encode("EOS"), 0xed7c],
  [utf8.encode("PULSE"), 0xddac],
  [Uint8Array.from({ length: 256 }, (_, i) => i), 0xf8e6],
  [new Uint8Array(16).fill(0xff), 0x95de],
  [utf8.encode("hi"), 0xd73b],
];

test("known bytes have the known checksums", () => {
  for (const [bytes, crc] of VECTORS) assertEquals(crc16(bytes, 0, bytes.length), crc);
});

const seed = freshSeed();

test(`a checksum is the same calculated bit by bit, at any offset, in any pieces (seed ${seed})`, () => {
  const random = new Random(seed);
  for (let round = 0; round < 500; round++) {
    const bytes = Uint8Array.from({ length: random.below(100) }, () => random.below(256));
    const from = random.below(bytes.length + 1);
    const to = from + random.below(bytes.length - from + 1);
    const middle = from + random.below(to - from + 1);
    const expected = plainCrc(bytes.subarray(from, to));
    assertEquals(crc16(bytes, from, to), expected);
    assertEquals(crc16(bytes, middle, to, crc16(bytes, from, middle, CRC_START)), expected);
  }
});
