// Checks that public symbols have a category and an example.

import type { DocComment, PublicSymbol } from "../prose/exports.ts";

/** The sections of the reference that JSR renders. */
export const CATEGORIES: readonly string[] = [
  "Connecting",
  "Producing",
  "Consuming",
  "Consumer groups",
  "Processing",
  "Typed values",
  "Sharding",
  "Managing",
  "Positions and ids",
  "Events",
  "Errors",
  "Files",
  "RESP",
];

/** A symbol that lacks something. */
export interface Lack {
  readonly path: string;
  readonly says: string;
}

/** Everything that is missing. */
export function lacksOf(symbols: readonly PublicSymbol[]): Lack[] {
  return symbols.filter(({ kind }) => kind !== "member").flatMap((symbol) => {
    const { path, line, name } = symbol;
    return whatLacks(symbol).map((what) => ({ path, says: `${path}:${line} ${name}: ${what}` }));
  });
}

function whatLacks({ kind, docs }: PublicSymbol): string[] {
  const lacks: string[] = [];
  const text = docs.map((doc) => doc.text).join("\n");
  const categories = Array.from(text.matchAll(/^\s*@category +(.*?)\s*$/gm), ([, name]) => name);
  if (categories.length === 0) lacks.push("a @category is missing");
  for (const name of categories) if (!CATEGORIES.includes(name)) lacks.push(`there is no category “${name}”`);
  const needsExample = kind === "class" || kind === "function";
  if (needsExample && !/^\s*@example\b[^@]*?```ts/m.test(text)) lacks.push("an @example is missing");
  return lacks;
}

/** The links in doc comments to names that no entry point exports. A member may be named alone. */
export function brokenNames(docs: readonly DocComment[], exported: ReadonlySet<string>): string[] {
  const names = new Set([...exported].flatMap((name) => [name, name.slice(name.indexOf(".") + 1)]));
  return docs.flatMap(({ path, line: first, text }) =>
    text.split("\n").flatMap((line, i) => {
      const targets = Array.from(line.matchAll(/\{@link(?:code|plain)?\s+([^}\s|]+)/g), ([, target]) => target);
      const broken = targets.filter((target) =>
        !/^https?:/.test(target) && !names.has(target.replace(".prototype.", "."))
      );
      return broken.map((target) => `${path}:${first + i} {@linkcode ${target}}: no entry point exports that`);
    })
  );
}
