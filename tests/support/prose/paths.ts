// Finds the project's pages and entry points. Must not need any package: the checks ask for them before packages are installed.

import { readdir, readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

/** The project's folder. */
export const root = fileURLToPath(new URL("../../../", import.meta.url));

/** The modules that the package exports. */
export async function entryPoints(): Promise<string[]> {
  const { exports } = JSON.parse(await readFile(`${root}deno.json`, "utf8"));
  return Object.values<string>(exports).map((path) => path.replace(/^\.\//, ""));
}

/** All pages: those at the root, of `docs/` and of `examples/`. */
export async function pages(): Promise<string[]> {
  const found = (await readdir(root)).filter((name) => /\.md$/.test(name));
  for (const folder of ["docs", "examples"]) {
    const names = await readdir(root + folder, { recursive: true });
    found.push(
      ...names.filter((name) => name.endsWith(".md")).map((name) => `${folder}/${name.replaceAll("\\", "/")}`),
    );
  }
  return found.sort();
}
