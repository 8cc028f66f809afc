// `trim`: removes old entries of streams.

import { addressOf, someStreams } from "../args/address.ts";
import type { CommandSpec, Given } from "../args/arguments.ts";
import { UsageError } from "../failure.ts";
import { plural } from "../screen/figures.ts";
import { type Task, withStreamer } from "./session.ts";
import { CONNECTION, SHORT_OUTPUT } from "../args/shared_options.ts";
import { writeLine } from "../screen/terminal.ts";
import { parseOnlyTime } from "../args/times.ts";

export const TRIM: CommandSpec = {
  name: "trim",
  summary: "removes old entries of streams",
  synopsis: "trim STREAM[,STREAM …] (--max-length | --min-time | --acknowledged)",
  about:
    "Removes the oldest entries of streams, in every shard. By default, Redis removes whole nodes of about 100 entries: some " +
    "more entries may remain, never fewer. --exact removes exactly.\n\n" +
    "--acknowledged removes entries only before the first one that a group has not received or not acknowledged. Without groups, " +
    "it removes nothing.",
  positionals: { least: 1, most: 1 },
  options: [
    { name: "max-length", value: "N", help: "Keep the newest N entries of each shard" },
    { name: "min-time", value: "TIME", help: "Keep entries of this time or newer" },
    { name: "acknowledged", help: "Keep entries that a group still needs" },
    { name: "exact", help: "Remove exactly, instead of whole nodes" },
    { name: "json", help: "Print one line of JSON for each stream" },
  ],
  shared: [CONNECTION, SHORT_OUTPUT],
  examples: [
    ["sea-streamer trim orders --min-time 7d", "Keep one week"],
    ["sea-streamer trim orders,returns --acknowledged", "Remove entries that all groups have acknowledged"],
  ],
};

/** Runs the command. */
export async function runTrim(task: Task): Promise<void> {
  const { system, given } = task;
  const target = targetOf(given, system.now());
  const address = await addressOf(system, given, given.positionals[0]);
  const streamKeys = someStreams(address);
  const note = (text: string) => writeLine(system.stderr, text);
  await withStreamer(task, { address, note }, async (streamer) => {
    const manager = await streamer.createManager();
    for (const streamKey of streamKeys) {
      const removed = await manager.trim(streamKey, {
        ...target,
        exact: given.flag("exact"),
        sharded: true,
        signal: system.signal,
      });
      const line = given.flag("json")
        ? JSON.stringify({ stream: streamKey, removed })
        : `${streamKey}: ${plural(removed, "entry")} removed`;
      await system.stdout.write(new TextEncoder().encode(`${line}\n`), system.signal);
    }
  });
}

type Target =
  | { readonly maxLength: number }
  | { readonly minTimestamp: Date | bigint }
  | { readonly acknowledged: true };

function targetOf(given: Given, now: number): Target {
  const maxLength = given.integer("max-length", { min: 0 });
  const minTime = given.text("min-time");
  const acknowledged = given.flag("acknowledged");
  const chosen = [
    ...(maxLength === undefined ? [] : ["--max-length"]),
    ...(minTime === undefined ? [] : ["--min-time"]),
    ...(acknowledged ? ["--acknowledged"] : []),
  ];
  if (chosen.length === 0) throw new UsageError("trim requires one of --max-length, --min-time and --acknowledged");
  if (chosen.length > 1) throw new UsageError(`${chosen.join(" and ")} cannot be combined: give one of them`);
  if (maxLength !== undefined) return { maxLength };
  if (minTime !== undefined) return { minTimestamp: parseOnlyTime("min-time", minTime, now) };
  return { acknowledged: true };
}
