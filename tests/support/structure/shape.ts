// Judges the shape of a source: lengths, parameters, constructors with late closures, the names it uses. Pure.

import { isNode, lineOf, type Node, nodesOf, treeOf } from "./syntax.ts";

/** The limits. */
export const LIMITS = { lines: 500, functionLines: 60, constructorLines: 40, parameters: 4 } as const;

/** Something that is beyond a limit. */
export interface Excess {
  /** The file, and for a function `file:name`. */
  readonly what: string;
  readonly says: string;
}

/** The excesses of a file. */
export function excessesOf(path: string, source: string): Excess[] {
  const found = linesBeyond(path, source);
  for (const { node, parent } of nodesOf(treeOf(source))) {
    if (!isFunction(node) || !isNode(node.body)) continue;
    const name = nameOf(node, parent);
    const what = `${path}:${name}`;
    const count = linesOf(node);
    const limit = name === "constructor" ? LIMITS.constructorLines : LIMITS.functionLines;
    if (count > limit) found.push({ what, says: `has ${count} lines` });
    const parameters = parametersOf(node);
    if (parameters > LIMITS.parameters) found.push({ what, says: `has ${parameters} parameters` });
    if (name === "constructor") {
      for (const field of lateReadsOf(node, parent)) {
        found.push({ what, says: `a closure reads ${field}, assigned later` });
      }
    }
  }
  return found;
}

/** The file itself, if it is too long. */
export function linesBeyond(path: string, source: string): Excess[] {
  const lines = source.split("\n").length - 1;
  return lines > LIMITS.lines ? [{ what: path, says: `has ${lines} lines` }] : [];
}

function isFunction({ type }: Node): boolean {
  return /Function|^(Class|ClassPrivate|Object)Method$/.test(type);
}

function linesOf({ loc }: Node): number {
  return loc ? loc.end.line - loc.start.line + 1 : 0;
}

function parametersOf({ params }: Node): number {
  return Array.isArray(params) ? params.filter((one) => one.type !== "Identifier" || one.name !== "this").length : 0;
}

function nameOf(node: Node, parent: Node | undefined): string {
  for (const name of [node.id, node.key, parent?.id, parent?.key]) {
    if (!isNode(name)) continue;
    if (typeof name.name === "string") return name.name;
    if (isNode(name.id) && typeof name.id.name === "string") return name.id.name;
  }
  return "";
}

/** The fields that a closure of a constructor reads although the constructor assigns them after the closure is created. */
function lateReadsOf(constructor: Node, body: Node | undefined): string[] {
  const assigned = new Map<string, number>(); // where each field has its first value
  const closures: Node[] = [];
  for (const { node } of nodesOf(constructor, (node) => !isFunction(node) && !node.type.startsWith("Class"))) {
    if (node.type === "ArrowFunctionExpression") closures.push(node);
    const field = node.type === "AssignmentExpression" ? fieldOf(node.left) : undefined;
    if (field !== undefined) assigned.set(field, Math.min(assigned.get(field) ?? Infinity, node.end ?? 0));
  }
  for (const member of Array.isArray(body?.body) ? body.body : []) {
    if (isNode(member) && isNode(member.value) && isNode(member.key)) assigned.set(keyText(member.key), -1);
  }
  const late = new Set<string>();
  for (const closure of closures) {
    for (const { node, parent, key } of nodesOf(closure)) {
      const field = fieldOf(node);
      if (field === undefined) continue;
      const written = parent?.type === "AssignmentExpression" && parent.operator === "=" && key === "left";
      if (!written && (assigned.get(field) ?? -1) > (closure.start ?? 0)) late.add(field);
    }
  }
  return [...late];
}

/** `this.#field` and `this.field`. */
function fieldOf(value: unknown): string | undefined {
  if (!isNode(value) || value.type !== "MemberExpression" && value.type !== "OptionalMemberExpression") {
    return undefined;
  }
  if (!isNode(value.object) || value.object.type !== "ThisExpression" || value.computed === true) return undefined;
  return isNode(value.property) ? keyText(value.property) : undefined;
}

function keyText(key: Node): string {
  if (key.type === "PrivateName" && isNode(key.id)) return `#${key.id.name}`;
  return typeof key.name === "string" ? key.name : "";
}

/** Every identifier of a source with its line; the specifiers of imports are texts, and not among them. */
export function identifiersOf(source: string): { readonly name: string; readonly line: number }[] {
  const found: { name: string; line: number }[] = [];
  for (const { node } of nodesOf(treeOf(source))) {
    if (node.type === "Identifier" && typeof node.name === "string") {
      found.push({ name: node.name, line: lineOf(node) });
    }
  }
  return found;
}

/** The words of an identifier, in lower case: `isClusterKey` has three, `MAX_SIZE` two. */
export function wordsOf(name: string): string[] {
  return name.replace(/([a-z0-9])([A-Z])|([A-Z])(?=[A-Z][a-z])/g, "$1$3 $2").toLowerCase().split(/[ _$]+/)
    .filter((word) => word !== "");
}

/** Folders with more files at one level than they may have. */
export function crowdedFolders(paths: Iterable<string>): string[] {
  const counts = new Map<string, number>();
  for (const path of paths) {
    const folder = path.slice(0, path.lastIndexOf("/") + 1);
    counts.set(folder, (counts.get(folder) ?? 0) + 1);
  }
  return [...counts].filter(([folder, count]) => count > filesAllowed(folder))
    .map(([folder, count]) => `${folder} has ${count} files`);
}

function filesAllowed(folder: string): number {
  // One Redis command or one contender a file. Their number follows the subject, and each file is independent.
  if (folder === "streamer/commands/" || folder === "bench/contenders/") return Infinity;
  return folder.startsWith("tests/") ? 20 : 14;
}
