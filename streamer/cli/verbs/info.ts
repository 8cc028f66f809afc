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
import { type NodeRow, nodeTable } from "../screen/node_table.ts";
import type { Rates, ShardPlace, StreamRow } from "../screen/rates.ts";
import { placesOf } from "./places.ts";
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
    { name: "nodes", help: "Also show the node of each shard, and the nodes with their slots and connections" },
  ],
  shared: [CONNECTION, SHORT_OUTPUT],
  examples: [
    ["sea-streamer info", "All streams of the server"],
    ["sea-streamer info redis://localhost/orders --watch", "A live view of one stream"],
    ["sea-streamer info redis://node-1,node-2/orders --nodes", "Where the shards of a stream are in a cluster"],
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
    const added = addedOf(streamer, interval !== undefined);
    const places: FindPlaces = (name, options) =>
      given.flag("nodes") ? placesOf(name, { streamer, manager, ...options }) : Promise.resolve(undefined);
    const figures = { manager, address, added, places };
    const read = (signal: AbortSignal) => readStreams(task, figures, signal);
    const nodes = () => given.flag("nodes") ? streamer.stats().nodes : undefined;
    const show = (rows: readonly StreamRow[], rates?: Rates) => print(task, { rows, rates, nodes: nodes() });
    const title = escapeControls(hidePassword(streamer.uri));
    if (interval === undefined) await show(await read(system.signal));
    else if (!live) await watchLines(system, { read, interval, show, note });
    else await watchLive(system, { read, interval, streamer, title, nodes });
  });
  system.signal.throwIfAborted();
}

interface Figures {
  readonly manager: Manager;
  readonly address: Address;
  readonly added: CountAdded;
  readonly places: FindPlaces;
}

/** One request for a stream. */
interface Request {
  /** Whether the user has named the stream: then its shards are included. */
  readonly named: boolean;
  readonly signal: AbortSignal;
}

type FindPlaces = (name: string, request: Request) => Promise<readonly ShardPlace[] | undefined>;
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
  const { manager, address: { streamKeys }, added, places } = figures;
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
      const request = { named, signal };
      const info = await infoOf(manager, name, request);
      if (info === undefined) return [];
      return [{ name, info, added: await added(name, request), places: await places(name, request) }];
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

/** What is printed. */
interface Printed {
  readonly rows: readonly StreamRow[];
  readonly rates?: Rates | undefined;
  /** `undefined` if they are not wanted. */
  readonly nodes: readonly NodeRow[] | undefined;
}

/** Prints the figures; resolves to false if the reader of stdout has gone away. */
async function print({ system, given }: Task, printed: Printed): Promise<boolean> {
  const json = given.flag("json");
  const { isTerminal, columns } = system.screen;
  const layout = { columns: isTerminal ? columns : 120, color: isTerminal && !system.env("NO_COLOR") };
  const text = json ? jsonOf(printed) : tableOf(printed, layout);
  const plain = new TextEncoder().encode(text);
  const bytes = json ? escapedJson(plain) : plain; // escaped in a pipe too: the value of the JSON stays the same
  return await system.stdout.write(bytes, system.signal) === bytes.length;
}

function tableOf(
  { rows, rates, nodes }: Printed,
  layout: { readonly columns: number; readonly color: boolean },
): string {
  const lines = infoTable(rows, { ...layout, rates });
  if (nodes !== undefined) lines.push("", ...nodeTable(nodes, layout));
  return `${lines.join("\n")}\n`;
}

function jsonOf({ rows, rates, nodes }: Printed): string {
  const streams = rows.map(({ name, info, places }) => ({
    stream: name,
    ...(rates === undefined ? {} : { rate: rates.of(name) ?? null }),
    ...info,
    ...(places === undefined ? {} : { shards: places.map(({ shard = 0, ...place }) => ({ shard, ...place })) }),
  }));
  return `${JSON.stringify({ time: new Date().toISOString(), ...(nodes === undefined ? {} : { nodes }), streams })}\n`;
}
