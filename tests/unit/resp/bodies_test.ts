// Tests which bodies of a decoded value share memory.

import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import { RespDecoder } from "../../../resp/mod.ts";
import { test } from "../../support/runner.ts";
import { freshSeed, Random, wire } from "../../support/resp/drive.ts";

const LONE = 4 * 1024;
const SHARED = 16 * 1024;
const seed = freshSeed();

/** The bodies of a reply of bulk strings of these lengths, each filled with its number, integers between them. */
function bodies(lengths: readonly number[]): Uint8Array[] {
  const decoder = new RespDecoder();
  const text = lengths.map((length, i) => `:${i}\r\n$${length}\r\n${String.fromCharCode(i % 251).repeat(length)}\r\n`);
  decoder.feed(wire(`*${lengths.length * 2}\r\n${text.join("")}`));
  const value = decoder.read()?.value;
  decoder.space().fill(0xff);
  assert(Array.isArray(value));
  return value.filter((one) => one instanceof Uint8Array);
}

function expectFilled(values: readonly Uint8Array[], lengths: readonly number[], but = -1): void {
  assertEquals(values.map((value) => value.length), lengths);
  for (const [i, value] of values.entries()) assert(i === but || value.every((byte) => byte === i % 251), `body ${i}`);
}

test(`bodies never overlap, and hold no more than 16 KiB (seed ${seed})`, () => {
  const random = new Random(seed);
  for (let round = 0; round < 60; round++) {
    const longest = random.of([3, 300, 5_000, 40_000]);
    const lengths = Array.from({ length: 1 + random.below(60) }, () => random.below(longest));
    const values = bodies(lengths);
    expectFilled(values, lengths);
    for (const value of values) {
      assertLessOrEqual(value.buffer.byteLength, value.length < LONE ? SHARED : value.length);
    }
    const one = random.below(values.length);
    values[one].fill(0xee);
    expectFilled(values, lengths, one);
  }
});

test("a body without short neighbours has a buffer of exactly its size", () => {
  for (const lengths of [[0], [5], [LONE], [100_000], [5, 5_000], [5_000, 5], [5_000, 0, 70_000]]) {
    const values = bodies(lengths);
    expectFilled(values, lengths);
    for (const { buffer, length } of values) assertEquals(buffer.byteLength, length);
  }
});

test("short neighbours share a buffer, and a slice is independent", () => {
  const values = bodies([10, 20, 5_000, 30, 40]);
  assertEquals(values.map(({ buffer }) => buffer === values[0].buffer), [true, true, false, false, false]);
  assertEquals(values[3].buffer, values[4].buffer);
  assertEquals(values[3].slice().buffer.byteLength, 30);
});
