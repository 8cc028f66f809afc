// Tests that the prose of the project follows its rules, and that a breach is found.

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { treeOf } from "../../support/structure/syntax.ts";
import { allProse, proseOfPage, proseOfSources } from "../../support/prose/project.ts";
import { type Breach, judgeProse, type Prose } from "../../support/prose/rules.ts";
import { runtime, test } from "../../support/runner.ts";

// The sources are the same on every runtime: reading all of them once is enough.
const options = { timeout: 120_000, ignore: runtime !== "deno" };

const readAll = once(allProse);

function once<T>(read: () => Promise<T>): () => Promise<T> {
  let result: Promise<T> | undefined;
  return () => result ??= read();
}

function shown({ path, line, sentence, rule }: Breach): string {
  return `${path}:${line}  ${rule}\n    ${sentence}`;
}

test("pages, doc comments, error messages and help texts follow the rules of prose", async () => {
  const breaches = (await readAll()).flatMap(judgeProse);
  assertEquals(breaches.length, 0, `\n${breaches.map(shown).join("\n")}`);
}, options);

test("every kind of text is read", async () => {
  const prose = new Map((await readAll()).map((one) => [one.path, one.sentences]));
  for (
    const path of ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "docs/benchmarks.md", "mod.ts"]
  ) {
    assert((prose.get(path)?.length ?? 0) > 0, path);
  }
  const has = (path: string, text: RegExp) => prose.get(path)?.some(({ plain }) => text.test(plain)) ?? false;
  assert(has("streamer/consumer/consumer.ts", /\bconsumer\b/), "a doc comment of a type");
  assert(has("streamer/manager/manager.ts", /\bentries\b/), "a doc comment of a class's method");
  assert(has("streamer/cli/verbs/trim.ts", /\bentries of streams\b/), "a command's help");
  assert(has("streamer/streamer.ts", /\bstreamer\b/), "an error's message");
  assert((await readAll()).flatMap(({ sentences }) => sentences).length > 1_500);
}, options);

const words = (count: number) => `Word${" word".repeat(count - 1)}.`;

const breaches: Readonly<Record<string, readonly [page: string, rule: string]>> = {
  "a sentence of 46 words": [words(46), "46 words: at most 45"],
  "a sentence of 46 words over several lines": [words(46).replaceAll("word word word", "word\nword word"), "46 words"],
  "a sentence of 46 words in a list": [`- ${words(46)}`, "46 words"],
  "a sentence of 46 words in an item's second paragraph": [`- One.\n\n    ${words(46)}`, "46 words"],
  "a sentence of 46 words in a table's cell": [`| a | b |\n| - | - |\n| x | ${words(46)} |`, "46 words"],
  "a second colon": ["One thing: it has two: this is the second.", "two colons"],
  "a second semicolon": ["It reads; it writes; it ends.", "two semicolons"],
  "a page of long sentences": [`${words(31)} `.repeat(2) + "Here are four words. ".repeat(9), "2 of 11 sentences"],
  "a page of middling sentences": [`${words(16)} `.repeat(10), "a mean of 16.0 words"],
  "fragments that would lower the mean": [
    `${words(16)} `.repeat(10) + "\n\n- one\n".repeat(50),
    "a mean of 16.0 words",
  ],
  "a replaced word": ["The message goes to the graveyard.", "“graveyard”"],
  "a phrase over two lines": ["The stream was made\nanew.", "“anew”"],
  "a phrase in emphasis": ["It is **left** lying there.", "“left lying”"],
  "a phrase in a link's text": ["See [what is held](held.md).", "“what is”"],
  "a phrase in a heading": ["## What is promised", "“What is”"],
  "order as space": ["It reads the messages behind the position.", "“behind”"],
  "impersonal telling": ["The failure is told by an event.", "“told”"],
  "life": ["It resumes where its earlier life ended.", "“earlier life”"],
  "negation by a noun": ["A value that is no UTF-8 is refused.", "“that is no UTF”"],
};

for (const [name, [page, rule]] of Object.entries(breaches)) {
  test(`a breach is found in a page: ${name}`, () => {
    const found = judgeProse(proseOfPage("a.md", page)).map((one) => one.rule);
    assertStringIncludes(found.join("\n"), rule);
  });
}

test("plain sentences, code, links and questions are no breach", () => {
  const fine = [
    words(45),
    "Use `what is held` and `behind`.",
    "```ts\nconst behind = `what is told: a: b; c; d`; // anew\n```",
    "A program:\n\n    it is told; it goes on; it stands there: a: b\n\nIt ends.",
    "[Guarantees](behind/what-is-told.md) and <https://example.com/anew/told>.",
    "## What is a shard?",
    "A proxy in front of Redis, or a server behind a load balancer, falls behind.",
    "It is no longer connected. A dead letter is kept. It starts at 12:30: not later.",
    "Set the option `a`: it is short. `b` is long. `c` is neither; `d` is both.",
  ];
  assertEquals(judgeProse(proseOfPage("a.md", fine.join("\n\n"))), []);
});

