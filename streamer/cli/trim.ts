// `trim`: cuts streams. It must not know how.

import { addressOf, someStreams } from "./address.ts";
import type { CommandSpec, Given } from "./arguments.ts";
import { UsageError } from "./failure.ts";
import { plural } from "./figures.ts";
import { type Task, withStreamer } from "./session.ts";
import { CONNECTION, TELLING_LITTLE } from "./shared_options.ts";
import { parseOnlyTime } from "./times.ts";

export const TRIM: CommandSpec = {
  name: "trim",
  summary: "removes old entries of streams",
  synopsis: "trim STREAM[,STREAM …] (--max-length N | --min-time TIME | --acknowledged)",
  about:
    "Removes the oldest entries of streams, of every shard. By default it cuts at the next border of a node of about 100 entries: a " +
    "few more stay, never fewer; --exact cuts just there. --acknowledged removes only what stands in front of the first entry that some group " +
    "has not acknowledged or was not given; without groups nothing.",
  words: { least: 1, most: 1 },
  options: [
    { name: "max-length", value: "N", help: "Keep the newest N entries; of each shard" },
    { name: "min-time", value: "TIME", help: "Keep what is of this time or newer" },
    { name: "acknowledged", help: "Keep what a group still needs" },
    { name: "exact", help: "Cut exactly there" },
    { name: "json", help: "One line of JSON for each stream" },
  ],
  shared: [CONNECTION, TELLING_LITTLE],
  examples: [
    ["sea-streamer trim orders --min-time 7d", "Keep a week"],
    ["sea-streamer trim orders,returns --acknowledged", "Keep what is still to be done"],
  ],
};

/** Runs it. */
export async function runTrim(task: Task): Promise<void> {
  const { system, given } = task;
  const target = targetOf(given, system.now());
  const address = await addressOf(system, given, given.words[0]);
  const streamKeys = someStreams(address);
  const note = (text: string) => system.stderr.write(`${text}\n`);
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
  if ([maxLength !== undefined, minTime !== undefined, acknowledged].filter(Boolean).length !== 1) {
    throw new UsageError("Cannot trim without one of --max-length, --min-time and --acknowledged");
  }
  if (maxLength !== undefined) return { maxLength };
  if (minTime !== undefined) return { minTimestamp: parseOnlyTime("min-time", minTime, now) };
  return { acknowledged: true };
}
