// Makes what users get of the project: the npm package, as JSR makes it too, and the files that are published to JSR.

import { cp, mkdir } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { root } from "../run/runtimes.ts";
import { run } from "./command.ts";

/** The package in both of its forms. */
export interface Archive {
  /** The path of the npm package: JavaScript, declarations and a package.json. */
  readonly tarball: string;
  /** A folder with the files that JSR gets. */
  readonly sources: string;
}

/** Makes both forms in this folder. */
export async function archive(folder: string): Promise<Archive> {
  const tarball = join(folder, "package.tgz");
  await run([Deno.execPath(), "pack", "--allow-dirty", "--output", tarball], { cwd: root });
  const sources = join(folder, "sources");
  const listed = await run([Deno.execPath(), "publish", "--dry-run", "--allow-dirty"], { cwd: root });
  const files = [...listed.matchAll(/^\s*(file:\/\/\S+) \([\d.]+\w+\)$/gm)].map(([, url]) => fileURLToPath(url));
  for (const file of files) {
    const target = join(sources, relative(root, file));
    await mkdir(dirname(target), { recursive: true });
    await cp(file, target);
  }
  return { tarball, sources };
}
