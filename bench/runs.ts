// The runs: the yardstick of each figure, and each contender on each runtime with its job.

import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { OwnServer } from "../tests/support/servers/server.ts";
import { runSample } from "./child.ts";
import type { Job, Sample } from "./contenders/contend.ts";
import type { Options } from "./options.ts";
import { type Contender, CONTENDERS, type Figure, limitOf, nameOf } from "./plan.ts";
import { proveSettled, proveStored } from "./proof.ts";
import type { FoundRuntime } from "./runtimes.ts";
import { LIMIT_GROUP, type Yardstick } from "./yardstick.ts";

/** One run. */
export interface Run {
  readonly name: string;
  readonly figure: Figure;
  /** The name of the yardstick for comparison. */
  readonly limit: string;
  run(): Promise<Sample>;
}

/** The context of all runs. */
export interface Context {
  readonly options: Options;
  readonly server: OwnServer;
  readonly yardstick: Yardstick;
  readonly capturePath: string;
  /** A folder for the files of contenders. */
  readonly folder: string;
  readonly warmup: number;
}

/** Streams with a backlog, and temporary streams. */
export const FILLED = "bench.backlog",
  FILLED_WARM = `${FILLED}.warm`,
  EMPTY = "bench.new",
  EMPTY_WARM = `${EMPTY}.warm`;

/** Figures that read the backlog, and those that read it in a group. */
export const READING: readonly Figure[] = ["consume", "group", "relay", "dump"];
const GROUPED: readonly Figure[] = ["group", "relay"];
/** Figures without a server. */
const ALONE: readonly Figure[] = ["decode", "file"];
/** Figures that store all messages in an empty stream. */
const STORING: readonly Figure[] = ["produce", "relay", "latency", "memory"];
/** The group that a contender creates. */
const GROUP = "bench";

/** All runs of one round. */
export function runsOf(context: Context, runtimes: readonly FoundRuntime[]): Run[] {
  const { figures, clients } = context.options;
  const chosen = CONTENDERS.filter(({ figure }) => figures.includes(figure)).flatMap((contender) =>
    runtimes
      .filter(({ name }) => contender.runtimes?.includes(name) ?? true)
      .map((runtime) => ({ contender, runtime, name: nameOf(contender, runtime.name) }))
  ).filter(({ name }) => clients.length === 0 || clients.some((part) => name.includes(part)));
  const groupPages = new Set(chosen.flatMap(({ contender: { figure, page } }) => figure === "group" ? page ?? [] : []));
  return [
    ...limits(context),
    ...groupLimits(context, [...groupPages]),
    ...chosen.map(({ contender, runtime, name }) => ({
      name,
      figure: contender.figure,
      limit: limitOf(contender.figure, contender.page),
      run: () => contend(context, contender, runtime),
    })),
  ];
}

function limits({ options, yardstick }: Context): Run[] {
  const { messages, backlog, payload, latencyMessages, rate } = options;
  const { produce, consume, latency } = yardstick;
  const runs: Partial<Record<Figure, () => Promise<Sample>>> = {
    ...(produce ? { produce: () => produce(EMPTY, messages, payload) } : {}),
    ...(consume ? { consume: () => consume(FILLED, backlog) } : {}),
    ...(latency ? { latency: () => latency(EMPTY, latencyMessages, rate, payload) } : {}),
  };
  return options.figures.flatMap((figure) => {
    const run = runs[figure], name = limitOf(figure);
    return run ? [{ name, figure, limit: name, run }] : [];
  });
}

/** In a group, a page costs a request and an acknowledgement. Each page size has its own limit. */
function groupLimits({ options: { backlog }, server, yardstick: { group } }: Context, pages: readonly number[]): Run[] {
  if (group === undefined) return [];
  return pages.map((page) => {
    const name = limitOf("group", page);
    const run = async () => {
      const sample = await group(FILLED, backlog, page);
      await proveSettled(server, FILLED, LIMIT_GROUP, backlog);
      return sample;
    };
    return { name, figure: "group", limit: name, run };
  });
}

/** Runs one contender, and checks on the server or in its output that it did all of its work. */
async function contend(context: Context, contender: Contender, runtime: FoundRuntime): Promise<Sample> {
  const { options, server, capturePath, folder, warmup } = context;
  const { figure } = contender;
  const filled = READING.includes(figure);
  const messages = {
    produce: options.messages,
    consume: options.backlog,
    group: options.backlog,
    relay: options.backlog,
    decode: 1_000_000,
    latency: options.latencyMessages,
    memory: options.memoryMessages,
    file: options.backlog,
    dump: options.backlog,
  }[figure];
  const stored = keysOf(EMPTY, contender), storedWarm = keysOf(EMPTY_WARM, contender);
  await server.command("DEL", ...stored, ...storedWarm);
  const job: Job = {
    form: contender.job,
    url: server.url,
    serverPid: ALONE.includes(figure) ? 0 : server.pid,
    key: filled ? FILLED : EMPTY,
    warmKey: filled ? FILLED_WARM : EMPTY_WARM,
    group: GROUP,
    sink: EMPTY,
    warmSink: EMPTY_WARM,
    messages,
    warmup,
    shards: contender.shards ?? 0,
    payload: "x".repeat(options.payload),
    rate: options.rate,
    capture: capturePath,
    folder: await mkdtemp(join(folder, "files-")),
  };
  const script = fileURLToPath(new URL(`./contenders/${contender.script}.ts`, import.meta.url));
  if (GROUPED.includes(figure)) await dropGroup(server);
  const sample = await runSample([...runtime.command, script, JSON.stringify(job)]);
  if (sample.messages !== messages) throw new Error(`${sample.messages} of ${messages} messages arrived`);
  if (GROUPED.includes(figure)) await proveSettled(server, FILLED, GROUP, messages);
  if (STORING.includes(figure) || contender.stores) await proveStored(server, stored, messages);
  await rm(job.folder, { recursive: true, force: true });
  await server.command("DEL", ...stored, ...storedWarm);
  return sample;
}

/** The Redis keys that a contender writes to. */
function keysOf(stream: string, { shards }: Contender): readonly string[] {
  return shards === undefined ? [stream] : Array.from({ length: shards }, (_, shard) => `${stream}:${shard}`);
}

/** The run before left it, for a look at what went wrong. */
async function dropGroup(server: OwnServer): Promise<void> {
  for (const key of [FILLED, FILLED_WARM]) await server.command("XGROUP", "DESTROY", key, GROUP);
}
