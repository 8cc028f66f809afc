// Resolves what only deno.json knows, for Node: the adapters of `@std/*` in the tests, and the package's own name everywhere.

import { readFileSync } from "node:fs";
import { registerHooks } from "node:module";

const root = new URL("../../..", import.meta.url);
const { name, exports, scopes } = JSON.parse(readFileSync(new URL("deno.json", root), "utf8"));

const entries = new Map(Object.entries(exports).map(([path, file]) => [path.replace(/^\./, name), file]));

registerHooks({
  resolve(specifier, context, next) {
    const entry = entries.get(specifier);
    if (entry !== undefined) return next(new URL(entry, root).href, context);
    for (const [scope, imports] of Object.entries(scopes)) {
      if (specifier in imports && context.parentURL?.startsWith(new URL(scope, root).href)) {
        return next(new URL(imports[specifier], root).href, context);
      }
    }
    return next(specifier, context);
  },
});
