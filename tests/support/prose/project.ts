// Reads the project's prose: pages, doc comments of public symbols, error messages and the help of the command line.

import { readdir, readFile } from "node:fs/promises";
import { treeOf } from "../structure/syntax.ts";
import { type DocComment, moduleDoc, publicSymbols, type Trees } from "./exports.ts";
import { readMarkdown } from "./markdown.ts";
import { entryPoints, pages, root } from "./paths.ts";
import type { Prose } from "./rules.ts";
import { sentencesOf } from "./sentences.ts";
import { textsOf } from "./texts.ts";

/** The trees of all published sources. */
export async function publishedTrees(): Promise<Trees> {
  const paths = (await readdir(root)).filter((name) => name.endsWith(".ts"));
  for (const folder of ["resp", "streamer"]) {
    const names = await readdir(root + folder, { recursive: true });
    paths.push(
      ...names.filter((name) => name.endsWith(".ts")).map((name) => `${folder}/${name.replaceAll("\\", "/")}`),
    );
  }
  const sources = await Promise.all(paths.sort().map((path) => readFile(root + path, "utf8")));
  return new Map(paths.map((path, i) => [path, treeOf(sources[i])]));
}

/** All prose of the project, by file. */
export async function allProse(): Promise<Prose[]> {
  const trees = await publishedTrees();
  const found: Prose[] = [];
  for (const path of await pages()) found.push(proseOfPage(path, await readFile(root + path, "utf8")));
  return [...found, ...proseOfSources(trees, await entryPoints())];
}

/** The prose of a page. Titles of a changelog's releases are no prose, and do not hurt. */
export function proseOfPage(path: string, text: string): Prose {
  return { path, sentences: readMarkdown(text).blocks.flatMap(sentencesOf) };
}

/** The prose of sources: doc comments of what the entry points export, and texts. */
export function proseOfSources(trees: Trees, entries: readonly string[]): Prose[] {
  const comments = new Map<string, DocComment>();
  for (const entry of entries) {
    const module = moduleDoc(entry, trees);
    const symbols = publicSymbols(entry, trees);
    for (const doc of [...(module ? [module] : []), ...symbols.flatMap(({ docs }) => docs)]) {
      comments.set(`${doc.path}:${doc.line}`, doc);
    }
  }
  const found: Prose[] = [];
  for (const [path, tree] of trees) {
    const docs = [...comments.values()].filter((doc) => doc.path === path);
    const sentences = [
      ...docs.flatMap((doc) => readMarkdown(proseOfDoc(doc.text), doc.line).blocks.flatMap(sentencesOf)),
      ...textsOf(tree).flatMap(({ blocks, isError }) =>
        blocks.flatMap(sentencesOf).map((sentence) => ({ ...sentence, isError }))
      ),
    ];
    if (sentences.length > 0) found.push({ path, sentences });
  }
  return found;
}

/** A doc comment without examples and without the tags, which start a paragraph of their own. Lines keep their numbers. */
function proseOfDoc(text: string): string {
  let silent = false;
  return text.split("\n").map((line) => {
    const tag = /^\s*@(\w+)/.exec(line)?.[1];
    if (tag !== undefined) silent = /^(?:example|category|default|module)$/.test(tag);
    if (tag === undefined) return silent ? "" : line;
    if (tag === "example") return line.replace(/^\s*@example\s*/, "# ");
    if (silent) return "";
    return line.replace(/^\s*@\w+\s*(?:\{[^}]*\}\s*)?/, tag === "param" || tag === "typeParam" ? "- Code: " : "- ");
  }).join("\n").replaceAll(/\{@default[^}]*\}|@default \{[^}]*\}/g, "");
}
