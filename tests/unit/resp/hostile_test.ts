// Tests the cost of hostile bytes: memory that follows the bytes received and never the announced sizes, and no long stop
// of the loop.
//
// Hostile bytes are those that must be refused, or that hold nothing to keep. A legal reply that is incomplete must be
// kept, so 64 MiB of one cannot cost less than 64 MiB. Those cases have a multiple of the received bytes as their limit.

import { assert, assertEquals } from "@std/assert";
import process from "node:process";
import { RespDecoder, StreamerError } from "../../../resp/mod.ts";
import { MemoryWatch } from "../../support/memory.ts";
import { runtime, test } from "../../support/runner.ts";
import { Random, wire } from "../../support/resp/drive.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
const CHUNK = 64 * KIB;

/** Bytes in use. */
function used(): number {
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** The largest growth in bytes. `run` calls `sample` at likely maxima. `limit` is the allowed growth. */
function growth(limit: number, run: (sample: () => void) => void): number {
  if (runtime === "bun") { // it counts its heap only when it collects
    const memory = new MemoryWatch();
    run(() => memory.glance(limit));
    return memory.growth;
  }
  const before = used();
  let peak = before;
  run(() => peak = Math.max(peak, used()));
  return peak - before;
}

/** Feeds `opening` and then `chunk` until so many bytes were fed. Returns the violation, and the skipped replies. */
function flood(
  opening: string,
  chunk: Uint8Array,
  size: number,
  after: (taken: number) => void,
): { readonly failure: StreamerError | undefined; readonly replies: number } {
  const decoder = new RespDecoder();
  let replies = 0;
  let broken = false;
  const feed = (bytes: Uint8Array) => {
    const start = process.cpuUsage();
    decoder.feed(bytes);
    try {
      while (!broken && decoder.advance()) replies++;
    } catch (error) {
      if (!(error instanceof StreamerError)) throw error;
      broken = true;
    }
    const { user, system } = process.cpuUsage(start);
    after((user + system) / 1000);
  };
  feed(wire(opening));
  for (let at = opening.length; at < size; at += chunk.length) feed(chunk);
  return { failure: decoder.failure, replies };
}

function repeated(part: string): Uint8Array {
  return wire(part.repeat(Math.floor(CHUNK / part.length)));
}

function noise(): Uint8Array {
  const random = new Random(1);
  return new Uint8Array(CHUNK).map(() => random.below(256));
}

interface Flood {
  readonly name: string;
  readonly opening: string;
  readonly chunk: Uint8Array;
}

function of(name: string, opening: string, part: string): Flood {
  return { name, opening, chunk: repeated(part) };
}

/** Floods that must be refused. */
const REFUSED: readonly Flood[] = [
  of("zeros", "", "\0"),
  of("ones", "", "\xff"),
  { name: "noise", opening: "", chunk: noise() },
  of("HTTP", "", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
  of("TLS", "", "\x16\x03\x03\x40\x00"),
  of("line feeds", "", "\n"),
  of("digits of a length", "$", "1"),
  of("zeros of a length", "$", "0"),
  of("digits of a count", "*", "9"),
  of("digits of an integer", ":", "0"),
  of("digits of a big number", "(", "9"),
  of("digits of a double", ",", "1"),
  of("a line without end", "+", "x"),
  of("an error without end", "-", "x"),
  of("nesting", "", "*1\r\n"),
  of("nesting of the largest arrays", "", "*16777216\r\n"),
  of("nesting of the largest maps", "", "%8388608\r\n"),
  of("nesting of streams", "", "*?\r\n"),
  of("attributes in a row", "", "|1\r\n+a\r\n+b\r\n"),
  of("empty attributes in a row", "*2\r\n", "|0\r\n"),
  of("attributes in attributes", "", "|1\r\n"),
  of("the largest attribute", "|8388608\r\n", "|8388608\r\n"),
  of("pushes inside", "*3\r\n", ">1\r\n+a\r\n"),
  of("good replies after a violation", "+OK\r\n$x\r\n", "+OK\r\n"),
  of("a large body after a violation", "$-5\r\n$500000000\r\n", "x"),
  of("a body that ends where it must not", "$3\r\nabcd", "x"),
];

/** Floods of complete replies, which no caller keeps. */
const PASSING: readonly Flood[] = [
  of("nulls", "", "_\r\n"),
  of("empty aggregates", "", "*0\r\n%0\r\n~0\r\n"),
  of("pushes", "", ">1\r\n+x\r\n"),
  of("attributes with replies", "", "|1\r\n+a\r\n+b\r\n_\r\n"),
  of("lines as long as they may be", "", `-${"x".repeat(CHUNK - 3)}\r\n`),
  of("streams", "", "*?\r\n$?\r\n;1\r\nx\r\n;0\r\n.\r\n"),
  of("arrays as deep as they may be", "", "*1\r\n".repeat(128) + "_\r\n"),
];

/** Floods that are the beginning of one legal reply, with as many bytes to keep as were fed. */
const KEPT: readonly Flood[] = [
  of("a bulk string", "$500000000\r\n", "x"),
  of("an array of nulls", "*16777216\r\n", "_\r\n"),
  of("a streamed string of single bytes", "$?\r\n", ";1\r\nx\r\n"),
  of("a streamed map of maps", "%?\r\n", "%0\r\n"),
  of("attributes inside an array", "*16777216\r\n", "|1\r\n_\r\n_\r\n_\r\n"),
];

for (const { name, opening, chunk } of REFUSED) {
  test(`refuses 64 MiB of ${name} and grows by no more than 48 MiB`, () => {
    const grown = growth(48 * MIB, (sample) => {
      const { failure } = flood(opening, chunk, 64 * MIB, sample);
      assert(failure !== undefined, "it was not refused");
    });
    assert(grown <= 48 * MIB, `it grew by ${(grown / MIB).toFixed(1)} MiB`);
  });
}

for (const { name, opening, chunk } of PASSING) {
  test(`skips 64 MiB of ${name} and grows by no more than 48 MiB`, () => {
    const grown = growth(48 * MIB, (sample) => {
      let count = 0;
      const { failure, replies } = flood(opening, chunk, 64 * MIB, () => {
        if (count++ % 16 === 0) sample();
      });
      assertEquals(failure, undefined);
      assert(replies >= 1000);
    });
    assert(grown <= 48 * MIB, `it grew by ${(grown / MIB).toFixed(1)} MiB`);
  });
}

/**
 * A value of three bytes costs eight on the tape. Buffer and tape double, and during that the old one exists too. So 3
 * bytes can cost 9 of buffer and 24 of tape.
 */
const KEPT_TIMES = 14; // 11, and the garbage not yet collected

for (const { name, opening, chunk } of KEPT) {
  test(`keeps 8 MiB of ${name} in a bounded multiple of them`, () => {
    const limit = KEPT_TIMES * 8 * MIB;
    const grown = growth(limit, (sample) => {
      const { failure, replies } = flood(opening, chunk, 8 * MIB, sample);
      assertEquals([failure, replies], [undefined, 0]);
    });
    assert(grown <= limit, `it grew by ${(grown / MIB).toFixed(1)} MiB`);
  });
}

test("takes no memory for announced sizes", () => {
  const headers = [
    "$536870912\r\n",
    "!536870912\r\n",
    "=536870912\r\n",
    "*16777216\r\n",
    "~16777216\r\n",
    ">16777216\r\n",
  ];
  headers.push("%8388608\r\n", "|8388608\r\n", "$?\r\n;536870912\r\n", "*1\r\n".repeat(127) + "*16777000\r\n");
  const waiting: RespDecoder[] = [];
  const grown = growth(1000 * 24 * KIB, (sample) => {
    for (let i = 0; i < 1000; i++) {
      const decoder = new RespDecoder({ capacity: 1 });
      decoder.feed(wire(headers[i % headers.length]));
      assert(!decoder.advance());
      waiting.push(decoder);
    }
    sample();
  });
  assertEquals(waiting.length, 1000);
  assert(grown / waiting.length <= 24 * KIB, `each grew by ${(grown / waiting.length / KIB).toFixed(1)} KiB`);
});

/** A tolerable stop of the loop, in ms of CPU. */
const SHORT_STOP = 50;

/** CPU in ms: of the most expensive chunk, and of all of them. */
function stops({ opening, chunk }: Flood, size: number): { readonly longest: number; readonly all: number } {
  let longest = 0;
  let all = 0;
  flood(opening, chunk, size, (taken) => {
    longest = Math.max(longest, taken);
    all += taken;
  });
  return { longest, all };
}

function tooLong({ longest, all }: ReturnType<typeof stops>): boolean {
  return longest > Math.max(SHORT_STOP, all / 2);
}

// A share and not only a time, and the best of three, since these machines are shared. Work that restarts with each
// chunk, or grows with earlier ones, is nearly all in the last ones.
for (const one of [...REFUSED, ...PASSING, ...KEPT]) {
  test(`no chunk of ${one.name} stops the loop for long, or costs half of the total`, () => {
    let best = stops(one, 16 * MIB);
    for (let again = 0; again < 2 && tooLong(best); again++) best = stops(one, 16 * MIB);
    assert(!tooLong(best), `${best.longest.toFixed(1)} of ${best.all.toFixed(1)} ms of CPU`);
  }, { timeout: 60_000 });
}
