// Reads the members of the types that TypeScript sources declare, with the defaults that their doc comments declare.

import { isNode, type Node, nodesOf } from "./syntax.ts";

/** A property or method of a type. */
export interface Member {
  readonly name: string;
  /** The text of its `@default` tag. */
  readonly fallback: string | undefined;
}

/** The types of a project, by their names. */
export class DeclaredTypes {
  readonly #declarations = new Map<string, Node>();

  constructor(trees: Iterable<Node>) {
    for (const tree of trees) {
      for (const { node } of nodesOf(tree, isOuter)) {
        const isType = node.type === "TSInterfaceDeclaration" || node.type === "TSTypeAliasDeclaration";
        const name = isType ? nameOf(node.id) : undefined;
        if (name !== undefined && !this.#declarations.has(name)) this.#declarations.set(name, node);
      }
    }
  }

  /** The members that a type declares itself, without those of types it refers to. Throws for an unknown type. */
  membersOf(type: string): Member[] {
    const found = new Map<string, Member>();
    for (const node of this.#signaturesOf(type)) {
      const name = nameOf(node.key);
      if (name === undefined) continue;
      const fallback = defaultOf(node) ?? found.get(name)?.fallback;
      if (!isForbidden(node)) found.set(name, { name, fallback });
    }
    return [...found.values()];
  }

  /** The members of the object type that a type's member has. */
  membersWithin(type: string, member: string): string[] {
    const owner = [...this.#signaturesOf(type)].find((node) => nameOf(node.key) === member);
    if (owner === undefined) throw new Error(`${type} has no member ${member}`);
    return [...signaturesIn(owner)].flatMap((node) => nameOf(node.key) ?? []);
  }

  /** The words of a union of string literals. */
  wordsOf(type: string): string[] {
    const found: string[] = [];
    for (const { node } of nodesOf(this.#declarationOf(type))) {
      if (node.type === "StringLiteral" && typeof node.value === "string") found.push(node.value);
    }
    return found;
  }

  #declarationOf(type: string): Node {
    const found = this.#declarations.get(type);
    if (found === undefined) throw new Error(`No source declares the type ${type}`);
    return found;
  }

  #signaturesOf(type: string): Iterable<Node> {
    return signaturesIn(this.#declarationOf(type));
  }
}

function isOuter(node: Node): boolean {
  return /^(?:File|Program|ExportNamedDeclaration)$/.test(node.type);
}

/** The property and method signatures of a type, without those of its members' own types. */
function* signaturesIn(type: Node): Generator<Node> {
  for (const { node } of nodesOf(type, (node) => !isSignature(node))) {
    if (isSignature(node) && node !== type) yield node;
  }
}

function isSignature({ type }: Node): boolean {
  return type === "TSPropertySignature" || type === "TSMethodSignature";
}

/** Whether the member is there to be left out: `readonly shardId?: undefined`. */
function isForbidden({ typeAnnotation }: Node): boolean {
  return isNode(typeAnnotation) && isNode(typeAnnotation.typeAnnotation) &&
    typeAnnotation.typeAnnotation.type === "TSUndefinedKeyword";
}

function nameOf(node: unknown): string | undefined {
  if (!isNode(node)) return undefined;
  if (typeof node.name === "string") return node.name;
  return node.type === "StringLiteral" && typeof node.value === "string" ? node.value : undefined;
}

function defaultOf({ leadingComments }: Node): string | undefined {
  if (!Array.isArray(leadingComments)) return undefined;
  const text = leadingComments.map(({ value }) => String(value)).join("\n").replaceAll(/\n\s*\*?/g, " ");
  return /@default\s*\{(.*)\}\s*(?:@|$)/.exec(text)?.[1].trim();
}
