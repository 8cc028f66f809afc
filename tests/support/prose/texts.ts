// Finds the texts in published sources that people read at run time: error messages and the help of the command line.

import { isNode, lineOf, type Node, nodesOf, type Place } from "../structure/syntax.ts";
import type { Block } from "./sentences.ts";

/** A text of a source. */
export interface Text {
  /** Whether the text is, or is part of, the message of an error. */
  readonly isError: boolean;
  readonly blocks: readonly Block[];
}

/** Literals of fewer words are names and values, except where an error is created. */
const LEAST_WORDS = 4;
/** Stands for what is computed. Read as inline code. */
const COMPUTED = "`…`";
/** Lua, which the server runs. */
const SCRIPT = /\bredis\.call\b|^\s*local \w+ =|\bARGV\[|\bKEYS\[/m;

/** The texts of a source. */
export function textsOf(tree: Node): Text[] {
  const texts: Text[] = [];
  const folded = new Set<Node>();
  const errors = errorArguments(tree);
  const pending: Place[] = [...nodesOf(tree)];
  for (const { node, parent, key } of pending) {
    if (folded.has(node) || !isProse(parent, key)) continue;
    const text = foldText(node, folded);
    if (text === undefined || SCRIPT.test(text)) continue;
    const isError = errors.has(node);
    const words = text.replaceAll(COMPUTED, " ").match(/\p{L}{2,}/gu)?.length ?? 0;
    if (words >= (isError ? 1 : LEAST_WORDS)) texts.push({ isError, blocks: blocksOf(text, lineOf(node)) });
  }
  return texts.sort((a, b) => a.blocks[0].lines[0].number - b.blocks[0].lines[0].number);
}

/** Everything inside the arguments of `new …Error(…)` and of `invalidOption(…)`. */
function errorArguments(tree: Node): ReadonlySet<Node> {
  const found = new Set<Node>();
  for (const { node } of nodesOf(tree)) {
    if (node.type !== "NewExpression" && node.type !== "CallExpression") continue;
    const name = isNode(node.callee) && typeof node.callee.name === "string" ? node.callee.name : "";
    const creates = node.type === "NewExpression" ? /Error$/.test(name) : name === "invalidOption";
    if (!creates || !Array.isArray(node.arguments)) continue;
    for (const argument of node.arguments.filter(isNode)) {
      if (argument.type === "ObjectExpression" || isCode(argument)) continue;
      for (const inside of nodesOf(argument)) found.add(inside.node);
    }
  }
  return found;
}

/** A code such as `INVALID_OPTION`, or the name of an option. */
function isCode(node: Node): boolean {
  return node.type === "StringLiteral" && typeof node.value === "string" && !/\s/.test(node.value);
}

/** Whether a literal in that place may be read by people: not in an import, a type or a key. */
function isProse(parent: Node | undefined, key: string): boolean {
  if (parent === undefined) return false;
  if (/^(Import|Export)/.test(parent.type) || parent.type === "TSLiteralType") return false;
  return !(key === "key" && /Property|Method/.test(parent.type));
}

/** The text of a literal, a template or a sum of them; their parts are noted as folded. */
function foldText(node: Node, folded: Set<Node>): string | undefined {
  if (node.type === "StringLiteral" && typeof node.value === "string") return node.value;
  if (node.type === "TemplateLiteral" && Array.isArray(node.quasis)) {
    return node.quasis.map(({ value }) => value.cooked ?? value.raw).join(COMPUTED);
  }
  if (node.type !== "BinaryExpression" || node.operator !== "+") return undefined;
  const parts = [node.left, node.right].map((side) => isNode(side) ? foldText(side, folded) : undefined);
  if (parts.every((part) => part === undefined)) return undefined;
  for (const side of [node.left, node.right]) if (isNode(side)) folded.add(side);
  return parts.map((part) => part ?? COMPUTED).join("");
}

/** Columns are blocks of their own; a line that is indented far continues the one before. */
function blocksOf(text: string, first: number): Block[] {
  const lines = text.split("\n");
  const blocks: { lines: { number: number; text: string }[]; fragment: boolean }[] = [];
  let indent = 0;
  lines.forEach((line, i) => {
    const own = line.length - line.trimStart().length;
    const columns = line.trim().split(/\s{2,}/);
    const continues = blocks.length > 0 && i > 0 && own >= indent + 4 && columns.length === 1 && line.trim() !== "";
    if (continues) {
      blocks[blocks.length - 1].lines.push({ number: first + i, text: columns[0] });
      return;
    }
    indent = own;
    for (const column of columns) blocks.push({ lines: [{ number: first + i, text: column }], fragment: true });
  });
  return blocks;
}
