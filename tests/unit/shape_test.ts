// Tests that files, folders, functions and constructors stay within their limits, and that a breach is found.

import { readdir, readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import { crowdedFolders, excessesOf, identifiersOf, linesBeyond, wordsOf } from "../support/structure/shape.ts";
import { runtime, test } from "../support/runner.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
// The sources are the same on every runtime: reading all of them once is enough.
const options = { timeout: 180_000, ignore: runtime !== "deno" };

async function paths(): Promise<string[]> {
  const found = (await readdir(root)).filter((name) => name.endsWith(".ts"));
  for (const folder of ["resp", "streamer", "tests", "bench", "examples"]) {
    for (const name of await readdir(root + folder, { recursive: true })) {
      const path = `${folder}/${name.replaceAll("\\", "/")}`;
      if (/\.(ts|mjs)$/.test(path) && !path.includes("/.")) found.push(path);
    }
  }
  return found.sort();
}

test("no file has more than 500 lines", async () => {
  const found: string[] = [];
  for (const path of await paths()) {
    const excesses = linesBeyond(path, await readFile(root + path, "utf8"));
    found.push(...excesses.map(({ what, says }) => `${what} ${says}`));
  }
  assertEquals(found, []);
}, options);

/** Functions that may exceed a limit, each with its reason. */
const exceptions: Record<string, string> = {
  "resp/decoding/scanner.ts:scan": "the measured loop of the decoder",
};

const scanner = "passes its loop's state in locals: a variant with fields was slower on Deno for ids and pages";
for (const name of ["scalar", "line", "length", "fail", "pause", "checkItems"]) {
  exceptions[`resp/decoding/scanner.ts:${name}`] = scanner;
}

test("no file, function or constructor is too long, has too many parameters or late closures", async () => {
  const found: string[] = [];
  for (const path of await paths()) {
    for (const { what, says } of excessesOf(path, await readFile(root + path, "utf8"))) {
      if (!(what in exceptions)) found.push(`${what} ${says}`);
    }
  }
  assertEquals(found, []);
}, options);

function definesHeartbeat(source: string): boolean {
  return /\bconst HEARTBEAT\b/.test(source);
}

test("the heartbeat of blocking reads is defined once", async () => {
  const found: string[] = [];
  for (const path of await paths()) {
    if (!path.startsWith("streamer/consumer/")) continue;
    if (definesHeartbeat(await readFile(root + path, "utf8"))) found.push(path);
  }
  assertEquals(found.length, 1, found.join(", "));
}, options);

test("the connection of one node is named only in the modules of connections and of keys' places", async () => {
  assertEquals(await namersOf(["RedisNode"], /^(resp\/connection|streamer\/cluster)\//), []);
}, options);

test("the engine has at most 250 lines", async () => {
  const path = (await paths()).find((path) => /^streamer\/producer\/.*\bengine\.ts$/.test(path)) ?? "";
  assertLessOrEqual((await readFile(root + path, "utf8")).split("\n").length - 1, 250);
}, options);

test("no folder has too many files at one level", async () => {
  assertEquals(crowdedFolders(await paths()), []);
});

test("producers, consumers and managers name no cluster", async () => {
  const found: string[] = [];
  for (const path of await paths()) {
    if (!/^streamer\/(producer|consumer|manager)\//.test(path)) continue;
    for (const { name, line } of identifiersOf(await readFile(root + path, "utf8"))) {
      if (wordsOf(name).includes("cluster")) found.push(`${path}:${line} ${name}`);
    }
  }
  assertEquals(found, []);
}, options);

test("entry states are named by the modules of pending entries only", async () => {
  assertEquals(await namersOf(["ENTRY_STATE", "EntryState"], /^streamer\/consumer\/pending\//), []);
}, options);

/** Published files outside of a place that use one of the names. */
async function namersOf(names: readonly string[], place: RegExp): Promise<string[]> {
  const sources: [string, string][] = [];
  for (const path of await paths()) {
    if (/^(resp|streamer)\//.test(path)) sources.push([path, await readFile(root + path, "utf8")]);
  }
  return namersIn(sources, names, place);
}

function namersIn(sources: readonly (readonly [string, string])[], names: readonly string[], place: RegExp): string[] {
  return sources.filter(([path]) => !place.test(path)).flatMap(([path, source]) =>
    identifiersOf(source).filter(({ name }) => names.includes(name)).map(({ name, line }) => `${path}:${line} ${name}`)
  );
}

const lines = (count: number) => "\n".repeat(count);

const breaches: Readonly<Record<string, readonly [source: string, says: string]>> = {
  "a file of 501 lines": [lines(501), "has 501 lines"],
  "a function of 61 lines": [`function f() {${lines(60)}}`, "has 61 lines"],
  "a method of 61 lines": [`class A { #f() {${lines(60)}} }`, "has 61 lines"],
  "a closure of 61 lines": [`const f = () => {${lines(60)}};`, "has 61 lines"],
  "a constructor of 41 lines": [`class A { constructor() {${lines(40)}} }`, "has 41 lines"],
  "five parameters": [`function f(a, b, c, d, e) {}`, "has 5 parameters"],
  "a closure in an argument that reads a field assigned later": [
    `class A { #a; #b; constructor() { this.#a = new B(() => this.#b.c()); this.#b = 1; } }`,
    "a closure reads #b, assigned later",
  ],
  "a closure that reads the field it is assigned to": [
    `class A { #a; constructor() { this.#a = new B({ f: () => { g(() => this.#a?.c) } }); } }`,
    "a closure reads #a, assigned later",
  ],
  "a closure that reads a public field too early": [
    `class A { a; constructor() { const f = () => this.a; this.a = f; } }`,
    "a closure reads a, assigned later",
  ],
};

for (const [name, [source, says]] of Object.entries(breaches)) {
  test(`a breach is found: ${name}`, () => {
    const found = excessesOf("a.ts", source).map((one) => one.says);
    assert(found.includes(says), found.join("; "));
  });
}

test("values within the limits are not a breach", () => {
  const fine = [
    lines(500),
    `function f(this: A, a, b, c, d) {${lines(59)}}`,
    `class A { constructor() {${lines(39)}} }`,
    `class A { #a; #b = 1; #c; constructor() { this.#c = 1; this.#a = () => this.#b + this.#c + this.#d(); } #d() {} }`,
    `class A { #a; #b; constructor() { this.#a = () => { this.#b = 1; }; this.#b = 2; } }`,
  ];
  assertEquals(fine.flatMap((source) => excessesOf("a.ts", source)), []);
});

test("a crowded folder is found", () => {
  const filled = (folder: string, count: number) => Array.from({ length: count }, (_, i) => `${folder}/${i}.ts`);
  assertEquals(crowdedFolders([...filled("streamer/model", 14), ...filled("tests/unit", 20)]), []);
  assertEquals(crowdedFolders(filled("streamer/model", 15)), ["streamer/model/ has 15 files"]);
  assertEquals(crowdedFolders(filled("tests/unit", 21)), ["tests/unit/ has 21 files"]);
  assertEquals(crowdedFolders([...filled("streamer/commands", 40), ...filled("bench/contenders", 40)]), []);
});

test("a word is found in an identifier whatever its case, and not in texts or paths", () => {
  const source = `import { a } from "../cluster/b.ts"; const isClusterKey = "cluster"; x.cluster; let CLUSTER_SIZE;`;
  const named = identifiersOf(source).filter(({ name }) => wordsOf(name).includes("cluster")).map(({ name }) => name);
  assertEquals(named.sort(), ["CLUSTER_SIZE", "cluster", "isClusterKey"]);
  assertEquals(wordsOf("clustered"), ["clustered"]);
});

test("a definition of the heartbeat is distinguished from its uses", () => {
  const sources = [
    `export const HEARTBEAT = 1;`,
    `const HEARTBEAT: number = 2;`,
    `import { HEARTBEAT } from "./a.ts";`,
  ];
  assertEquals(sources.map(definesHeartbeat), [true, true, false]);
});

test("a name that is used outside of its place is found", () => {
  const source =
    `import { ENTRY_STATE } from "./entry_state.ts";\nif (state === ENTRY_STATE.acked) { /* ENTRY_STATE */ }`;
  const sources = [["streamer/consumer/pending/a.ts", source], ["streamer/consumer/group/b.ts", source]] as const;
  const found = namersIn(sources, ["ENTRY_STATE"], /^streamer\/consumer\/pending\//);
  assertEquals([...new Set(found)].sort(), [
    "streamer/consumer/group/b.ts:1 ENTRY_STATE",
    "streamer/consumer/group/b.ts:2 ENTRY_STATE",
  ]);
});

test("the reading path of ARCHITECTURE.md fits an evening: files that exist, 4,000 lines at most", async () => {
  const page = await readFile(`${root}ARCHITECTURE.md`, "utf8");
  const section = page.split("\n## ").find((part) => part.startsWith("A reading path")) ?? "";
  const files = Array.from(section.matchAll(/^\| `([^`]+\.ts)`/gm), ([, path]) => path);
  assert(files.length > 10, `${files.length} files`);
  let lines = 0;
  for (const path of files) lines += (await readFile(root + path, "utf8")).split("\n").length - 1;
  assertLessOrEqual(lines, 4_000);
}, options);
