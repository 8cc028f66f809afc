// Splits text into sentences and counts their words. Markdown markup is removed first.

/** A run of text that ends where its last sentence ends: a paragraph, a list item, a table cell, a heading. */
export interface Block {
  /** Its lines, each with its number in the file. */
  readonly lines: readonly Line[];
  /** Cells and headings may be fragments, which do not count in averages. */
  readonly fragment: boolean;
}

/** A line of a file. */
export interface Line {
  readonly number: number;
  readonly text: string;
}

/** One sentence. */
export interface Sentence {
  /** The number of the line in which it starts. */
  readonly line: number;
  /** Without markup; inline code is kept. */
  readonly text: string;
  /** The same with each inline code replaced by `Code`. */
  readonly plain: string;
  readonly words: number;
  readonly fragment: boolean;
}

/** Stands for inline code. Its capital lets the segmenter see a sentence that starts with code. */
const CODE = "Code";
const WORD = /[\p{L}\p{N}](?:[\p{L}\p{N}_]|['’.,/:@+-](?=[\p{L}\p{N}]))*/gu;
/** Abbreviations whose full stop ends no sentence. */
const ABBREVIATIONS = /\b(?:e\.g|i\.e|etc|vs|cf|approx)\./gi;

const segmenter = new Intl.Segmenter("en", { granularity: "sentence" });

/** The sentences of a block. */
export function sentencesOf(block: Block): Sentence[] {
  const sentences: Sentence[] = [];
  const starts: { readonly at: number; readonly number: number }[] = [];
  let whole = "";
  for (const { number, text } of block.lines) {
    starts.push({ at: whole.length, number });
    whole += `${text.trim()} `;
  }
  const { plain, origins } = withoutMarkup(whole);
  for (const { segment, index } of segmenter.segment(plain.replace(ABBREVIATIONS, hideStops))) {
    const lead = segment.length - segment.trimStart().length;
    const length = segment.trim().length;
    if (length === 0) continue;
    const [from, to] = [index + lead, index + lead + length];
    const text = whole.slice(origins[from], origins[to]).replaceAll("**", "").trim();
    const line = starts.findLast(({ at }) => at <= origins[from])?.number ?? 0;
    const own = plain.slice(from, to);
    sentences.push({ line, text, plain: own, words: own.match(WORD)?.length ?? 0, fragment: block.fragment });
  }
  return sentences;
}

/** Keeps the length, so that places stay valid. */
function hideStops(abbreviation: string): string {
  return abbreviation.replaceAll(".", "_");
}

/** Markup, with what stays of it. The first that fits counts. */
const MARKUP: readonly (readonly [pattern: RegExp, group: number | string])[] = [
  [/(`+)(?!`).+?(?<!`)\1(?!`)/y, CODE],
  [/!\[[^\]]*\]\([^)]*\)/y, ""],
  [/\[([^\]]+)\]\([^)]*\)/y, 1],
  [/\{@link(?:code|plain)?\s+([^}|]*?)\s*(?:\|[^}]*)?\}/y, CODE],
  [/<?https?:\/\/[^\s>)]+>?/y, CODE],
  [/<!--.*?-->/y, ""],
  [/<\/?[a-z][^>]*>/y, ""],
  [/\*\*|__|(?<![\w*])\*(?=\S)|(?<=\S)\*(?![\w*])|(?<!\w)_(?=\w)|(?<=[\w.!?])_(?!\w)/y, ""],
  [/\\(?=[\\`*_{}[\]()#+.!|<>-])/y, ""],
];

/** The text without markup, and for each character of it the place in the text it comes from. */
function withoutMarkup(text: string): { plain: string; origins: number[] } {
  let plain = "";
  const origins: number[] = [];
  const add = (piece: string, from: number, advances: boolean) => {
    for (let i = 0; i < piece.length; i++) origins.push(advances ? from + i : from);
    plain += piece;
  };
  for (let at = 0; at < text.length;) {
    const found = markupAt(text, at);
    if (found === undefined) {
      add(text[at], at, true);
      at++;
      continue;
    }
    // A link's text may hold code in turn.
    if (typeof found.keeps === "string") add(found.keeps, at, false);
    else add(withoutMarkup(found.match[found.keeps]).plain, at, false);
    at += found.match[0].length;
  }
  origins.push(text.length);
  return { plain, origins };
}

function markupAt(text: string, at: number): { match: RegExpExecArray; keeps: number | string } | undefined {
  for (const [pattern, keeps] of MARKUP) {
    pattern.lastIndex = at;
    const match = pattern.exec(text);
    if (match) return { match, keeps };
  }
  return undefined;
}
