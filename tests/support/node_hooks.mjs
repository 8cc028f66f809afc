// Owns how Node finds the adapters that stand in for `@std/*`: from the same table that Deno uses, in deno.json.

import { readFileSync } from "node:fs";
import { registerHooks } from "node:module";

const root = new URL("../../", import.meta.url);
const { scopes } = JSON.parse(readFileSync(new URL("deno.json", root), "utf8"));

registerHooks({
  resolve(specifier, context, next) {
    for (const [scope, imports] of Object.entries(scopes)) {
      if (specifier in imports && context.parentURL?.startsWith(new URL(scope, root).href)) {
        return next(new URL(imports[specifier], root).href, context);
      }
    }
    return next(specifier, context);
  },
});
