// Finds the references of a source file: its imports of every kind, and the globals of runtimes.

import { isNode, lineOf, type Node, nodesOf, treeOf } from "./syntax.ts";

/** One import, re-export, dynamic import or `import("…")` type. */
export interface Import {
  /** Undefined where it is computed. */
  readonly specifier: string | undefined;
  readonly typeOnly: boolean;
  readonly line: number;
}

/** One use of a global that only some runtimes have, or of the console. */
export interface GlobalUse {
  readonly name: string;
  readonly line: number;
}

/** The references of a file. */
export interface References {
  readonly imports: readonly Import[];
  readonly globals: readonly GlobalUse[];
}

/** Sources by their path in the project. */
export type Sources = ReadonlyMap<string, string>;

const WATCHED = new Set(["Deno", "Bun", "process", "Buffer", "require", "global", "console"]);

/** Reads a TypeScript source. */
export function referencesOf(source: string): References {
  const imports: Import[] = [];
  const globals: GlobalUse[] = [];
  for (const { node, parent, key } of nodesOf(treeOf(source))) {
    const found = importOf(node);
    if (found) imports.push(found);
    const global = globalOf(node, parent, key);
    if (global) globals.push({ name: global, line: lineOf(node) });
  }
  return { imports, globals };
}

/** Where an import leads; undefined if it leaves the project. */
export function resolvePath(from: string, specifier: string): string | undefined {
  const parts = from.split("/").slice(0, -1);
  for (const part of specifier.split("/")) {
    if (part === ".") continue;
    if (part !== "..") parts.push(part);
    else if (parts.pop() === undefined) return undefined;
  }
  return parts.join("/");
}

function importOf(node: Node): Import | undefined {
  const line = lineOf(node);
  switch (node.type) {
    case "ImportDeclaration":
    case "ExportNamedDeclaration":
    case "ExportAllDeclaration": {
      if (!isNode(node.source)) return undefined;
      const whole = node.importKind === "type" || node.exportKind === "type";
      return { specifier: textOf(node.source), typeOnly: whole || namesOnlyTypes(node), line };
    }
    case "ImportExpression":
      return { specifier: textOf(node.source), typeOnly: false, line };
    case "TSImportType":
      return { specifier: textOf(node.source ?? node.argument), typeOnly: true, line };
    case "TSExternalModuleReference":
      return { specifier: textOf(node.expression), typeOnly: false, line };
    default:
      return undefined;
  }
}

/** `import { type A, type B }`: nothing is left of it at run time but the file itself. */
function namesOnlyTypes(node: Node): boolean {
  const names = Array.isArray(node.specifiers) ? node.specifiers : [];
  return names.length > 0 && names.every((name) => name.importKind === "type" || name.exportKind === "type");
}

function globalOf(node: Node, parent: Node | undefined, key: string): string | undefined {
  // `"Deno" in globalThis` and `globalThis["Deno"]` ask for it as well.
  const text = textOf(node);
  if (text !== undefined) {
    const asked = parent?.type === "BinaryExpression" && parent.operator === "in" && isGlobalThis(parent.right) ||
      parent?.type === "MemberExpression" && key === "property" && isGlobalThis(parent.object);
    return asked && WATCHED.has(text) ? text : undefined;
  }
  if (node.type !== "Identifier" || typeof node.name !== "string" || !WATCHED.has(node.name)) return undefined;
  return isName(parent, key) ? undefined : node.name;
}

/** Whether an identifier in that place is only a name: a member's, a property's, a parameter's in a type. */
function isName(parent: Node | undefined, key: string): boolean {
  switch (parent?.type) {
    case "MemberExpression":
    case "OptionalMemberExpression":
      return key === "property" && parent.computed === false && !isGlobalThis(parent.object);
    case "TSQualifiedName":
      return key === "right";
    case "ObjectProperty":
    case "ObjectMethod":
    case "ClassProperty":
    case "ClassMethod":
    case "ClassAccessorProperty":
    case "TSPropertySignature":
    case "TSMethodSignature":
    case "TSDeclareMethod":
    case "TSAbstractMethodDefinition":
      return key === "key" && parent.computed !== true && parent.shorthand !== true;
    case "ImportSpecifier":
    case "ExportSpecifier":
      return true;
    default:
      return false;
  }
}

function isGlobalThis(value: unknown): boolean {
  return isNode(value) && value.type === "Identifier" && (value.name === "globalThis" || value.name === "self");
}

/** The text of a string literal, also as `import()` types hold it. */
function textOf(value: unknown): string | undefined {
  if (!isNode(value)) return undefined;
  if (value.type === "TSLiteralType") return textOf(value.literal);
  return value.type === "StringLiteral" && typeof value.value === "string" ? value.value : undefined;
}
