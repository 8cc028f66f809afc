// Runs `deno task package`: packs the project, installs the package into empty projects of each runtime, type-checks and runs a
// small program there, with a real server, and runs the package's command line. Needs the npm registry. Runs on Deno. Words narrow it to projects whose name
// contains one of them.

import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { installPackages } from "../run/runtimes.ts";
import { startServer } from "../servers/server.ts";
import { archive } from "./archive.ts";
import { run } from "./command.ts";
import { PROJECTS } from "./projects.ts";

await installPackages();
const folder = await mkdtemp(join(tmpdir(), "sea-package-"));
await using server = await startServer();
const chosen = PROJECTS.filter(({ name }) => Deno.args.length === 0 || Deno.args.some((word) => name.includes(word)));
let failed = 0;
try {
  const made = await archive(folder);
  for (const [at, project] of chosen.entries()) {
    try {
      const cwd = join(folder, `project-${at}`);
      await mkdir(cwd);
      const { program, commandLine } = await project.prepare(cwd, made);
      await server.command("FLUSHALL");
      const env = { REDIS_URL: server.url };
      const output = await run(program, { cwd, env });
      if (!output.endsWith("ok\n")) throw new Error(`The program did not print ok:\n${output}`);
      const info = await run([...commandLine, "info", "--json"], { cwd, env });
      if (!info.includes('"orders"')) throw new Error(`The command line did not list the stream:\n${info}`);
      console.log(`ok      ${project.name}`);
    } catch (error) {
      failed++;
      console.log(`FAILED  ${project.name}\n${error instanceof Error ? error.message : error}`);
    }
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}
console.log(`${chosen.length - failed} passed, ${failed} failed`);
Deno.exitCode = failed > 0 ? 1 : 0;
