// What the demo knows about the terminals behind stdout and stderr: their width, and whether they show colors.

import process from "node:process";

/** One of the process's output streams. */
export type Stream = typeof process.stdout | typeof process.stderr;

/** A style of text. */
export type Style = "bold" | "dim" | "green" | "red" | "yellow";

/** Adds a style to text, or returns the text unchanged. */
export type Paint = (text: string, style: Style) => string;

const CODES: Readonly<Record<Style, number>> = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33 };

/** The width of a terminal in characters. A pipe or file has no width: text is not wrapped. */
export function columnsOf(stream: Stream): number {
  return stream.isTTY ? stream.columns || 80 : Infinity;
}

/** The styles of a stream: none if it is not a terminal, or if `NO_COLOR` is set. */
export function paintFor(stream: Stream): Paint {
  const colors = stream.isTTY && !process.env.NO_COLOR;
  return (text, style) => colors ? `\x1b[${CODES[style]}m${text}\x1b[0m` : text;
}

/** Breaks a sentence at spaces into lines of at most `columns` characters. Lines after the first are indented by two. */
export function wrap(sentence: string, columns: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of sentence.split(" ")) {
    if (line.trim() !== "" && line.length + 1 + word.length > columns) {
      lines.push(line);
      line = `  ${word}`;
    } else {
      line = line === "" ? word : `${line} ${word}`;
    }
  }
  return [...lines, line];
}
