// Tests the library's own sharders: round robin, random, by key, and how evenly they choose.

import { assert, assertEquals, assertNotStrictEquals, assertThrows } from "@std/assert";
import { keyHashSharder, randomSharder, roundRobinSharder, type Sharder, StreamerError } from "../../../mod.ts";
import { freshSeed, Random } from "../../support/resp/drive.ts";
import { test } from "../../support/runner.ts";

const FACTORIES = { roundRobinSharder, randomSharder, keyHashSharder };

/** How often each shard is chosen for these keys. */
function counts(sharder: Sharder, n: number, keys: Iterable<string | undefined>): number[] {
  const counted = Array<number>(n).fill(0);
  for (const key of keys) counted[sharder.shard("orders", "x", key)]++;
  return counted;
}

/**
 * The distance of counts from an even spread, in standard deviations of chance: the chi-square statistic, whose mean is
 * n − 1 and whose variance is twice that.
 */
function unevenness(counted: readonly number[]): number {
  const expected = counted.reduce((sum, count) => sum + count, 0) / counted.length;
  const chiSquare = counted.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
  const freedom = counted.length - 1;
  return (chiSquare - freedom) / Math.sqrt(2 * freedom);
}

test("in turn: 0, 1, … n − 1, and again, for each stream by itself", () => {
  const sharder = roundRobinSharder(3)();
  const shards = Array.from({ length: 7 }, () => sharder.shard("a", "x"));
  assertEquals(shards, [0, 1, 2, 0, 1, 2, 0]);
  assertEquals([sharder.shard("b", "x"), sharder.shard("a", "x"), sharder.shard("b", "x")], [0, 1, 1]);
  assertEquals(Array.from({ length: 3 }, () => roundRobinSharder(1)().shard("a", "x")), [0, 0, 0]);
});

test("in turn: each sharder that a factory makes has its own turns", () => {
  const factory = roundRobinSharder(4);
  const [one, other] = [factory(), factory()];
  assertNotStrictEquals(one, other);
  assertEquals([one.shard("a", "x"), one.shard("a", "x"), other.shard("a", "x")], [0, 1, 0]);
});

test("in turn: the turns of streams in use are remembered, however many others come and go", () => {
  const sharder = roundRobinSharder(1_000);
  const turns = sharder();
  for (let i = 0; i < 20_000; i++) {
    assertEquals(turns.shard("passing" + i, "x"), 0);
    if (i % 4_000 === 0) assertEquals(turns.shard("steady", "x"), i / 4_000);
  }
  const four = sharder();
  for (let round = 0; round < 3; round++) {
    for (let i = 0; i < 4_096; i++) assertEquals(four.shard(`s${i}`, "x"), round);
  }
});

test("in turn: no more than some thousands of streams are remembered", () => {
  const turns = roundRobinSharder(1_000)();
  turns.shard("once", "x");
  for (let i = 0; i < 10_000; i++) turns.shard(`s${i}`, "x");
  assertEquals(turns.shard("once", "x"), 0); // else it would be 1
});

test("at random: every shard gets its part, in no order, and not by the clock", () => {
  for (const n of [1, 2, 8, 1_000, 1_024]) {
    const sharder = randomSharder(n)();
    const chosen = Array.from({ length: n * 100 }, () => sharder.shard("a", "x"));
    const counted = Array<number>(n).fill(0);
    for (const shard of chosen) counted[shard]++;
    assertEquals(counted.length, n);
    // Ten standard deviations: chance does that less than once in a million runs, the clock of the original always.
    if (n > 1) assert(Math.abs(unevenness(counted)) < 10, `${n}: ${unevenness(counted)}`);
    if (n >= 8) {
      const changes = chosen.filter((shard, i) => i > 0 && shard !== chosen[i - 1]).length;
      assert(changes > chosen.length * 0.6, `${changes} changes in ${chosen.length}`);
      assert(new Set(chosen.slice(0, 50)).size > 5);
    }
  }
});

