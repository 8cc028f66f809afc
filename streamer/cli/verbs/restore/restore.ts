// `restore`: writes the entries of a dump into streams, with the same ids and fields.

import type { RedisStreamer } from "../../../streamer.ts";
import { checkStreamKey } from "../../../model/key.ts";
import { addressOf, formatOf } from "../../args/address.ts";
import { type CommandSpec, invalidValue } from "../../args/arguments.ts";
import { CommandError, UsageError } from "../../failure.ts";
import { plural } from "../../screen/figures.ts";
import type { Entry } from "../../formats/ndjson.ts";
import type { Progress } from "../../screen/progress.ts";
import { openEntries } from "../../formats/restore_source.ts";
import { RestoreWindow } from "./window.ts";
import { GRACE, GracePeriod, progressOf, type Task, withStreamer } from "../session.ts";
import { CONNECTION, DEFAULT_MAX_LINE, MAX_LINE, OUTPUT } from "../../args/shared_options.ts";

export const RESTORE: CommandSpec = {
  name: "restore",
  summary: "writes the entries of a dump into streams",
  synopsis: "restore FILE [STREAM]",
  about:
    "Writes the entries of a dump into the same streams and shards, with the same ids and fields. FILE is an ndjson or ss file, " +
    "detected by its content, or - for ndjson on stdin. STREAM is a server (redis://localhost), or another stream for all " +
    "entries. Use --as to rename several streams.\n\n" +
    "The server accepts an id only if it is above the last id of the stream. If the stream has newer entries, nothing is " +
    "written. The first refused entry ends the restore with its id and a count. With --skip-existing, existing entries are " +
    "compared, and skipped if they are equal: use it to repeat an interrupted restore.\n\n" +
    "The restore resumes after a reconnect, without duplicates. Empty lines and byte order marks are skipped.",
  positionals: { least: 1, most: 2 },
  options: [
    {
      name: "as",
      value: "OLD=NEW",
      multiple: true,
      help: "Write stream OLD as NEW; without OLD=, the dump must contain one stream only",
    },
    { name: "skip-existing", help: "Skip entries that exist already and are equal" },
    { name: "sharded", help: "From ss: write the key NAME:0 even if the stream has no shard other than 0" },
    MAX_LINE,
  ],
  shared: [CONNECTION, OUTPUT],
  examples: [
    ["sea-streamer restore orders.ndjson redis://new", "Into streams of the same names on another server"],
    ["sea-streamer restore orders.ndjson orders-copy", "Into another stream"],
    ["zcat orders.ndjson.gz | sea-streamer restore - --skip-existing", "From a pipe, after an interrupted restore"],
  ],
};

/** Runs the command. */
export async function runRestore(task: Task): Promise<void> {
  const { system, given } = task;
  const [path] = given.positionals;
  const address = await addressOf(system, given, given.positionals[1]);
  const names = new Names(given.list("as"), address.streamKeys);
  using progress = progressOf(task, "entry", { input: path === "-" });
  const note = (text: string) => progress.note(text);
  await using entries = await openEntries(system, path, {
    longest: given.bytes("max-line") ?? DEFAULT_MAX_LINE,
    field: given.text("message-field") ?? "msg",
    sharded: given.flag("sharded"),
    counts: progress.counts,
  });
  if (formatOf(given) === "nanoseconds" && entries.kind === "ss") {
    throw new UsageError("A .ss file has times in milliseconds: --timestamp-format nanoseconds cannot be used");
  }
  await withStreamer(task, { address, note }, async (streamer) => {
    await restoreAll({ task, streamer, names, progress }, entries);
  });
  system.signal.throwIfAborted();
}

interface Restore {
  readonly task: Task;
  readonly streamer: RedisStreamer;
  readonly names: Names;
  readonly progress: Progress;
}

async function restoreAll(
  { task: { system, given }, streamer, names, progress }: Restore,
  entries: AsyncIterable<readonly Entry[]>,
): Promise<void> {
  using grace = new GracePeriod(system.signal, GRACE);
  const window = new RestoreWindow(streamer, {
    skipExisting: given.flag("skip-existing"),
    counts: progress.counts,
    signal: grace.signal,
  });
  const { signal } = system;
  try {
    for await (const some of entries) {
      for (const entry of some) {
        const full = window.add(names.renamed(entry));
        if (full !== undefined) await full;
        if (signal.aborted) break;
      }
      if (signal.aborted) break;
    }
    await window.settled();
  } catch (error) {
    // Entries in flight are counted too. The first failure is reported.
    await window.settled().catch(() => {});
    if (error !== signal.reason) {
      progress.end("Restored", remarksOf(window));
      throw error;
    }
  }
  progress.end("Restored", remarksOf(window));
}

function remarksOf({ skipped }: RestoreWindow): string[] {
  return skipped > 0 ? [`${plural(skipped, "entry")} skipped`] : [];
}

/** The name under which each stream is written. */
class Names {
  readonly #all: string | undefined;
  readonly #each = new Map<string, string>();
  #only: string | undefined; // the only stream in the dump, if all entries get one name
  #last: { readonly key: string; readonly renamed: string } | undefined;

  constructor(as: readonly string[], streamKeys: readonly string[]) {
    if (streamKeys.length > 1) {
      throw new UsageError("Only one stream can be given: use --as OLD=NEW for several");
    }
    let all: string | undefined = streamKeys[0];
    for (const text of as) {
      const at = text.indexOf("=");
      if (at === 0) throw invalidValue("as", "OLD=NEW or NEW", text);
      if (at > 0) this.#each.set(checkStreamKey(text.slice(0, at)), checkStreamKey(text.slice(at + 1)));
      else if (all === undefined) all = checkStreamKey(text);
      else throw new UsageError("Only one target can be given for all entries");
    }
    if (all !== undefined && this.#each.size > 0) {
      throw new UsageError("--as OLD=NEW cannot be combined with a single target");
    }
    this.#all = all;
  }

  renamed(entry: Entry): Entry {
    const { stream, key } = entry;
    if (this.#all === undefined && this.#each.size === 0) return entry;
    if (this.#last?.key === key) return { ...entry, key: this.#last.renamed };
    if (this.#all !== undefined) {
      this.#only ??= stream;
      if (this.#only !== stream) {
        throw new CommandError(
          `The dump contains several streams, among them ${this.#only} and ${stream}: use --as OLD=NEW`,
        );
      }
    }
    const name = this.#all ?? this.#each.get(stream) ?? stream;
    const renamed = `${name}${key.slice(stream.length)}`;
    this.#last = { key, renamed };
    return { ...entry, key: renamed };
  }
}
