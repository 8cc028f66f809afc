// Tests input without a copy (space, received) and output without one (advance, detach, frames).

import { assert, assertEquals, assertFalse, assertGreater, assertStrictEquals } from "@std/assert";
import { RespDecoder, type RespFrame, type RespReply } from "../../../resp/mod.ts";
import { test } from "../../support/runner.ts";
import { concat, decode, freshSeed, Random, wire } from "../../support/resp/drive.ts";
import { VECTORS } from "../../support/resp/vectors.ts";

const seed = freshSeed();

/** Writes bytes into the space of the decoder, at most `most` at a time. Calls `after` for each. */
function pour(decoder: RespDecoder, bytes: Uint8Array, most: () => number, after: () => void): void {
  for (let at = 0; at < bytes.length;) {
    const space = decoder.space();
    assertGreater(space.length, 0);
    const count = Math.min(space.length, most(), bytes.length - at);
    space.set(bytes.subarray(at, at + count));
    decoder.received(count);
    at += count;
    after();
  }
}

/** A bulk string whose body has its number and length. */
function numbered(number: number, length: number): Uint8Array {
  const body = new Uint8Array(length).map((_, i) => (i * 7 + number) & 0xff);
  return concat([wire(`$${length}\r\n`), body, wire("\r\n")]);
}

function expectNumbered(frame: RespFrame, number: number, length: number): void {
  assert(frame.isBulk(0));
  const view = frame.viewAt(0);
  assertEquals(view.length, length);
  for (let i = 0; i < length; i++) {
    if (view[i] !== ((i * 7 + number) & 0xff)) throw new Error(`Byte ${i} of reply ${number} has changed`);
  }
}

test(`decodes bytes written into its own space, by any counts (seed ${seed})`, () => {
  const random = new Random(seed);
  const bytes = concat(VECTORS.map((vector) => wire(vector.wire)));
  for (const most of [1, 3, 100, 5000, 1_000_000]) {
    const decoder = new RespDecoder({ capacity: 4096 });
    const replies: RespReply[] = [];
    pour(decoder, bytes, () => 1 + random.below(most), () => {
      for (let reply = decoder.read(); reply !== undefined; reply = decoder.read()) replies.push(reply);
    });
    assertEquals(replies, VECTORS.flatMap((vector) => vector.replies));
  }
});

test("lends a space that is shorter than the data, again and again", () => {
  const decoder = new RespDecoder({ capacity: 4096 });
  const bytes = numbered(3, 3_000_000);
  let rooms = 0;
  pour(decoder, bytes, () => Infinity, () => rooms++);
  assertGreater(rooms, 3, "it was to be poured in several times");
  assert(decoder.advance());
  expectNumbered(decoder.detach(), 3, 3_000_000);
});

test("lends the same space until bytes are received", () => {
  const decoder = new RespDecoder();
  const first = decoder.space();
  const second = decoder.space();
  assertStrictEquals(second.buffer, first.buffer);
  assertEquals(second.byteOffset, first.byteOffset);
  decoder.received(0);
  assertEquals(decoder.buffered, 0);
  decoder.space().set(wire("+OK\r\n"));
  decoder.received(5);
  assertEquals(decoder.buffered, 5);
  assertEquals(decoder.read()?.value, "OK");
});

test("counts bytes of incomplete replies as buffered", () => {
  const decoder = new RespDecoder();
  decoder.feed(wire("+OK\r\n:1\r\n$5\r\nhe"));
  assertEquals(decoder.buffered, 15);
  assert(decoder.advance());
  assertEquals(decoder.buffered, 10);
  assert(decoder.advance());
  assertEquals(decoder.buffered, 6);
  assertFalse(decoder.advance());
  assertEquals(decoder.buffered, 6);
});

test("stays at a reply while more bytes arrive", () => {
  const decoder = new RespDecoder({ capacity: 4096 });
  const value = [wire("abc"), 1];
  decoder.feed(wire("*2\r\n$3\r\nabc\r\n:1\r\n"));
  assert(decoder.advance());
  for (let i = 0; i < 3000; i++) decoder.feed(wire(":12345\r\n")); // makes the buffer grow and move
  assertEquals(decoder.value(), value);
  assertEquals(decoder.value(), value, "twice");
  assertEquals(decoder.buffered, 3000 * 8);
  const frame = decoder.detach();
  assertEquals([frame.lengthAt(0), frame.textAt(2)], [2, "abc"]);
  for (let i = 0; i < 3000; i++) assertEquals(decoder.read()?.value, 12345);
  assertStrictEquals(decoder.read(), undefined);
});

test("describes the reply it is at, after its attributes", () => {
  for (const attributes of ["", "|1\r\n+a\r\n*1\r\n+b\r\n", "|0\r\n"]) {
    const decoder = new RespDecoder();
    decoder.feed(wire(`${attributes}$5\r\nhello\r\n${attributes}>1\r\n+x\r\n${attributes}$-1\r\n`));
    assert(decoder.advance());
    assertEquals([decoder.typeByte(), decoder.valueLength, decoder.isPush()], [0x24, 5, false]);
    assertEquals(decoder.bytes.slice(decoder.position, decoder.position + 9), wire("$5\r\nhello"));
    assertEquals(decoder.value(), wire("hello"));
    assertEquals(decoder.detach().textAt(0), "hello");
    assert(decoder.advance());
    assertEquals([decoder.typeByte(), decoder.valueLength, decoder.isPush()], [0x3e, 1, true]);
    assertEquals(decoder.value(), ["x"]);
    assert(decoder.advance());
    assertEquals([decoder.valueLength, decoder.value()], [-1, null]);
    assertFalse(decoder.advance());
  }
});

