// Runs `deno task test:matrix`: the suite on every runtime, on every server and on a cluster of it, with a table at the
// end. Runs on Deno. Arguments: command lines of servers as in SEA_TEST_SERVER (none: the one that is found, and those of
// SEA_TEST_SERVERS), --filter=TEXT, names of test files.

import { env } from "node:process";
import { startServer } from "../servers/server.ts";
import { execute } from "./execution.ts";
import { summaryOf, sumOf, tableOf } from "./outcome.ts";
import { parseServers, type Run, runsOfMatrix } from "./runs.ts";
import { findRuntime, installPackages, versionOf } from "./runtimes.ts";

/** The kind and version of a server, as in `Redis 7.0.15`. */
async function describeServer(program: string | undefined): Promise<string> {
  await using server = await startServer(program === undefined ? {} : { program });
  return `${server.isValkey ? "Valkey" : "Redis"} ${server.version}`;
}

async function main(): Promise<number> {
  const options = Deno.args.filter((word) => word.startsWith("--filter="));
  const files = Deno.args.filter((word) => word.endsWith("_test.ts"));
  const named = Deno.args.filter((word) => !options.includes(word) && !files.includes(word));
  const servers = named.length > 0 ? named : [undefined, ...parseServers(env.SEA_TEST_SERVERS)];
  await installPackages();
  const names = new Map<string | undefined, string>();
  for (const server of servers) names.set(server, await describeServer(server));
  const runs = runsOfMatrix(servers);
  const runtimes = new Map<string, string>();
  for (const { runtime } of runs) runtimes.set(runtime, `${runtime} ${await versionOf(await findRuntime(runtime))}`);
  const filter = options[0]?.slice("--filter=".length);
  const all = await execute({ runs, jsr: false, again: false, filter, files });
  console.log(summaryOf(all));
  const name = (map: ReadonlyMap<string | undefined, string>, key: string | undefined) => map.get(key) ?? String(key);
  console.log(`\n${
    tableOf(all, {
      server: ({ server }: Run) => name(names, server),
      runtime: ({ runtime }: Run) => name(runtimes, runtime),
    })
  }`);
  console.log(`\n${sumOf(all, "passed")} passed, ${sumOf(all, "failed")} failed`);
  return sumOf(all, "failed") > 0 ? 1 : 0;
}

Deno.exit(await main());
