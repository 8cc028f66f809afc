// Tests that the decoder's work grows linearly with the bytes, in any pieces. Nothing here asserts a time: each shape
// is compared with the same number of simple bytes in the same pieces.

import { assert, assertEquals } from "@std/assert";
import { RespDecoder } from "../../../resp/mod.ts";
import { test } from "../../support/runner.ts";
import { concat, pieces, wire } from "../../support/resp/drive.ts";

const KIB = 1024;
const MIB = 1024 * KIB;

/**
 * The allowed factor over the time for simple bytes. A large reply costs more than small ones, since the buffer grows
 * (seen: 2 to 6). Quadratic work would be at 100 to 10,000.
 */
const GENEROUS = 30;

/** The shortest of three times for framing these pieces. Each must give exactly so many replies. */
function time(cut: readonly Uint8Array[], replies: number, each: (decoder: RespDecoder) => void = () => {}): number {
  let least = Infinity;
  for (let run = 0; run < 3; run++) {
    const decoder = new RespDecoder();
    let count = 0;
    const start = performance.now();
    for (const piece of cut) {
      decoder.feed(piece);
      while (decoder.advance()) {
        count++;
        each(decoder);
      }
    }
    least = Math.min(least, performance.now() - start);
    assertEquals([count, decoder.buffered], [replies, 0]);
  }
  return least;
}

/** The least time of three that it takes to collect these pieces in a buffer that doubles, as any decoder must. */
function collecting(cut: readonly Uint8Array[]): number {
  let least = Infinity;
  for (let run = 0; run < 3; run++) {
    const start = performance.now();
    let buffer = new Uint8Array(64 * KIB);
    let length = 0;
    for (const piece of cut) {
      if (length + piece.length > buffer.length) {
        const larger = new Uint8Array(2 * buffer.length);
        larger.set(buffer.subarray(0, length));
        buffer = larger;
      }
      buffer.set(piece, length);
      length += piece.length;
    }
    least = Math.min(least, performance.now() - start);
  }
  return least;
}

function expectLinear(what: string, taken: number, easy: number): void {
  assert(taken < easy * GENEROUS + 5, `${what} took ${taken.toFixed(1)} ms, easy bytes ${easy.toFixed(1)} ms`);
}

/** A bulk string of this many bytes on the wire, for 100 and more. */
function bulk(size: number): Uint8Array {
  const length = size - 5 - String(size).length;
  const bytes = concat([wire(`$${length}\r\n`), new Uint8Array(length).fill(0x78), wire("\r\n")]);
  assert(Math.abs(bytes.length - size) < 3);
  return bytes;
}

function repeated(part: string, size: number): string {
  return part.repeat(Math.ceil(size / part.length));
}

test("takes a bulk string of 64 MiB in pieces of 1 KiB", () => {
  const easy = pieces(concat(Array.from({ length: 64 }, () => bulk(KIB))), KIB);
  const long = Array.from({ length: KIB }, () => easy).flat();
  const replies = 64 * KIB;
  const large = pieces(bulk(64 * MIB), KIB);
  // On a busy machine fresh memory is what costs most: 64 MiB of it took 0.9 s there, 30 times the framing.
  expectLinear("64 MiB", time(large, 1), time(long, replies) + collecting(large));
}, { timeout: 120_000 });

test("takes a page of 100,000 entries in segments of 1,448 bytes", () => {
  const entries = Array.from({ length: 100_000 }, (_, i) => {
    const id = `1526919030474-${i}`;
    return `*2\r\n$${id.length}\r\n${id}\r\n*2\r\n$3\r\nmsg\r\n$20\r\n${"x".repeat(20)}\r\n`;
  });
  const bytes = wire(`%1\r\n$6\r\norders\r\n*100000\r\n${entries.join("")}`);
  expectLinear("the page", time(pieces(bytes, 1448), 1), time([bytes], 1));
});

/** The time for a MiB of small replies, byte by byte, measured at the first call. */
function easyBytes(): number {
  return easyTime ??= time(pieces(wire(repeated(":1\r\n", MIB)), 1), MIB / 4);
}
let easyTime: number | undefined;

