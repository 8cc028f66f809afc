// Finds the public declarations: those that the entry points of the package export, and their public members.

import { resolvePath, type Sources } from "../structure/imports.ts";
import { isNode, lineOf, type Node, treeOf } from "../structure/syntax.ts";

/** A doc comment, without its stars. */
export interface DocComment {
  readonly path: string;
  /** The number of the comment's first line. */
  readonly line: number;
  /** Its lines are those of the file. */
  readonly text: string;
}

/** A public declaration, or a member of one. */
export interface PublicSymbol {
  /** As it is exported; `Class.member` for a member. */
  readonly name: string;
  readonly kind: "class" | "function" | "type" | "constant" | "member";
  readonly path: string;
  readonly line: number;
  /** One for each overload that has one. */
  readonly docs: readonly DocComment[];
}

/** Trees by path, read once. */
export type Trees = ReadonlyMap<string, Node>;

/** The trees of all sources. */
export function treesOf(sources: Sources): Trees {
  return new Map([...sources].map(([path, source]) => [path, treeOf(source)]));
}

/** The public symbols that an entry point exports. */
export function publicSymbols(entry: string, trees: Trees): PublicSymbol[] {
  const symbols: PublicSymbol[] = [];
  for (const { exported, path, local } of exportsOf(entry, trees)) {
    const declarations = declarationsOf(local, path, trees);
    if (declarations.length === 0) throw new Error(`Cannot find ${local}, which ${entry} exports from ${path}`);
    const [{ declaration }] = declarations;
    symbols.push({
      name: exported,
      kind: kindOf(declaration),
      path,
      line: lineOf(declaration),
      docs: declarations.flatMap(({ outer }) => docOf(outer, path)),
    });
    for (const one of declarations) symbols.push(...membersOf(exported, one.declaration, path));
  }
  return symbols;
}

/** The comment that describes the module as a whole. */
export function moduleDoc(path: string, trees: Trees): DocComment | undefined {
  const comments = isNode(trees.get(path)) ? commentsOf(firstStatement(trees.get(path)), path) : [];
  return comments.find(({ text }) => /^\s*@module\b/m.test(text));
}

interface Exported {
  readonly exported: string;
  readonly path: string;
  readonly local: string;
}

/** Where each exported name is declared; re-exports are followed. */
function exportsOf(path: string, trees: Trees): Exported[] {
  const found: Exported[] = [];
  for (const node of statementsOf(trees.get(path))) {
    if (node.type !== "ExportNamedDeclaration") continue;
    if (isNode(node.declaration)) {
      for (const name of namesOf(node.declaration)) found.push({ exported: name, path, local: name });
      continue;
    }
    const source = isNode(node.source) && typeof node.source.value === "string" ? node.source.value : undefined;
    const target = source === undefined ? path : resolvePath(path, source);
    if (target === undefined) continue;
    for (const specifier of Array.isArray(node.specifiers) ? node.specifiers : []) {
      const [exported, local] = [nameOf(specifier.exported), nameOf(specifier.local)];
      const behind = target === path ? undefined : exportsOf(target, trees).find((one) => one.exported === local);
      found.push({ exported, path: behind?.path ?? target, local: behind?.local ?? local });
    }
  }
  return found;
}

interface Declared {
  /** The statement, to which comments are attached. */
  readonly outer: Node;
  readonly declaration: Node;
}

function declarationsOf(name: string, path: string, trees: Trees): Declared[] {
  const found: Declared[] = [];
  for (const outer of statementsOf(trees.get(path))) {
    const declaration = isNode(outer.declaration) ? outer.declaration : outer;
    if (namesOf(declaration).includes(name)) found.push({ outer, declaration });
  }
  return found;
}

function namesOf(declaration: Node): string[] {
  if (declaration.type !== "VariableDeclaration") return isNode(declaration.id) ? [nameOf(declaration.id)] : [];
  const list = Array.isArray(declaration.declarations) ? declaration.declarations : [];
  return list.map((one) => nameOf(one.id));
}

function kindOf({ type }: Node): PublicSymbol["kind"] {
  if (type === "ClassDeclaration") return "class";
  if (type === "FunctionDeclaration" || type === "TSDeclareFunction") return "function";
  return type === "VariableDeclaration" ? "constant" : "type";
}

/** The members that the documentation shows: neither `#private` nor `private`. */
function membersOf(owner: string, declaration: Node, path: string): PublicSymbol[] {
  const holders = [declaration.body, declaration.typeAnnotation].filter(isNode);
  const symbols: PublicSymbol[] = [];
  for (const holder of holders) {
    const list = [holder.body, holder.members].find(Array.isArray) ?? [];
    for (const member of list.filter(isNode)) {
      if (/Private/.test(member.type) || member.accessibility === "private") continue;
      if (!/^(Class|TSDeclareMethod|TS\w+Signature|TSAbstract)/.test(member.type)) continue;
      const docs = docOf(member, path);
      const name = `${owner}.${isNode(member.key) ? nameOf(member.key) : "[call]"}`;
      symbols.push({ name, kind: "member", path, line: lineOf(member), docs });
    }
  }
  return symbols;
}

function nameOf(node: unknown): string {
  if (!isNode(node)) return "";
  if (typeof node.name === "string") return node.name;
  if (typeof node.value === "string") return node.value;
  return isNode(node.property) ? `[${nameOf(node.object)}.${nameOf(node.property)}]` : "";
}

function statementsOf(tree: Node | undefined): Node[] {
  return Array.isArray(tree?.body) ? tree.body.filter(isNode) : [];
}

function firstStatement(tree: Node | undefined): Node | undefined {
  return statementsOf(tree)[0];
}

/** The last doc comment before a node. */
function docOf(node: Node, path: string): DocComment[] {
  return commentsOf(node, path).slice(-1).filter(({ text }) => !/^\s*@module\b/m.test(text));
}

function commentsOf(node: Node | undefined, path: string): DocComment[] {
  const comments = Array.isArray(node?.leadingComments) ? node.leadingComments : [];
  return comments.flatMap((comment) =>
    comment.type === "CommentBlock" && comment.value.startsWith("*")
      ? [{ path, line: comment.loc.start.line, text: withoutStars(comment.value.slice(1)) }]
      : []
  );
}

function withoutStars(comment: string): string {
  return comment.split("\n").map((line) => line.replace(/^\s*\* ?/, "")).join("\n");
}
