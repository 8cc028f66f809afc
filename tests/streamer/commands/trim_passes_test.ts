// Owns how often a stream is cut until it is done. Must not need a server.

import { assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { RedisError } from "../../../resp/errors.ts";
import { trimInPasses } from "../../../streamer/commands/trim_passes.ts";
import { test } from "../../support/runner.ts";

/** Passes that remove so many, the length behind the first, and how many were made. */
function passesOf(removed: readonly number[], length: number | Error) {
  let made = 0;
  const pass = () => Promise.resolve(removed[made++] ?? 0);
  const lengthOf = () => typeof length === "number" ? Promise.resolve(length) : Promise.reject(length);
  return { pass, length: lengthOf, made: () => made };
}

test("where nothing goes, nothing else is asked", async () => {
  const passes = passesOf([0, 9], new Error("asked"));
  assertEquals([await trimInPasses({ ...passes, keep: 0 }), passes.made()], [0, 1]);
});

test("it goes on until nothing goes, however few go at once", async () => {
  const passes = passesOf([10, 10, 10, 3, 0, 10], 1_000);
  assertEquals([await trimInPasses({ ...passes, keep: 0 }), passes.made()], [33, 5]);
});

test("what is added meanwhile does not keep it", async () => {
  const passes = passesOf(Array.from({ length: 1_000 }, () => 10), 150);
  assertEquals([await trimInPasses({ ...passes, keep: 100 }), passes.made()], [60, 6]);
});

test("where the length may not be asked for it goes on while very many go at once", async () => {
  const passes = passesOf([10_000, 9_000, 4_000, 3_000], new RedisError("NOPERM no", { command: "XLEN" }));
  assertEquals([await trimInPasses({ ...passes, keep: 0 }), passes.made()], [23_000, 3]);
});

test("any other failure is told", async () => {
  const failure = new Error("gone");
  assertStrictEquals(await assertRejects(() => trimInPasses({ ...passesOf([5], failure), keep: 0 })), failure);
});
