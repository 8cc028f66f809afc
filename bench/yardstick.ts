// Measures the server's own limit: with the C program in limit/, which is compiled when it is first needed, or with
// redis-benchmark if there is no compiler.

import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readFile, rename } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { env, pid } from "node:process";
import { fileURLToPath } from "node:url";
import { runSample, runText } from "./child.ts";
import type { Sample } from "./contenders/contend.ts";

/** The server to measure. */
export interface Target {
  readonly port: number;
  readonly pid: number;
  /** Runs commands in one go. */
  commands(list: readonly (readonly string[])[]): Promise<unknown>;
}

/** Entries of a page when the yardstick reads. */
export const PAGE = 1_000;

/** The group that it recreates for each run. */
export const LIMIT_GROUP = "limit";

/** The reference for the figures. */
export interface Yardstick {
  /** Its name, for people. */
  readonly source: string;
  /** Stores messages with the ids of {@linkcode idOf} under a key. */
  fill(key: string, messages: number, payload: number): Promise<void>;
  // A method that cannot be measured is undefined.
  produce?(key: string, messages: number, payload: number): Promise<Sample>;
  consume?(key: string, messages: number): Promise<Sample>;
  /** Reads the backlog of a group in pages, with acknowledgements, four in flight. */
  group?(key: string, messages: number, page: number): Promise<Sample>;
  latency?(key: string, messages: number, rate: number, payload: number): Promise<Sample>;
}

/** The id of entry `index` of a filled stream: a hundred in each millisecond. */
export function idOf(index: number): string {
  return `${1_700_000_000_000 + Math.floor(index / 100)}-${index % 100 + 1}`;
}

/** Opens the best available yardstick. */
export async function openYardstick(target: Target): Promise<Yardstick> {
  const program = await compile();
  return program ? compiled(program, target) : await standIn(target);
}

/** The compiled program, cached for this user under a name that depends on its source; `undefined` without a compiler. */
async function compile(): Promise<string | undefined> {
  const source = fileURLToPath(new URL("./limit/limit.c", import.meta.url));
  const hash = createHash("sha256").update(await readFile(source)).digest("hex").slice(0, 16);
  const folder = join(env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "sea-streamer-redis");
  const program = join(folder, `limit-${hash}`);
  if (existsSync(program)) return program;
  await mkdir(folder, { recursive: true, mode: 0o700 });
  for (const compiler of [env.CC, "cc", "gcc", "clang"]) {
    if (!compiler) continue;
    try {
      await runText([compiler, "-O2", "-o", `${program}.${pid}`, source]);
      await rename(`${program}.${pid}`, program);
      return program;
    } catch {
      // try the next one
    }
  }
  return undefined;
}

function compiled(program: string, { port, pid }: Target): Yardstick {
  const line = (mode: string, flags: Record<string, string | number>) => [
    program,
    mode,
    `--port=${port}`,
    `--pid=${pid}`,
    ...Object.entries(flags).map(([flag, value]) => `--${flag}=${value}`),
  ];
  return {
    source: "limit.c",
    fill: async (key, messages, payload) => void await runText(line("fill", { key, messages, payload })),
    produce: (key, messages, payload) => runSample(line("xadd", { key, messages, payload })),
    consume: (key, messages) => runSample(line("xread", { key, messages, page: PAGE })),
    group: (key, messages, page) => runSample(line("xgroup", { key, messages, page, depth: 4, ack: "page" })),
    latency: (key, messages, rate, payload) => runSample(line("lat", { key, messages, rate, payload, page: 100 })),
  };
}

/** redis-benchmark as a substitute: rates only, without CPU time and latency. Without redis-benchmark, it only fills streams. */
async function standIn(target: Target): Promise<Yardstick> {
  const fill = (key: string, messages: number, payload: number) => fillFrom(target, key, messages, "x".repeat(payload));
  const rate = async (requests: number, pipeline: number, command: readonly string[], each: number) => {
    const flags = ["-p", target.port, "-c", 1, "-P", pipeline, "-n", requests, "--csv"].map(String);
    const csv = await runText(["redis-benchmark", ...flags, ...command]);
    const perSecond = Number(/"([\d.]+)"/.exec(csv.trim().split("\n").at(-1)?.split(",")[1] ?? "")?.[1]);
    return { messages: requests * each, seconds: requests / perSecond, clientUs: null, serverUs: null };
  };
  try {
    await runText(["redis-benchmark", "--version"]);
  } catch {
    return { source: "none (neither a C compiler nor redis-benchmark was found)", fill };
  }
  return {
    source: "redis-benchmark (no C compiler was found)",
    fill,
    produce: (key, messages, payload) => rate(messages, 500, ["XADD", key, "*", "msg", "x".repeat(payload)], 1),
    consume: (key, messages) =>
      rate(Math.ceil(messages / PAGE), 1, ["XREAD", "COUNT", String(PAGE), "STREAMS", key, "0-0"], PAGE),
  };
}

async function fillFrom(target: Target, key: string, messages: number, body: string): Promise<void> {
  await target.commands([["DEL", key]]);
  for (let from = 0; from < messages; from += 10_000) {
    const count = Math.min(10_000, messages - from);
    await target.commands(Array.from({ length: count }, (_, i) => ["XADD", key, idOf(from + i), "msg", body]));
  }
}
