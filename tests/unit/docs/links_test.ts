// Tests that links lead somewhere, in the checkout and in the published package, and that a broken link is found.

import { readdir, readFile } from "node:fs/promises";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { anchorsOf, brokenLinks, linksOf, type Targets } from "../../support/docs/links.ts";
import { absoluteLinks } from "../../support/run/published_links.ts";
import { pages, root } from "../../support/prose/paths.ts";
import { test } from "../../support/runner.ts";

async function projectFiles(): Promise<Set<string>> {
  const files = new Set<string>();
  for (const { name, parentPath } of await readdir(root, { withFileTypes: true })) {
    if (!/^(?:\.git|node_modules|\.tmp.*)$/.test(name)) files.add(`${parentPath}/${name}`.slice(root.length));
  }
  for (const folder of ["docs", "examples", "tests", "bench", "resp", "streamer"]) {
    files.add(`${folder}/`);
    for (const one of await readdir(root + folder, { recursive: true, withFileTypes: true })) {
      const path = `${one.parentPath}/${one.name}`.slice(root.length).replaceAll("\\", "/");
      files.add(one.isDirectory() ? `${path}/` : path);
    }
  }
  return new Set([...files].map((path) => path.replace(/^\/+/, "")));
}

/** The globs of `publish.include` as one pattern. */
function publishedBy(include: readonly string[]): RegExp {
  const patterns = include.map((glob) =>
    glob.replace(/[.+^${}()|[\]\\]/g, "\\$&").replaceAll("**/", "\0").replaceAll("**", "\x01").replaceAll("*", "[^/]*")
      .replaceAll("\0", "(?:.*/)?").replaceAll("\x01", ".*")
  );
  return new RegExp(`^(?:${patterns.join("|")})$`);
}

async function targets(): Promise<Targets> {
  const { publish } = JSON.parse(await readFile(`${root}deno.json`, "utf8"));
  const pattern = publishedBy(publish.include);
  const files = await projectFiles();
  const texts = new Map<string, string>();
  for (const path of await pages()) texts.set(path, await readFile(root + path, "utf8"));
  const isPublished = (path: string) =>
    pattern.test(path) ||
    [...files].some((file) => file.startsWith(`${path.replace(/\/$/, "")}/`) && pattern.test(file));
  return { files, pages: texts, isPublished };
}

test("every link of every page leads to a file and a heading that exist, and that the package holds", async () => {
  const known = await targets();
  assertEquals([...known.pages.keys()].flatMap((path) => brokenLinks(path, known)), []);
});

test("the README and every page of the documentation are published", async () => {
  const { pages, isPublished } = await targets();
  assertEquals([...pages.keys()].filter((path) => !isPublished(path)), []);
});

test("the README leads to every page of the documentation", async () => {
  const linked = new Set(linksOf(await readFile(`${root}README.md`, "utf8")).map(({ target }) => target));
  assertEquals((await pages()).filter((path) => path.startsWith("docs/") && !linked.has(path)), []);
});

const known: Targets = {
  files: new Set(["README.md", "docs/", "docs/a.md", "docs/b.md", "tests/", "tests/x.ts"]),
  pages: new Map([["docs/b.md", "# One two\n\n## `three`, four: [five](x.md)\n\n## One two\n\n```sh\n# six\n```\n"]]),
  isPublished: (path) => !path.startsWith("tests/"),
};

const broken: Readonly<Record<string, readonly [page: string, says: string]>> = {
  "a file that is missing": ["See [a](c.md).", "docs/a.md:1 c.md: there is no such file"],
  "an image that is missing": ["![a](a.svg)", "a.svg: there is no such file"],
  "a definition": ["See [a][b].\n\n[b]: c.md\n", "docs/a.md:3 c.md: there is no such file"],
  "a heading that is missing": ["See [a](b.md#two).", "b.md#two: there is no such heading"],
  "a heading in code": ["See [a](b.md#six).", "b.md#six: there is no such heading"],
  "a heading of the page itself": ["# A\n\n[b](#b)", "#b: there is no such heading"],
  "a path from the root": ["[a](/docs/b.md)", "the link must be relative"],
  "another protocol": ["[a](http://example.com)", "only https:"],
  "a file that is not published": ["[a](../tests/x.ts)", "the published package does not hold the file"],
  "the second link of a line": ["[a](b.md) and [`c`](c.md)", "c.md: there is no such file"],
};

for (const [name, [page, says]] of Object.entries(broken)) {
  test(`a broken link is found: ${name}`, () => {
    const pages = new Map([...known.pages, ["docs/a.md", page]]);
    assertStringIncludes(brokenLinks("docs/a.md", { ...known, pages }).join("\n"), says);
  });
}

test("links that lead somewhere, and links in code, are no breach", () => {
  const page = [
    "# Here it is",
    "[a](b.md) [b](./b.md#one-two) [c](b.md#one-two-1) [d](b.md#three-four-five) [e](../README.md) [f](#here-it-is)",
    "[g](../docs) [h](https://example.com/x) `[i](missing.md)`",
    "```ts\nconst a = [b](missing.md);\n```",
  ].join("\n\n");
  const pages = new Map([...known.pages, ["docs/a.md", page]]);
  assertEquals(brokenLinks("docs/a.md", { ...known, pages }), []);
  assertEquals(linksOf(page).length, 8);
});

test("anchors are those of GitHub", () => {
  const page = "# What's new?\n\n## `process`: read, handle & write\n\n## A – B\n\n## A – B\n";
  assertEquals([...anchorsOf(page)], ["whats-new", "process-read-handle--write", "a--b", "a--b-1"]);
});

test("globs of deno.json are read", () => {
  const pattern = publishedBy(["mod.ts", "resp/**/*.ts", "LICENSE*", "docs/**"]);
  for (const path of ["mod.ts", "resp/mod.ts", "resp/a/b.ts", "LICENSE-MIT", "docs/a.svg"]) {
    assert(pattern.test(path), path);
  }
  for (const path of ["xmod.ts", "mod.tsx", "resp/a.md", "a/LICENSE", "docs"]) assert(!pattern.test(path), path);
});

test("the README is published with absolute links to files of its own version", async () => {
  const { name, version } = JSON.parse(await readFile(`${root}deno.json`, "utf8"));
  const readme = await readFile(`${root}README.md`, "utf8");
  const before = linksOf(readme).filter(({ target }) => !target.startsWith("https:") && !target.startsWith("#"));
  const after = linksOf(absoluteLinks(readme, name, version)).map(({ target }) => target);
  assert(before.length > 3);
  for (const { target } of before) assert(after.includes(`https://jsr.io/${name}/${version}/${target}`), target);
  assertEquals(after.filter((target) => !/^(?:https:|#)/.test(target)), []);
});

test("links are made absolute, and code is left as it is", () => {
  const page = [
    "[a](docs/a.md#b) ![c](c.svg) [`d`](e.md) [f](https://example.com) [g](#g) `[h](h.md)`",
    "[i]: j.md",
    "```md\n[k](k.md)\n```",
  ].join("\n\n");
  const base = "https://jsr.io/@a/b/1.2.3";
  assertEquals(
    absoluteLinks(page, "@a/b", "1.2.3"),
    [
      `[a](${base}/docs/a.md#b) ![c](${base}/c.svg) [\`d\`](${base}/e.md) [f](https://example.com) [g](#g) \`[h](h.md)\``,
      `[i]: ${base}/j.md`,
      "```md\n[k](k.md)\n```",
    ].join("\n\n"),
  );
});
