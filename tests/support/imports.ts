// Owns what a source file refers to: its imports of every kind, and the runtime's globals it names.
// Must not know which of them are allowed.

import { parse } from "@babel/parser";

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

/** What a file refers to. */
export interface References {
  readonly imports: readonly Import[];
  readonly globals: readonly GlobalUse[];
}

const WATCHED = new Set(["Deno", "Bun", "process", "Buffer", "require", "global", "console"]);

interface Node {
  readonly type: string;
  readonly loc?: { readonly start: { readonly line: number } } | null;
  readonly [key: string]: unknown;
}

/** Reads a TypeScript source. */
export function referencesOf(source: string): References {
  const imports: Import[] = [];
  const globals: GlobalUse[] = [];
  const program = parse(source, { sourceType: "module", plugins: ["typescript"] }).program;
  const pending: { node: Node; parent: Node | undefined; key: string }[] = [];
  const push = (value: unknown, parent: Node | undefined, key: string) => {
    if (isNode(value)) pending.push({ node: value, parent, key });
  };
  push(program, undefined, "");
  for (let next = pending.pop(); next; next = pending.pop()) {
    const { node, parent, key } = next;
    const found = importOf(node);
    if (found) imports.push(found);
    const global = globalOf(node, parent, key);
    if (global) globals.push({ name: global, line: lineOf(node) });
    for (const [name, value] of Object.entries(node)) {
      if (Array.isArray(value)) { for (const one of value) push(one, node, name); }
      else push(value, node, name);
    }
  }
  return { imports, globals };
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

function isNode(value: unknown): value is Node {
  return typeof value === "object" && value !== null && "type" in value && typeof value.type === "string";
}

function lineOf(node: Node): number {
  return node.loc?.start.line ?? 0;
}
