// `info`: what streams hold, how far their groups are and who is in them; once, or again and again. It must not know how a table
// is drawn.

import { RedisError } from "../../resp/errors.ts";
import type { StreamInfo } from "../manager/options.ts";
import type { Manager } from "../manager/manager.ts";
import { type Address, addressOf } from "./address.ts";
import type { CommandSpec } from "./arguments.ts";
import { CommandError, UsageError } from "./failure.ts";
import { hidePassword } from "../model/url.ts";
import { entriesAdded } from "../commands/entries_added.ts";
import { commandLane, type RedisStreamer } from "../streamer.ts";
import { plural } from "./figures.ts";
import { keysOf } from "./keys.ts";
import { Rates, type StreamRow } from "./rates.ts";
import { type Task, withStreamer } from "./session.ts";
import { CONNECTION, TELLING_LITTLE } from "./shared_options.ts";
import { infoTable } from "./table.ts";
import { LiveScreen } from "./live_screen.ts";

export const INFO: CommandSpec = {
  name: "info",
  summary: "shows streams, their groups, lag and consumers",
  synopsis: "info [SERVER | STREAM[,STREAM …]]",
  about:
    "Shows what streams hold, how far their groups are and who is in them: of all keys of type stream, or of the streams named, whose " +
    "shards are shown together. lag is what a group was not yet given (? where the server does not know), pending what it was given and has not " +
    "acknowledged, oldest the age of the oldest of that, idle the time since a consumer last asked, inactive since it last got something.\n\n" +
    "--watch draws it again and again, with the messages a second that have come, until q or Ctrl-C. Where stdout is no terminal it is printed " +
    "each time; with --json that is a line each time.",
  words: { least: 0, most: 1 },
  options: [
    { name: "watch", value: "SECONDS", unsaid: "2", help: "Again and again, every 2 seconds if nothing else is said" },
    { name: "json", help: "One line of JSON with all of it" },
    { name: "match", value: "GLOB", help: "Only keys that match, where no streams are named" },
  ],
  shared: [CONNECTION, TELLING_LITTLE],
  examples: [
    ["sea-streamer info", "All streams of the server"],
    ["sea-streamer info redis://localhost/orders --watch", "One, live"],
    ["sea-streamer info --json | jq '.streams[] | select(.groups[].lag > 1000) | .stream'", "For machines"],
  ],
};

/** Streams that are asked for at the same time. */
const AT_ONCE = 16;

/** Runs it. */
export async function runInfo(task: Task): Promise<void> {
  const { system, given } = task;
  const address = await addressOf(system, given, given.words[0]);
  if (address.streamKeys.length > 0 && given.text("match") !== undefined) {
    throw new UsageError("Cannot use --match where streams are named");
  }
  const interval = given.seconds("watch");
  const note = (text: string) => {
    if (interval === undefined || !system.screen.isTerminal) system.stderr.write(`${text}\n`);
  };
  await withStreamer(task, { address, note }, async (streamer) => {
    const manager = await streamer.createManager();
    const sight = { manager, address, added: addedOf(streamer, interval !== undefined) };
    const look = () => lookAt(task, sight);
    if (interval === undefined) await print(task, await look());
    else await watch(task, { look, interval, title: hidePassword(streamer.uri) });
  });
  system.signal.throwIfAborted();
}

/** What is needed for a look. */
interface Sight {
  readonly manager: Manager;
  readonly address: Address;
  readonly added: CountAdded;
}

/** How a stream is asked for. */
interface Asked {
  /** Whether it was named: then its shards are meant. */
  readonly named: boolean;
  readonly signal: AbortSignal;
}

type CountAdded = (manager: Manager, name: string, asked: Asked) => Promise<number | undefined>;

/** Counts what was ever added, where rates are wanted and the server knows. */
function addedOf(streamer: RedisStreamer, wanted: boolean): CountAdded {
  if (!wanted) return () => Promise.resolve(undefined);
  const lane = commandLane(streamer);
  return async (manager, name, { named, signal }) => {
    const { shards } = named ? await keysOf(manager, name, { signal, note: () => {} }) : { shards: [] };
    const keys = shards.length > 0 ? shards.map(({ redisKey }) => redisKey) : [name];
    try {
      const counts = await Promise.all(keys.map((key) => lane.run(entriesAdded(key), { signal })));
      return counts.reduce((sum, one) => sum === undefined || one === undefined ? undefined : sum + one, 0);
    } catch (error) {
      if (error instanceof RedisError) return undefined; // gone since, or forbidden
      throw error;
    }
  };
}