test("by key: the shards of these keys never change", () => {
  // Computed with another implementation: murmur3 of the UTF-8 with the seed 0, modulo n.
  const known = {
    "": 0,
    "test": 0xba6bd213,
    "abc": 0xb3dd93fa,
    "Hello, world!": 0xc0363e43,
    "The quick brown fox jumps over the lazy dog": 0x2e4ff723,
    "привет": 0x3b364b6e,
    "🚀": 0x7f675865,
  };
  for (const n of [1, 2, 3, 7, 8, 100, 1_023, 1_024]) {
    const sharder = keyHashSharder(n)();
    for (const [key, hash] of Object.entries(known)) {
      assertEquals(sharder.shard("a", "x", key), hash % n, `${key} ${n}`);
    }
  }
});

test("by key: neither the stream, nor the payload, nor earlier messages, nor the sharder changes the shard", () => {
  const factory = keyHashSharder(16);
  const one = factory();
  for (let i = 0; i < 100; i++) {
    const key = `customer-${i}`;
    const shard = one.shard("a", "x", key);
    assertEquals(one.shard("b", new Uint8Array(3), key), shard);
    assertEquals(one.shard("a", "y", key), shard);
    assertEquals(factory().shard("a", "x", key), shard);
  }
});

test("by key: without a key the shards take turns, and messages with a key do not change these", () => {
  const sharder = keyHashSharder(3)();
  const shards = Array.from({ length: 5 }, (_, i) => {
    sharder.shard("a", "x", `key${i}`);
    return sharder.shard("a", "x", undefined);
  });
  assertEquals(shards, [0, 1, 2, 0, 1]);
});

const seed = freshSeed();
const random = new Random(seed);
const hex = (digits: number) => Array.from({ length: digits }, () => random.below(16).toString(16)).join("");

/** Keys of real programs, each of them once. */
const KEYS: Readonly<Record<string, (i: number) => string>> = {
  "numbers": (i) => String(i),
  "numbers of eight digits": (i) => String(i).padStart(8, "0"),
  "every 8th number": (i) => String(i * 8),
  "every 1,024th number": (i) => String(i * 1_024),
  "a long prefix": (i) => `tenant/eu-west-1/production/customer:${i}`,
  "a long suffix": (i) => `${i}@customers.example.com`,
  "UUIDs": () => `${hex(8)}-${hex(4)}-4${hex(3)}-a${hex(3)}-${hex(12)}`,
  "days and numbers": (i) => `2026-${1 + i % 12}-${1 + i % 28}/${i}`,
  "two parts": (i) => `${i % 100}:${Math.floor(i / 100)}`,
  "short letters": (i) => i.toString(36),
  "beyond ASCII": (i) => `Straße ${i} in München`,
};

for (const [kind, key] of Object.entries(KEYS)) {
  test(`by key: ${kind} are spread as evenly as chance would (seed ${seed})`, () => {
    for (const n of [2, 3, 8, 10, 16, 64, 1_000, 1_024]) {
      const keys = Array.from({ length: Math.max(20_000, n * 50) }, (_, i) => key(i));
      const uneven = unevenness(counts(keyHashSharder(n)(), n, keys));
      // Above ten it is not chance. A hash such as the sum of the characters gets thousands.
      assert(uneven < 10, `${n} shards: ${uneven}`);
    }
  });
}

test("n is a whole number from 1 to 1,024, and other values are refused with that rule", () => {
  for (const [name, factory] of Object.entries(FACTORIES)) {
    for (const n of [0, -1, 1.5, NaN, Infinity, 1_025, "8", null, undefined, 8n, {}]) {
      // as: a value that a program without types may pass
      const error = assertThrows(() => factory(n as number), StreamerError);
      assertEquals(error.code, "INVALID_OPTION", `${name}(${String(n)})`);
      assert(error.message.includes("1 to 1024"), error.message);
    }
    for (const n of [1, 1_024]) assertEquals(typeof factory(n)().shard("a", "x", "k"), "number");
  }
});
