// Finds the code of pages and doc comments, and says which of it is a program to run.

import { readFile } from "node:fs/promises";
import { moduleDoc, publicSymbols, type Trees } from "../prose/exports.ts";
import { readMarkdown } from "../prose/markdown.ts";
import { entryPoints, pages, root } from "../prose/paths.ts";
import { publishedTrees } from "../prose/project.ts";

/** A fenced block of TypeScript. */
export interface Snippet {
  readonly path: string;
  /** The number of the first line of code. */
  readonly line: number;
  readonly code: string;
  /** What follows the opening fence. */
  readonly info: string;
  /** Whether the block is a complete program that ends by itself, or after SIGTERM, against an empty server. */
  readonly runs: boolean;
}

/** The fences that `deno check --doc-only` would not read, although they hold code of this package. */
const HIDDEN = /^(?:typescript|javascript|[cm]?js|[cm]ts|[jt]sx|deno|TS)\b/;
/** Pages mark programs by `ts run`. SIGTERM is sent to those that run until then. */
const PAGE_FENCES = new Set(["ts", "ts run", "ts run SIGTERM"]);
/** In doc comments a reader expects examples to run: `no-eval` marks the others. */
const DOC_FENCES = new Set(["ts", "ts no-eval"]);

/** The code of a page. */
export function snippetsOfPage(path: string, text: string): Snippet[] {
  return readMarkdown(text).fences.filter(isCode).map((fence) => ({
    path,
    ...fence,
    runs: fence.info.startsWith("ts run"),
  }));
}

/** The code in the doc comments of what the entry points export. */
export function snippetsOfSources(trees: Trees, entries: readonly string[]): Snippet[] {
  const found = new Map<string, Snippet>();
  for (const entry of entries) {
    const module = moduleDoc(entry, trees);
    const docs = [...(module ? [module] : []), ...publicSymbols(entry, trees).flatMap(({ docs }) => docs)];
    for (const { path, line: first, text } of docs) {
      for (const fence of readMarkdown(text, first).fences.filter(isCode)) {
        found.set(`${path}:${fence.line}`, { path, ...fence, runs: fence.info === "ts" });
      }
    }
  }
  return [...found.values()];
}

function isCode({ info }: { readonly info: string }): boolean {
  return /^ts\b/.test(info) || HIDDEN.test(info);
}

/** The fences by which code would escape its check. */
export function unknownFences(snippets: readonly Snippet[]): string[] {
  return snippets.flatMap(({ path, line, info }) => {
    const known = path.endsWith(".ts") ? DOC_FENCES : PAGE_FENCES;
    return known.has(info)
      ? []
      : [`${path}:${line} the fence says “${info}”: “${[...known].join("” or “")}” is allowed`];
  });
}

/** The code of all pages of the documentation. */
export async function pageSnippets(): Promise<Snippet[]> {
  const found: Snippet[] = [];
  for (const path of await pages()) found.push(...snippetsOfPage(path, await readFile(root + path, "utf8")));
  return found;
}

/** The code of all public doc comments. */
export async function docSnippets(): Promise<Snippet[]> {
  return snippetsOfSources(await publishedTrees(), await entryPoints());
}