/** All streams as they are now. */
async function lookAt({ system: { signal }, given }: Task, sight: Sight): Promise<StreamRow[]> {
  const { manager, address: { streamKeys }, added } = sight;
  const named = streamKeys.length > 0;
  const keys = [...streamKeys];
  if (!named) {
    const match = given.text("match");
    for await (const key of manager.streams(match === undefined ? { signal } : { match, signal })) keys.push(key);
    keys.sort();
  }
  const rows: StreamRow[] = [];
  for (let at = 0; at < keys.length; at += AT_ONCE) {
    const some = keys.slice(at, at + AT_ONCE).map(async (name) => {
      const info = await infoOf(manager, name, { named, signal });
      return info === undefined ? [] : [{ name, info, added: await added(manager, name, { named, signal }) }];
    });
    rows.push(...(await Promise.all(some)).flat());
  }
  return rows;
}

/** `undefined` for one that is gone since it was listed, or has a name that is no stream's to this library. */
async function infoOf(
  manager: Manager,
  name: string,
  { named, signal }: Asked,
): Promise<StreamInfo | undefined> {
  try {
    return await manager.info(name, named ? { sharded: true, signal } : { signal });
  } catch (error) {
    if (!(error instanceof RedisError) || error.code !== "ERR") {
      if (!named && Object(error).code === "INVALID_STREAM_KEY") return undefined;
      throw error;
    }
    if (!named) return undefined;
    throw new CommandError(`Cannot look at ${name} as there must be such a stream`, { cause: error });
  }
}

async function print({ system, given }: Task, rows: readonly StreamRow[], rates?: Rates): Promise<boolean> {
  const text = given.flag("json")
    ? jsonOf(rows, rates)
    : tableOf(system.screen.isTerminal ? system.screen.columns : 120);
  const bytes = new TextEncoder().encode(text);
  return await system.stdout.write(bytes, system.signal) === bytes.length;

  function tableOf(columns: number): string {
    const color = system.screen.isTerminal && !system.env("NO_COLOR");
    return `${infoTable(rows, { columns, color, rates }).join("\n")}\n`;
  }
}

function jsonOf(rows: readonly StreamRow[], rates: Rates | undefined): string {
  const streams = rows.map(({ name, info }) => ({
    stream: name,
    ...(rates === undefined ? {} : { rate: rates.of(name) ?? null }),
    ...info,
  }));
  return `${JSON.stringify({ time: new Date().toISOString(), streams })}\n`;
}

interface Watch {
  readonly look: () => Promise<StreamRow[]>;
  readonly interval: number;
  readonly title: string;
}

async function watch(task: Task, { look, interval, title }: Watch): Promise<void> {
  const { system, given } = task;
  const rates = new Rates();
  const live = system.screen.isTerminal && !given.flag("json");
  using screen = live ? new LiveScreen(system) : undefined;
  const stopped = screen?.stopped ?? new AbortController().signal;
  while (!stopped.aborted && !system.signal.aborted) {
    const started = system.now();
    const rows = await look();
    rates.look(rows, started);
    if (screen === undefined) {
      if (!await print(task, rows, rates)) return;
    } else {
      const { columns, rows: height } = system.screen;
      const head = `${title}   ${plural(rows.length, "stream")}   ${
        new Date(started).toISOString().slice(11, 19)
      }Z   q ends`;
      screen.draw([head, "", ...infoTable(rows, { columns, color: !system.env("NO_COLOR"), rates })], height);
    }
    await pause(interval, [stopped, system.signal]);
  }
}

/** Waits a while, or until one of the signals is aborted. */
async function pause(milliseconds: number, signals: readonly AbortSignal[]): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, milliseconds);
  const any = AbortSignal.any([...signals]);
  if (any.aborted) resolve();
  else any.addEventListener("abort", () => resolve(), { once: true });
  await promise;
  clearTimeout(timer);
}