test("skips replies that no caller reads", () => {
  const decoder = new RespDecoder();
  const bytes = concat(VECTORS.map((vector) => wire(vector.wire)));
  decoder.feed(concat([bytes, wire("+last\r\n")]));
  let count = 0;
  while (decoder.advance()) if (++count > VECTORS.flatMap(({ replies }) => replies).length) break;
  assertEquals(decoder.value(), "last");
});

test("copies a small reply: it keeps no other memory, and its bytes stay", () => {
  const decoder = new RespDecoder();
  const frames: RespFrame[] = [];
  for (let i = 0; i < 5000; i++) {
    decoder.feed(numbered(i, i % 300));
    assert(decoder.advance());
    frames.push(decoder.detach());
  }
  frames.forEach((frame, i) => {
    expectNumbered(frame, i, i % 300);
    assert(frame.bytes.buffer.byteLength < 1024, "the buffer is pinned");
  });
});

test("detaches the buffer with a large reply, and the bytes after it stay in order", () => {
  const decoder = new RespDecoder();
  decoder.feed(concat([numbered(1, 2_000_000), wire("+behind\r\n"), numbered(2, 5), wire("$9\r\nun")]));
  assert(decoder.advance());
  const { buffer } = decoder.bytes;
  const frame = decoder.detach();
  assertStrictEquals(frame.bytes.buffer, buffer, "it was copied");
  assert(decoder.bytes.buffer !== buffer);
  assertEquals(decoder.read()?.value, "behind");
  assert(decoder.advance());
  expectNumbered(decoder.detach(), 2, 5);
  assertFalse(decoder.advance());
  for (let i = 0; i < 100; i++) decoder.feed(wire(i === 0 ? "finishe\r\n" : `:${i}\r\n`));
  assertEquals(decoder.read()?.value, wire("unfinishe"));
  for (let i = 1; i < 100; i++) assertEquals(decoder.read()?.value, i);
  expectNumbered(frame, 1, 2_000_000);
});

test("does not pin a large buffer for a reply that fills less than half of it", () => {
  const decoder = new RespDecoder({ capacity: 1 << 20 });
  decoder.feed(concat([numbered(1, 20_000), numbered(2, 20_000)]));
  for (const number of [1, 2]) {
    assert(decoder.advance());
    const frame = decoder.detach();
    expectNumbered(frame, number, 20_000);
    assert(frame.bytes.buffer.byteLength <= 2 * frame.byteLength, "more is pinned than twice the reply");
  }
});

test(`keeps every reply's bytes, whether detached, read or skipped (seed ${seed})`, () => {
  const random = new Random(seed);
  for (let round = 0; round < 20; round++) {
    const decoder = new RespDecoder({ capacity: random.of([1, 10_000, 65_536, 300_000]) });
    const kept: { readonly frame: RespFrame; readonly number: number }[] = [];
    const lengths = Array.from({ length: 60 }, () => random.below(random.of([10, 1000, 20_000, 60_000])));
    let next = 0;
    pour(decoder, concat(lengths.map((length, i) => numbered(i, length))), () => 1 + random.below(70_000), () => {
      while (decoder.advance()) {
        const number = next++;
        if (random.once(3)) continue;
        if (random.once(3)) {
          assertEquals(decoder.value(), numbered(number, lengths[number]).slice(-lengths[number] - 2, -2));
        }
        if (random.once(4)) decoder.space().fill(0xff); // only the writer uses the lent space
        else kept.push({ frame: decoder.detach(), number });
      }
    });
    assertEquals(next, lengths.length);
    for (const { frame, number } of kept) expectNumbered(frame, number, lengths[number]);
  }
});

test("frames the nested values of a detached reply by its tape", () => {
  for (const filler of [0, 40_000]) { // copied, detached
    for (const attributes of ["", "|1\r\n+a\r\n+b\r\n"]) {
      const decoder = new RespDecoder({ capacity: 1 });
      decoder.feed(
        wire(
          `${attributes}*5\r\n$1\r\nk\r\n*2\r\n|1\r\n+x\r\n+y\r\n:7\r\n$-1\r\n$${filler}\r\n${"f".repeat(filler)}\r\n`,
        ),
      );
      decoder.feed(wire("*-1\r\n$?\r\n;2\r\nhi\r\n;0\r\n+next\r\n"));
      assert(decoder.advance());
      const frame = decoder.detach();
      assertEquals([frame.isArray(0), frame.lengthAt(0)], [true, 5]);
      assertEquals([frame.isBulk(2), frame.textAt(2), frame.viewAt(2)], [true, "k", wire("k")]);
      assertEquals([frame.isArray(4), frame.lengthAt(4)], [true, 2]);
      assertEquals([frame.typeAt(6), frame.isBulk(6), frame.isBulk(8), frame.lengthAt(8)], [0x3a, false, false, -1]);
      assertEquals([frame.isBulk(10), frame.lengthAt(10), frame.viewAt(10).length], [true, filler, filler]);
      assertEquals([frame.isArray(12), frame.lengthAt(12), frame.isBulk(14)], [true, -1, false]);
      assertEquals(decoder.read()?.value, "next");
    }
  }
});

test("gives text of a frame as UTF-8, short or long", () => {
  for (const text of ["", "ascii", "é", "a".repeat(23), "a".repeat(24), "é".repeat(11), "😀".repeat(50), "\ufeffbom"]) {
    const body = new TextEncoder().encode(text);
    const decoder = new RespDecoder();
    decoder.feed(concat([wire(`*1\r\n$${body.length}\r\n`), body, wire("\r\n")]));
    assert(decoder.advance());
    assertEquals(decoder.detach().textAt(2), text);
  }
  assertEquals(decode([wire("+\xff\r\n")]).replies[0].value, "\ufffd");
});
