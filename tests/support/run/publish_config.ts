// Prepares the publishing job's checkout: removes from deno.json what only tests, benchmarks and tasks need, so that `deno publish`
// installs no package, and makes the links of the README absolute. Runs on Deno, without a configuration. The argument is the tag
// of the release.

import { absoluteLinks } from "./published_links.ts";

const PATH = "deno.json";
/** The parts that name packages, or cause an install. */
const DEVELOPMENT: readonly string[] = ["imports", "scopes", "nodeModulesDir", "allowScripts", "tasks"];

const config: Record<string, unknown> & { readonly name: string; readonly version: string } = JSON.parse(
  await Deno.readTextFile(PATH),
);
const [tag] = Deno.args;
if (tag !== `v${config.version}`) {
  console.error(`Cannot publish version ${config.version} with the tag ${tag}: the tag must be v${config.version}`);
  Deno.exit(1);
}
const published = Object.fromEntries(Object.entries(config).filter(([name]) => !DEVELOPMENT.includes(name)));
await Deno.writeTextFile(PATH, `${JSON.stringify(published, null, 2)}\n`);
await Deno.writeTextFile("README.md", absoluteLinks(await Deno.readTextFile("README.md"), config.name, config.version));
