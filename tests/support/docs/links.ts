// Checks the links of pages: files and headings that exist, and files that the package holds.

import { readMarkdown } from "../prose/markdown.ts";

/** A link of a page. */
export interface Link {
  readonly line: number;
  readonly target: string;
}

/** What links may lead to. */
export interface Targets {
  /** All files of the project, and its folders with a slash at their end. */
  readonly files: ReadonlySet<string>;
  /** The text of each page. */
  readonly pages: ReadonlyMap<string, string>;
  /** Whether the published package holds a file. */
  readonly isPublished: (path: string) => boolean;
}

const INLINE = /(?<!\\)!?\[(?:[^\][]|\[[^\]]*\])*\]\(\s*<?([^)\s>]+)>?(?:\s+"[^"]*")?\s*\)/g;
const DEFINITION = /^\s*\[[^\]]+\]:\s+<?(\S+?)>?\s*$/;

/** The links of a page, outside of code. */
export function linksOf(text: string): Link[] {
  const links: Link[] = [];
  const code = new Set(readMarkdown(text).fences.flatMap(({ line, code }) => code.split("\n").map((_, i) => line + i)));
  text.split("\n").forEach((content, i) => {
    if (code.has(i + 1)) return;
    const plain = content.replace(/(`+)(?!`).*?(?<!`)\1(?!`)/g, (match) => match.replace(/[[\]()]/g, "."));
    const definition = DEFINITION.exec(plain)?.[1];
    const targets = definition === undefined
      ? Array.from(plain.matchAll(INLINE), ([, target]) => target)
      : [definition];
    for (const target of targets) links.push({ line: i + 1, target });
  });
  return links;
}

/** The anchors of a page's headings, as GitHub and JSR name them. */
export function anchorsOf(text: string): ReadonlySet<string> {
  const anchors = new Set<string>();
  for (const { lines: [{ text: heading }], fragment } of readMarkdown(text).blocks) {
    if (!fragment) continue;
    const plain = heading.replace(/\[([^\]]*)\]\([^)]*\)/g, "$1").replace(/[`*]/g, "");
    const base = plain.trim().toLowerCase().replace(/[^\p{L}\p{N}\p{M}_\- ]/gu, "").replaceAll(" ", "-");
    let anchor = base;
    for (let n = 1; anchors.has(anchor); n++) anchor = `${base}-${n}`;
    anchors.add(anchor);
  }
  return anchors;
}

/** Every link of a page that leads nowhere. */
export function brokenLinks(path: string, targets: Targets): string[] {
  const text = targets.pages.get(path) ?? "";
  return linksOf(text).flatMap(({ line, target }) => {
    const why = whyBroken(path, target, targets);
    return why === undefined ? [] : [`${path}:${line} ${target}: ${why}`];
  });
}

function whyBroken(path: string, target: string, { files, pages, isPublished }: Targets): string | undefined {
  if (/^https:\/\//.test(target)) return undefined;
  if (/^[a-z]+:/i.test(target)) return "only https: and relative links are allowed";
  if (target.startsWith("/")) return "the link must be relative";
  const [file, anchor] = target.split("#");
  const resolved = file === "" ? path : new URL(file, `file:///${path}`).pathname.slice(1);
  if (!files.has(resolved) && !files.has(`${resolved}/`)) return "there is no such file";
  if (isPublished(path) && !isPublished(resolved)) return "the published package does not hold the file";
  if (anchor === undefined) return undefined;
  const page = pages.get(resolved);
  if (page === undefined) return "only a page has headings";
  return anchorsOf(page).has(anchor) ? undefined : "there is no such heading";
}
