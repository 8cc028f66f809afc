// The benchmark of a cluster as a program: from the command line to tables and JSON.

import { writeFile } from "node:fs/promises";
import { arch, cpus, platform, release } from "node:os";
import { argv, exit, stderr, stdout } from "node:process";
import { startCluster } from "../../tests/support/servers/cluster.ts";
import { startServer } from "../../tests/support/servers/server.ts";
import { findRuntime, type FoundRuntime } from "../runtimes.ts";
import { align } from "../table.ts";
import { changesTable } from "./changes.ts";
import { idleTable } from "./idle.ts";
import { latencyTable } from "./latency.ts";
import { type ClusterBenchOptions, HELP, type Part, readClusterOptions } from "./options.ts";
import type { Place, Table } from "./place.ts";
import { produceTable } from "./produce.ts";

const TABLES: Readonly<Record<Part, (place: Place) => Promise<Table>>> = {
  produce: produceTable,
  latency: latencyTable,
  idle: idleTable,
  changes: changesTable,
};

async function main(): Promise<number> {
  const options = readClusterOptions(argv.slice(2));
  if (options === undefined) {
    stdout.write(HELP);
    return 0;
  }
  const runtimes = await found(options);
  await using cluster = await startCluster();
  await using server = await startServer();
  const report = (text: string) => void stderr.write(`${text}\n`);
  const place = { options, runtimes, cluster, server, report };
  const tables: Table[] = [];
  let failures = 0;
  for (const part of options.parts) {
    try {
      tables.push(await TABLES[part](place));
    } catch (error) {
      failures++;
      report(`${part} failed: ${sentence(error)}`);
    }
  }
  const machine = `${cpus().length} × ${cpus()[0]?.model.trim()}, ${platform()} ${release()} ${arch()}`;
  const kind = `${server.isValkey ? "Valkey" : "Redis"} ${server.version}`;
  const versions = runtimes.map(({ name, version }) => `${name} ${version}`).join(", ");
  const { rounds, payload } = options;
  stdout.write(`\n${machine}\n${kind}; ${versions}\npayloads of ${payload} bytes; medians of ${rounds} rounds\n\n`);
  stdout.write(tables.map(({ title, rows }) => `${title}\n\n${align(rows)}\n`).join("\n"));
  if (options.json !== undefined) {
    const date = new Date().toISOString();
    await writeFile(options.json, JSON.stringify({ date, machine, server: kind, options, tables }, null, 2) + "\n");
  }
  return failures === 0 ? 0 : 1;
}

async function found({ runtimes }: ClusterBenchOptions): Promise<FoundRuntime[]> {
  const all: FoundRuntime[] = [];
  for (const name of runtimes) {
    try {
      all.push(await findRuntime(name));
    } catch (error) {
      stderr.write(`${sentence(error)}; skipped\n`);
    }
  }
  return all;
}

function sentence(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

try {
  exit(await main());
} catch (error) {
  stderr.write(`${sentence(error)}\n`);
  exit(2);
}
