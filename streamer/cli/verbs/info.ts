// `info`: shows streams, their groups and consumers; once, or again and again.

import { isUncoded } from "../../../resp/connection/server_errors.ts";
import { escapeControls, RedisError } from "../../../resp/errors.ts";
import type { StreamInfo } from "../../manager/options.ts";
import type { Manager } from "../../manager/manager.ts";
import { type Address, addressOf } from "../args/address.ts";
import type { CommandSpec } from "../args/arguments.ts";
import { CommandError, UsageError } from "../failure.ts";
import { hidePassword } from "../../model/url.ts";
import { entriesAdded } from "../../commands/entries_added.ts";
import { shardsIn } from "../../cluster/shards.ts";
import { shardRedisKey } from "../../model/key.ts";
import { type RedisStreamer, routerFor, shardFinder } from "../../streamer.ts";
import type { Rates, StreamRow } from "../screen/rates.ts";
import { type Task, withStreamer } from "./session.ts";
import { CONNECTION, SHORT_OUTPUT } from "../args/shared_options.ts";
import { infoTable } from "../screen/table.ts";
import { escapedJson, writeLine } from "../screen/terminal.ts";
import { watchLines, watchLive } from "./watch.ts";

export const INFO: CommandSpec = {
  name: "info",
  summary: "shows streams, their groups, lag and consumers",
  synopsis: "info [SERVER | STREAM[,STREAM …]]",
  about: "Shows all streams of the server, or the given streams with their shards added up. The columns:\n\n" +
    "  lag       entries not yet delivered to a group (? if the server does not know)\n" +
    "  pending   entries delivered and not acknowledged\n" +
    "  oldest    the age of the oldest pending entry\n" +
    "  idle      the time since a consumer last made a request\n" +
    "  inactive  the time since a consumer last received an entry\n\n" +
    "With --watch, the table is redrawn together with the messages per second of each stream, until q or Ctrl-C. If the " +
    "server goes away, the last figures stay and a line says since when. If stdout is not a terminal, the table is printed " +
    "each time; with --json, one line of JSON.",
  positionals: { least: 0, most: 1 },
  options: [
    { name: "watch", value: "SECONDS", implied: "2", help: "Repeat after so many seconds (default: 2)" },
    { name: "json", help: "Print one line of JSON with all figures" },
    { name: "match", value: "GLOB", help: "Only keys that match; not together with stream names" },
  ],
  shared: [CONNECTION, SHORT_OUTPUT],
  examples: [
    ["sea-streamer info", "All streams of the server"],
    ["sea-streamer info redis://localhost/orders --watch", "A live view of one stream"],
    ["sea-streamer info --json | jq '.streams[] | select(.groups[].lag > 1000) | .stream'", "Streams that lag"],
  ],
};

/** Streams whose figures are requested at the same time. */
const AT_ONCE = 16;

/** Runs the command. */
export async function runInfo(task: Task): Promise<void> {
  const { system, given } = task;
  const address = await addressOf(system, given, given.positionals[0]);
  if (address.streamKeys.length > 0 && given.text("match") !== undefined) {
    throw new UsageError("--match cannot be combined with stream names");
  }
  const interval = given.seconds("watch");
  const live = interval !== undefined && system.screen.isTerminal && !given.flag("json");
  const note = (text: string) => {
    if (!live) writeLine(system.stderr, text);
  };
  await withStreamer(task, { address, note }, async (streamer) => {
    const manager = await streamer.createManager();
    const figures = { manager, address, added: addedOf(streamer, interval !== undefined) };
    const read = (signal: AbortSignal) => readStreams(task, figures, signal);
    const show = (rows: readonly StreamRow[], rates?: Rates) => print(task, rows, rates);
    if (interval === undefined) await show(await read(system.signal));
    else if (!live) await watchLines(system, { read, interval, show, note });
    else await watchLive(system, { read, interval, streamer, title: escapeControls(hidePassword(streamer.uri)) });
  });
  system.signal.throwIfAborted();
}

interface Figures {
  readonly manager: Manager;
  readonly address: Address;
  readonly added: CountAdded;
}

/** One request for a stream. */
interface Request {
  /** Whether the user has named the stream: then its shards are included. */
  readonly named: boolean;
  readonly signal: AbortSignal;
}

type CountAdded = (name: string, request: Request) => Promise<number | undefined>;

/** Counts the entries ever added, if rates are wanted and the server counts them. */
function addedOf(streamer: RedisStreamer, wanted: boolean): CountAdded {
  if (!wanted) return () => Promise.resolve(undefined);
  const [router, findShards] = [routerFor(streamer), shardFinder(streamer)];
  return async (name, { named, signal }) => {
    const { numbers } = named ? shardsIn(await findShards([name], signal), name) : { numbers: [] };
    const keys = numbers.length > 0 ? numbers.map((number) => shardRedisKey(name, number)) : [name];
    try {
      const counts = await Promise.all(keys.map((key) => router.run(entriesAdded(key), { signal })));
      return counts.reduce((sum, one) => sum === undefined || one === undefined ? undefined : sum + one, 0);
    } catch (error) {
      if (error instanceof RedisError) return undefined; // deleted meanwhile, or forbidden
      throw error;
    }
  };
}

/** The current figures of all streams. */
async function readStreams({ given }: Task, figures: Figures, signal: AbortSignal): Promise<StreamRow[]> {
  const { manager, address: { streamKeys }, added } = figures;
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
      return info === undefined ? [] : [{ name, info, added: await added(name, { named, signal }) }];
    });
    rows.push(...(await Promise.all(some)).flat());
  }
  return rows;
}

/** `undefined` for a key that was deleted since it was listed, or whose name this library does not accept. */
async function infoOf(
  manager: Manager,
  name: string,
  { named, signal }: Request,
): Promise<StreamInfo | undefined> {
  try {
    return await manager.info(name, named ? { sharded: true, signal } : { signal });
  } catch (error) {
    if (!isUncoded(error)) {
      if (!named && Object(error).code === "INVALID_STREAM_KEY") return undefined;
      throw error;
    }
    if (!named) return undefined;
    throw new CommandError(`Stream ${name} does not exist`, { cause: error });
  }
}

/** Prints the figures; resolves to false if the reader of stdout has gone away. */
async function print({ system, given }: Task, rows: readonly StreamRow[], rates?: Rates): Promise<boolean> {
  const json = given.flag("json");
  const text = json ? jsonOf(rows, rates) : tableOf(system.screen.isTerminal ? system.screen.columns : 120);
  const plain = new TextEncoder().encode(text);
  const bytes = json ? escapedJson(plain) : plain; // escaped in a pipe too: the value of the JSON stays the same
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
