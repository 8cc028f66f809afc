// Reads Markdown: its blocks of prose, its fenced code, its links and its headings.

import type { Block, Line } from "./sentences.ts";

/** A fenced block of code. */
export interface Fence {
  /** What is written after the opening fence, such as `ts run`. */
  readonly info: string;
  /** The number of the first line of code. */
  readonly line: number;
  readonly code: string;
}

/** The parts of a page. */
export interface Page {
  readonly blocks: readonly Block[];
  readonly fences: readonly Fence[];
}

const FENCE = /^\s*(`{3,}|~{3,})(.*)$/;
const ITEM = /^\s*(?:[-*+]|\d+[.)])\s+(?=\S)/;
/** Code without a fence. */
const INDENTED = /^(?: {4}|\t)/;
const HEADING = /^#{1,6}\s+/;
/** Lines that define links or hold comments: no prose. */
const SILENT = /^\s*(?:\[[^\]]+\]:\s|<!--.*-->\s*$)/;

/** Reads a page, or a doc comment. `first` is the number of its first line. */
export function readMarkdown(text: string, first = 1): Page {
  const blocks: Block[] = [];
  const fences: Fence[] = [];
  let lines: Line[] = [];
  const close = () => {
    if (lines.length > 0) blocks.push({ lines, fragment: false });
    lines = [];
  };
  /** Whether the last block is an item of a list, whose continuation is indented too. */
  let inList = false;
  const source = text.split("\n");
  for (let i = 0; i < source.length; i++) {
    const line = source[i];
    const number = first + i;
    const open = FENCE.exec(line);
    if (open) {
      close();
      const start = i + 1;
      for (i = start; i < source.length && !closes(source[i], open[1]);) i++;
      fences.push({ info: open[2].trim(), line: first + start, code: source.slice(start, i).join("\n") });
    } else if (line.trim() === "" || SILENT.test(line)) {
      close();
    } else if (line.trimStart().startsWith("|")) {
      close();
      blocks.push(...cellsOf(line, number));
    } else if (HEADING.test(line)) {
      close();
      blocks.push({ lines: [{ number, text: line.replace(HEADING, "") }], fragment: true });
    } else if (lines.length === 0 && !inList && INDENTED.test(line)) {
      continue;
    } else {
      if (ITEM.test(line)) close();
      inList = ITEM.test(line) || inList && (lines.length > 0 || /^\s/.test(line));
      lines.push({ number, text: line.replace(ITEM, "").replace(/^\s*>\s?/, "") });
    }
  }
  close();
  return { blocks, fences };
}

function closes(line: string, fence: string): boolean {
  return line.trim().startsWith(fence) && line.trim().replaceAll(fence[0], "") === "";
}

function cellsOf(line: string, number: number): Block[] {
  const cells = line.trim().replace(/^\||\|$/g, "").split(/(?<!\\)\|/).map((cell) => cell.trim());
  if (cells.every((cell) => /^:?-+:?$/.test(cell))) return [];
  return cells.filter((cell) => cell !== "").map((text) => ({ lines: [{ number, text }], fragment: true }));
}
