// Tests how many commands trim a stream to its end.

import { assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { RedisError } from "../../../resp/errors.ts";
import { trimInPasses } from "../../../streamer/commands/trim_passes.ts";
import { test } from "../../support/runner.ts";

/** Passes that remove so many, the length after the first, and the number of commands. */
function passesOf(removed: readonly number[], length: number | Error) {
  let made = 0;
  const pass = () => Promise.resolve(removed[made++] ?? 0);
  const lengthOf = () => typeof length === "number" ? Promise.resolve(length) : Promise.reject(length);
  return { pass, length: lengthOf, made: () => made };
}

test("if nothing is removed, there is no other command", async () => {
  const passes = passesOf([0, 9], new Error("asked"));
  assertEquals([await trimInPasses({ ...passes, keep: 0 }), passes.made()], [0, 1]);
});

test("it continues until nothing is removed, however few are removed at once", async () => {
  const passes = passesOf([10, 10, 10, 3, 0, 10], 1_000);
  assertEquals([await trimInPasses({ ...passes, keep: 0 }), passes.made()], [33, 5]);
});

test("entries added meanwhile do not prolong it", async () => {
  const passes = passesOf(Array.from({ length: 1_000 }, () => 10), 150);
  assertEquals([await trimInPasses({ ...passes, keep: 100 }), passes.made()], [60, 6]);
});

test("if the length must not be read it continues while very many are removed at once", async () => {
  const passes = passesOf([10_000, 9_000, 4_000, 3_000], new RedisError("NOPERM no", { command: "XLEN" }));
  assertEquals([await trimInPasses({ ...passes, keep: 0 }), passes.made()], [23_000, 3]);
});

test("any other failure is thrown", async () => {
  const failure = new Error("gone");
  assertStrictEquals(await assertRejects(() => trimInPasses({ ...passesOf([5], failure), keep: 0 })), failure);
});
