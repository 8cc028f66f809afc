// Runs a program of the project on the runtime named first, after the set-up that a fresh clone needs: `deno task demo`,
// `recipe:bun` and others. With --packages before the runtime, the packages of deno.json are installed first. Otherwise they are
// installed only if the runtime or a server is missing on this machine, so that a newcomer downloads nothing else.

import process from "node:process";
import { findServer } from "../servers/server_binary.ts";
import { PROGRAM_FLAGS } from "./invocation.ts";
import { findRuntime, installPackages, root, type Runtime } from "./runtimes.ts";

const needsPackages = Deno.args[0] === "--packages";
const [name, ...words] = needsPackages ? Deno.args.slice(1) : Deno.args;
if (!isRuntime(name)) throw new Error(`Cannot run on ${name}: name deno, bun or node`);

// Without a server program, one is started in a container, which takes a package.
if (needsPackages || (!process.env.REDIS_URL && await findServer() === undefined)) await installPackages();
const program = await findRuntime(name).catch(async () => {
  await installPackages();
  return await findRuntime(name);
});
const child = new Deno.Command(program, { args: [...PROGRAM_FLAGS[name], ...words], cwd: root }).spawn();
// The terminal sends Ctrl-C to both processes. The child decides how to react.
process.on("SIGINT", () => {});
Deno.exit((await child.status).code);

function isRuntime(name: string | undefined): name is Runtime {
  return name === "deno" || name === "bun" || name === "node";
}
