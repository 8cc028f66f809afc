// Tests that public symbols have a category, that classes and functions have an example, and that the code of the documentation is
// checked.

import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { execPath } from "node:process";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { brokenNames, type Lack, lacksOf } from "../../support/docs/described.ts";
import {
  docSnippets,
  pageSnippets,
  snippetsOfPage,
  snippetsOfSources,
  unknownFences,
} from "../../support/docs/snippets.ts";
import { moduleDoc, publicSymbols } from "../../support/prose/exports.ts";
import { entryPoints, pages, root } from "../../support/prose/paths.ts";
import { publishedTrees } from "../../support/prose/project.ts";
import { steps } from "../../support/run/ci_steps.ts";
import { treeOf } from "../../support/structure/syntax.ts";
import { runtime, test } from "../../support/runner.ts";

// The sources are the same on every runtime: reading all of them once is enough.
const options = { timeout: 120_000, ignore: runtime !== "deno" };

async function allLacks(): Promise<Lack[]> {
  const trees = await publishedTrees();
  const lacks = (await entryPoints()).flatMap((entry) => lacksOf(publicSymbols(entry, trees)));
  return [...new Map(lacks.map((lack) => [lack.says, lack])).values()];
}

test("every exported symbol has a category, and every exported class and function an example", async () => {
  assertEquals((await allLacks()).map(({ says }) => says), []);
}, options);

test("every link in a doc comment leads to an exported symbol", async () => {
  const trees = await publishedTrees();
  const entries = await entryPoints();
  const symbols = entries.flatMap((entry) => publicSymbols(entry, trees));
  const docs = [...symbols.flatMap(({ docs }) => docs), ...entries.flatMap((entry) => moduleDoc(entry, trees) ?? [])];
  const broken = brokenNames(docs, new Set(symbols.map(({ name }) => name)));
  assertEquals([...new Set(broken)], []);
}, options);

test("a link in a doc comment that leads nowhere is found", () => {
  const doc = {
    path: "a.ts",
    line: 3,
    text: " See {@linkcode A}, {@link A.b|this}, {@link b},\n {@linkcode A.c} and {@linkcode B}.",
  };
  assertEquals(brokenNames([doc], new Set(["A", "A.b"])), [
    "a.ts:4 {@linkcode A.c}: no entry point exports that",
    "a.ts:4 {@linkcode B}: no entry point exports that",
  ]);
});

test("all code of pages and doc comments is in fences that are checked", async () => {
  assertEquals(unknownFences([...await pageSnippets(), ...await docSnippets()]), []);
}, options);

test("public symbols are found behind re-exports, with their members", async () => {
  const trees = await publishedTrees();
  const names = publicSymbols("mod.ts", trees).map(({ name, kind }) => `${kind} ${name}`);
  const expected = ["function connect", "class RedisStreamer", "member RedisStreamer.disconnect", "type Payload"];
  for (const name of [...expected, "function process", "member ConnectOptions.timeout", "member Consumer.next"]) {
    assert(names.includes(name), name);
  }
  assert(!names.some((name) => name.includes("#")));
  assert(publicSymbols("cli.ts", trees).some(({ name }) => name === "main"));
}, options);

function lacksIn(comment: string, declaration = "export class A {}"): string {
  const trees = new Map([["mod.ts", treeOf(`${comment}\n${declaration}`)]]);
  return lacksOf(publicSymbols("mod.ts", trees)).map(({ says }) => says).join("\n");
}

const example = "@example Reads\n * ```ts\n * 1;\n * ```\n";

test("a symbol without a category or an example is found", () => {
  assertEquals(lacksIn(`/**\n * Reads.\n *\n * ${example} * @category Consuming\n */`), "");
  assertEquals(lacksIn("/**\n * Reads.\n *\n * @category Errors\n */", "export interface A {}"), "");
  assertStringIncludes(lacksIn(`/**\n * Reads.\n *\n * ${example} */`), "mod.ts:9 A: a @category is missing");
  assertStringIncludes(lacksIn(`/**\n * ${example} * @category Reading\n */`), "there is no category “Reading”");
  assertStringIncludes(lacksIn("/**\n * @category Errors\n */"), "an @example is missing");
  assertStringIncludes(lacksIn("/**\n * @example Nothing\n * @category Errors\n */"), "an @example is missing");
  assertStringIncludes(lacksIn("/** Reads. */", "export type A = 1;"), "a @category is missing");
  assertStringIncludes(lacksIn("", "export function a() {}"), "an @example is missing");
});

test("snippets are found, with their lines and whether they run", () => {
  const page = "# A\n\n```ts run\n1;\n```\n\n```ts\n2;\n```\n\n```sh\n3\n```\n";
  assertEquals(snippetsOfPage("a.md", page).map(({ line, code, runs }) => ({ line, code, runs })), [
    { line: 4, code: "1;", runs: true },
    { line: 8, code: "2;", runs: false },
  ]);
  const source = "/**\n * A.\n *\n * ```ts\n * 1;\n * ```\n * ```ts no-eval\n * 2;\n * ```\n */\nexport class A {}";
  const found = snippetsOfSources(new Map([["mod.ts", treeOf(source)]]), ["mod.ts"]);
  assertEquals(found.map(({ line, code, runs }) => ({ line, code, runs })), [
    { line: 5, code: "1;", runs: true },
    { line: 8, code: "2;", runs: false },
  ]);
});

test("a fence by which code would escape its check is found", () => {
  for (const info of ["typescript", "js", "tsx", "ts ignore", "ts no-eval", "ts  run", "mts"]) {
    assertEquals(unknownFences(snippetsOfPage("a.md", `\`\`\`${info}\n1;\n\`\`\`\n`)).length, 1, info);
  }
  assertEquals(unknownFences(snippetsOfPage("a.md", "```ts\n```\n```ts run\n```\n```sh\n```\n```json\n```\n")), []);
});

const name = "check the code of pages and doc comments";

test("the code of every page and of all sources is type-checked", async () => {
  const args = (await steps()).find((step) => step.name === name)?.args ?? [];
  const missing = [...await pages(), ...await entryPoints(), "resp", "streamer"].filter((path) => !args.includes(path));
  assertEquals(missing, []);
});

const program = `import { connect } from "@sea/streamer-redis";
import { RespDecoder } from "@sea/streamer-redis/resp";
const streamer = await connect("redis://localhost");
const { uri }: { readonly uri: WRONG } = streamer;
console.log(uri, RespDecoder);`;

const fenced = (info: string, code: string) => `\`\`\`${info}\n${code}\n\`\`\``;

/** Each with one error of types. */
const places: Readonly<Record<string, string>> = {
  "a.md": `# A\n\n${fenced("ts", program)}\n\n${fenced("ts run", program)}\n`,
  "a.ts": `/**\n${fenced("ts", program).replace(/^/gm, " * ")}\n */\nexport class A {}\n`,
};

test("an error of types is found in pages, in their programs and in doc comments", async () => {
  const folder = await mkdtemp(join(root, "tests", "support", ".tmp-"));
  try {
    const paths = Object.keys(places).map((name) => join(folder, name));
    const check = async (type: string) => {
      for (const path of paths) await writeFile(path, places[basename(path)].replaceAll("WRONG", type));
      return await new Promise<string>((resolve) => {
        execFile(execPath, ["check", "--quiet", "--doc-only", ...paths], { cwd: root }, (error, _, stderr) => {
          resolve(error ? stderr : "");
        });
      });
    };
    assertEquals(await check("string"), "");
    assertEquals((await check("number")).match(/TS2322/g)?.length, 3);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}, options);
