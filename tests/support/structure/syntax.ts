// Reads TypeScript sources as trees, for all judgements of structure.

import { parse } from "@babel/parser";

/** A node of the syntax tree. */
export interface Node {
  readonly type: string;
  readonly start?: number | null;
  readonly end?: number | null;
  readonly loc?: { readonly start: { readonly line: number }; readonly end: { readonly line: number } } | null;
  readonly [key: string]: unknown;
}

/** A node with its place in the tree. */
export interface Place {
  readonly node: Node;
  readonly parent: Node | undefined;
  /** The parent's property that holds the node. */
  readonly key: string;
}

/** The tree of a source. */
export function treeOf(source: string): Node {
  const program: unknown = parse(source, { sourceType: "module", plugins: ["typescript"] }).program;
  if (!isNode(program)) throw new Error("Cannot read the source");
  return program;
}

/** Every node of a tree, each before its children. `enter` decides whether a node's children are visited. */
export function* nodesOf(tree: Node, enter: (node: Node) => boolean = () => true): Generator<Place> {
  const pending: Place[] = [{ node: tree, parent: undefined, key: "" }];
  for (let next = pending.pop(); next; next = pending.pop()) {
    yield next;
    const { node } = next;
    if (node !== tree && !enter(node)) continue;
    for (const [key, value] of Object.entries(node)) {
      for (const one of Array.isArray(value) ? value : [value]) {
        if (isNode(one)) pending.push({ node: one, parent: node, key });
      }
    }
  }
}

export function isNode(value: unknown): value is Node {
  return typeof value === "object" && value !== null && "type" in value && typeof value.type === "string";
}

export function lineOf(node: Node): number {
  return node.loc?.start.line ?? 0;
}
