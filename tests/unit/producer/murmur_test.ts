// Tests that the hash is MurmurHash3_x86_32: the published vectors, and the verification value of its author's own
// test.

import { assertEquals } from "@std/assert";
import { murmur32, murmurOfText } from "../../../streamer/producer/sharding/murmur.ts";
import { freshSeed, Random } from "../../support/resp/drive.ts";
import { test } from "../../support/runner.ts";

const utf8 = new TextEncoder();
const SEED = 0x9747b28c;

const VECTORS: readonly (readonly [string | readonly number[], number, number])[] = [
  ["", 0, 0],
  ["", 1, 0x514e28b7],
  ["", 0xffffffff, 0x81f16f39],
  [[0xff, 0xff, 0xff, 0xff], 0, 0x76293b50],
  [[0x21, 0x43, 0x65, 0x87], 0, 0xf55b516b],
  [[0x21, 0x43, 0x65, 0x87], 0x5082edee, 0x2362f9de],
  [[0x21, 0x43, 0x65], 0, 0x7e4a8634],
  [[0x21, 0x43], 0, 0xa0f7b07a],
  [[0x21], 0, 0x72661cf4],
  [[0, 0, 0, 0], 0, 0x2362f9de],
  [[0, 0, 0], 0, 0x85f0b427],
  [[0, 0], 0, 0x30f4c306],
  [[0], 0, 0x514e28b7],
  ["test", 0, 0xba6bd213],
  ["abc", 0, 0xb3dd93fa],
  ["Hello, world!", 0, 0xc0363e43],
  ["The quick brown fox jumps over the lazy dog", 0, 0x2e4ff723],
  ["abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 0, 0xee925b90],
  ["Hello, world!", SEED, 0x24884cba],
  ["The quick brown fox jumps over the lazy dog", SEED, 0x2fa826cd],
  ["aaaa", SEED, 0x5a97808a],
  ["aaa", SEED, 0x283e0130],
  ["aa", SEED, 0x5d211726],
  ["a", SEED, 0x7fa09ea6],
  ["abcd", SEED, 0xf0478627],
  ["abc", SEED, 0xc84a62dd],
  ["ab", SEED, 0x74875592],
  ["ππππππππ", SEED, 0xd58063c1],
  ["a".repeat(256), SEED, 0x37405bdc],
];

test("the published vectors", () => {
  for (const [input, seed, expected] of VECTORS) {
    const bytes = typeof input === "string" ? utf8.encode(input) : Uint8Array.from(input);
    assertEquals(murmur32(bytes, seed), expected, JSON.stringify([input, seed]));
    if (typeof input === "string" && seed === 0) assertEquals(murmurOfText(input), expected, input);
  }
});

test("the verification value of SMHasher for MurmurHash3_x86_32", () => {
  const key = new Uint8Array(256);
  const hashes = new Uint8Array(256 * 4);
  const view = new DataView(hashes.buffer);
  for (let i = 0; i < 256; i++) {
    key[i] = i;
    view.setUint32(i * 4, murmur32(key.subarray(0, i), 256 - i), true);
  }
  assertEquals(murmur32(hashes), 0xb0f57ee3);
});

const seed = freshSeed();
test(`a text of any length and any characters hashes as its UTF-8 (seed ${seed})`, () => {
  const random = new Random(seed);
  const pieces = ["a", "7", "-", "ü", "€", "😀", "\ud800", "\udc00", "\0"];
  for (let i = 0; i < 5_000; i++) {
    const length = i < 4_990 ? random.below(60) : 1_300 + random.below(5_000);
    const ascii = random.once(2);
    const text = Array.from({ length }, () => random.of(ascii ? pieces.slice(0, 3) : pieces)).join("");
    assertEquals(murmurOfText(text), murmur32(utf8.encode(text)), JSON.stringify(text));
  }
  for (const length of [1_364, 1_365, 1_366, 4_095, 4_096, 4_097]) { // near the length at which text is encoded in another way
    assertEquals(murmurOfText("€".repeat(length)), murmur32(utf8.encode("€".repeat(length))), String(length));
  }
});