/** Replies of about a MiB each: [what, its bytes]. */
const shapes: readonly (readonly [string, string])[] = [
  ["a bulk string", `$${MIB}\r\n${"x".repeat(MIB)}\r\n`],
  ["a bulk error", `!${MIB}\r\n${"x".repeat(MIB)}\r\n`],
  ["a verbatim string", `=${MIB}\r\ntxt:${"x".repeat(MIB - 4)}\r\n`],
  ["an array of nulls", `*${MIB / 4}\r\n${"_\r\n".repeat(MIB / 4)}`],
  ["a map of small bulk strings", `%${MIB / 16}\r\n${"$1\r\nx\r\n".repeat(MIB / 8)}`],
  ["an array of long lines", `*16\r\n${`+${"x".repeat(65_000)}\r\n`.repeat(16)}`],
  ["an array of big numbers", `*256\r\n${`(${"9".repeat(4096)}\r\n`.repeat(256)}`],
  ["an array of long doubles", `*256\r\n${`,0.${"9".repeat(4094)}\r\n`.repeat(256)}`],
  ["a streamed string", `$?\r\n${";1\r\nx\r\n".repeat(MIB / 7)};0\r\n`],
  ["a streamed array of streams", `*?\r\n${"*?\r\n.\r\n".repeat(MIB / 7)}.\r\n`],
  ["attributes before each value", `*${MIB / 16}\r\n${"|1\r\n:1\r\n:2\r\n:3\r\n".repeat(MIB / 16)}`],
  ["attributes of many pairs", `*16\r\n${`|8192\r\n${"_\r\n_\r\n".repeat(8192)}_\r\n`.repeat(16)}`],
  ["deep arrays", `*1000\r\n${("*1\r\n".repeat(126) + "_\r\n").repeat(1000)}`],
];

for (const [what, text] of shapes) {
  test(`takes ${what} of a MiB byte by byte`, () => {
    const bytes = wire(text);
    expectLinear(what, time(pieces(bytes, 1), 1) * MIB / bytes.length, easyBytes());
  });
}

test("takes a MiB byte by byte into the smallest buffer", () => {
  const bytes = pieces(wire(repeated(":1\r\n", MIB)), 1);
  const behind = [wire("$2000\r\n" + "x".repeat(2000)), ...pieces(wire("\r\n"), 1)]; // half a buffer stays taken
  const decoder = new RespDecoder({ capacity: 1 });
  const start = performance.now();
  let count = 0;
  for (let round = 0; round < 200; round++) {
    for (const piece of [...behind, ...bytes.slice(round * 5000, (round + 1) * 5000)]) {
      decoder.feed(piece);
      while (decoder.advance()) count++;
    }
  }
  const taken = performance.now() - start;
  assertEquals(count, 200 + 200 * 5000 / 4);
  expectLinear("the smallest buffer", taken, easyBytes());
});

test("takes millions of replies that arrived in one piece", () => {
  const bytes = wire(repeated(":1\r\n", 16 * MIB));
  expectLinear("one piece", time([bytes], 4 * MIB), time(pieces(bytes, 64 * KIB), 4 * MIB));
});

test("detaches large replies of one piece", () => {
  const one = bulk(20 * KIB);
  const bytes = concat(Array.from({ length: 2000 }, () => one));
  const away = (decoder: RespDecoder) => void decoder.detach();
  expectLinear("one piece", time([bytes], 2000, away), time(pieces(bytes, 64 * KIB), 2000, away));
});

test("skips bytes after a violation without keeping them", () => {
  const chunk = wire(repeated("+OK\r\n", 64 * KIB));
  const decoder = new RespDecoder();
  decoder.feed(wire("x"));
  try {
    decoder.read();
  } catch {
    // The violation. The test measures the bytes after it.
  }
  const { length } = decoder.space();
  for (let i = 0; i < 1000; i++) decoder.feed(chunk);
  assertEquals(decoder.space().length, length);
  assert(decoder.failure !== undefined);
});
