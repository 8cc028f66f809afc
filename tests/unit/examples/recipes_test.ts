// Tests the form of the recipes: short, explained, listed, tested, and as a user would write them.

import { assert, assertEquals, assertMatch } from "@std/assert";
import { readdir, readFile } from "node:fs/promises";
import { test } from "../../support/runner.ts";

const root = new URL("../../../", import.meta.url);
const read = (path: string) => readFile(new URL(path, root), "utf8");

const names = (await readdir(new URL("examples/recipes/", root))).sort();
const recipes = new Map(
  await Promise.all(names.map(async (name) => [name, await read(`examples/recipes/${name}`)] as const)),
);

/** The most lines of a recipe without blank lines, comments and imports. */
const LINES = 40;

test("there is a recipe for each of the usual programs", () => {
  assert(names.length >= 12, names.join(" "));
});

test("a recipe has at most 40 lines of code", () => {
  const lengths = [...recipes].map(([name, source]) => {
    const code = source.split("\n").filter((line) => line.trim() !== "" && !/^(\s*(\/\/|\/\*\*)|import )/.test(line));
    return [name, code.length] as const;
  });
  assertEquals(lengths.filter(([, length]) => length > LINES || length < 10), []);
});

test("a recipe begins with what it shows and how to try it", () => {
  for (const [name, source] of recipes) {
    assertMatch(source, /^\/\/ [A-Z][^]*?\n\/\/\n\/\/ {3}\S/, name);
    assert(source.includes(`examples/recipes/${name}`), name);
  }
});

test("a recipe imports the package by its name, packages and built-ins, and no other file", () => {
  for (const [name, source] of recipes) {
    const specifiers = [...source.matchAll(/ from "(.*?)";$/gm)].map(([, specifier]) => specifier);
    assert(specifiers.includes("@sea/streamer-redis"), name);
    assertEquals(specifiers.filter((specifier) => /^[./]|^jsr:|^npm:/.test(specifier)), [], name);
  }
});

test("each recipe is listed in the index of examples and has a test", async () => {
  const index = await read("examples/README.md");
  const folder = "tests/server/recipes/";
  const tests = await Promise.all((await readdir(new URL(folder, root))).map((name) => read(folder + name)));
  for (const name of names) {
    assert(index.includes(`(recipes/${name})`), `${name} is not in examples/README.md`);
    assert(tests.some((source) => source.includes(`new Recipe("${name}"`)), `${name} has no test`);
  }
});