test("a breach names the line in which its sentence starts, and the sentence", () => {
  const [{ line, sentence }] = judgeProse(
    proseOfPage("a.md", "# Title\n\nOne. Two is\nthree. Four is `five`\nand told to six.\n"),
  );
  assertEquals([line, sentence], [4, "Four is `five` and told to six."]);
});

/** Breaches of sources, of which `mod.ts` is the entry point. */
function judgeSources(sources: Readonly<Record<string, string>>): string[] {
  const trees = new Map(Object.entries(sources).map(([path, source]) => [path, treeOf(source)]));
  return proseOfSources(trees, ["mod.ts"]).flatMap((prose: Prose) => judgeProse(prose)).map(({ path, line, rule }) =>
    `${path}:${line} ${rule}`
  );
}

const entry = `export { A, type B, c as d } from "./a.ts";`;
const sourceBreaches: Readonly<Record<string, readonly [source: string, says: string]>> = {
  "a class": ["\n/** Is made anew. */\nexport class A {}", "a.ts:2 “anew”"],
  "a method": ["export class A {\n  /**\n   * Reads.\n   *\n   * Is told.\n   */\n  b() {}\n}", "a.ts:5 “told”"],
  "a getter": ["export class A {\n  /** Is told. */\n  get b() { return 1; }\n}", "a.ts:2 “told”"],
  "an interface's field": ["export class A {}\nexport interface B {\n  /** Is told. */\n  b: 1;\n}", "a.ts:3 “told”"],
  "an object type's field": ["export class A {}\nexport type B = {\n  /** Is told. */\n  b: 1 };", "a.ts:3 “told”"],
  "a function under another name": ["export class A {}\n/** Is told. */\nexport function c() {}", "a.ts:2 “told”"],
  "an overload": ["/** Is told. */\nexport function c(): void;\nexport function c() {}", "a.ts:1 “told”"],
  "a constant": ["/** Is told. */\nexport const c = 1;", "a.ts:1 “told”"],
  "a tag's description": [
    "/**\n * Reads.\n *\n * @throws {Error} As is told.\n */\nexport class A {}",
    "a.ts:4 “told”",
  ],
  "an example's title": [
    "/**\n * @example As is told\n * ```ts\n * 1;\n * ```\n */\nexport class A {}",
    "a.ts:2 “told”",
  ],
  "an error's message": [`throw new StreamerError("TIMEOUT", "It was told");`, "a.ts:1 “told”"],
  "an error's template": ["throw new FileError(`It ${b} told`);", "a.ts:1 “told”"],
  "an error's sum": [`throw new UsageError("It was " +\n  "told");`, "a.ts:1 “told”"],
  "a choice of messages": [`throw new CommandError(a ? "It was" : "told");`, "a.ts:1 “told”"],
  "an invalid option": [`throw invalidOption("a", a, "as told");`, "a.ts:1 “told”"],
  "the old form of errors": ["new StreamerError(`Cannot: current value is ${a}`);", "“current value is”"],
  "a help text": [`const help = { about: "This is what it told." };`, "a.ts:1 “told”"],
};

for (const [name, [source, says]] of Object.entries(sourceBreaches)) {
  test(`a breach is found in a source: ${name}`, () => {
    const complete = ["class A", "interface B", "type B", "c("].map((part) => source.includes(part));
    const rest = [
      complete[0] ? "" : "export class A {}",
      complete[1] || complete[2] ? "" : "export interface B {}",
      complete[3] || source.includes("const c") ? "" : "export function c() {}",
    ];
    assertStringIncludes(judgeSources({ "mod.ts": entry, "a.ts": `${source}\n${rest.join("\n")}` }).join("\n"), says);
  });
}

test("private members, inner comments, code, keys, paths and scripts are not judged", () => {
  const source = `
    // Is told.
    import {} from "./told/what is told by the.ts";
    /**
     * Reads.
     *
     * @default {told}
     * @example Reads
     * \`\`\`ts
     * told; // is told
     * \`\`\`
     * @category Told
     */
    export class A {
      /** Is told. */
      #b = 1;
      /** Is told. */
      private e = "told";
    }
    /** Is told. */
    export interface Hidden {}
    export interface B { "it is told to b"?: 1; c: "it is told to c"; }
    export function c() { return { "it is told to d": \`redis.call("XADD", told) it is told\` }; }
  `;
  assertEquals(judgeSources({ "mod.ts": entry, "a.ts": source }), []);
});
