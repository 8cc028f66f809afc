// Owns `deno task demo`, `demo:bun`, `demo:node`, `bench`: runs a file of the project on the runtime named first, after
// the set-up that a fresh clone needs.

import process from "node:process";
import { findRuntime, installPackages, root, type Runtime } from "./runtimes.ts";

const [name, ...words] = Deno.args;
if (!isRuntime(name)) throw new Error(`Cannot run on ${name}: name deno, bun or node`);
await installPackages();
const flags = { deno: ["run", "-A", "--no-check"], bun: ["run"], node: ["--disable-warning=ExperimentalWarning"] };
const child = new Deno.Command(await findRuntime(name), { args: [...flags[name], ...words], cwd: root }).spawn();
// The terminal sends Ctrl-C to both; the child decides what it means.
process.on("SIGINT", () => {});
Deno.exit((await child.status).code);

function isRuntime(name: string): name is Runtime {
  return name === "deno" || name === "bun" || name === "node";
}
