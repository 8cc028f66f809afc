// `restore`: entries of a file into streams, with the ids and fields they had. It must not know how a file is laid out, nor how
// entries are written.

import type { RedisStreamer } from "../streamer.ts";
import { checkStreamKey } from "../model/key.ts";
import { addressOf, formatOf } from "./address.ts";
import { cannotUse, type CommandSpec } from "./arguments.ts";
import { CommandError, UsageError } from "./failure.ts";
import { plural } from "./figures.ts";
import type { Entry } from "./ndjson.ts";
import type { Progress } from "./progress.ts";
import { openEntries } from "./restore_source.ts";
import { RestoreWindow } from "./restore_window.ts";
import { GRACE, GracePeriod, progressOf, type Task, withStreamer } from "./session.ts";
import { CONNECTION, DEFAULT_MAX_LINE, MAX_LINE, TELLING } from "./shared_options.ts";

export const RESTORE: CommandSpec = {
  name: "restore",
  summary: "writes the entries of a dump into streams again",
  synopsis: "restore FILE [STREAM]",
  about:
    "Writes what dump has written, ndjson or ss (told apart by what is in it; - is stdin, for ndjson only), into the same streams and " +
    "shards: with the same ids, and the same fields in the same order. STREAM is a server (redis://localhost), or names another stream " +
    "for all of it. Into several streams of other names it goes by --as.\n\n" +
    "A server takes an id only if it is above the stream's last one: into a stream that goes further already nothing is written, and what " +
    "is refused ends it, with its id and a count. With --skip-existing what is there already is compared, and passed over if it is the " +
    "same, so that a restore that broke off can be run again. A lost connection is gone on with, and nothing stands twice.",
  words: { least: 1, most: 2 },
  options: [
    {
      name: "as",
      value: "OLD=NEW",
      multiple: true,
      help: "Write the stream OLD as NEW; without OLD= for all there is, which must be one",
    },
    { name: "skip-existing", help: "Pass over entries that are there already, the same" },
    { name: "sharded", help: "From ss: write NAME:0 also where there is no shard but 0" },
    MAX_LINE,
  ],
  shared: [CONNECTION, TELLING],
  examples: [
    ["sea-streamer restore orders.ndjson redis://new", "Into streams of the same names on another server"],
    ["sea-streamer restore orders.ndjson orders-copy", "Into another stream"],
    ["zcat orders.ndjson.gz | sea-streamer restore - --skip-existing", "From a pipe, going on with what is there"],
  ],
};

/** Runs it. */
export async function runRestore(task: Task): Promise<void> {
  const { system, given } = task;
  const [path] = given.words;
  const address = await addressOf(system, given, given.words[1]);
  const names = new Names(given.list("as"), address.streamKeys);
  using progress = progressOf(task, "entry");
  const note = (text: string) => progress.note(text);
  await using entries = await openEntries(system, path, {
    longest: given.bytes("max-line") ?? DEFAULT_MAX_LINE,
    field: given.text("message-field") ?? "msg",
    sharded: given.flag("sharded"),
    tally: progress.tally,
  });
  if (formatOf(given) === "nanoseconds" && entries.kind === "ss") {
    throw new UsageError("Cannot restore .ss with nanoseconds, since its times are milliseconds");
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
    tally: progress.tally,
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
    // What is under way is counted, too. The first failure counts.
    await window.settled().catch(() => {});
    if (error !== signal.reason) {
      progress.end("Restored", remarksOf(window));
      throw error;
    }
  }
  progress.end("Restored", remarksOf(window));
}

function remarksOf({ skipped }: RestoreWindow): string[] {
  return skipped > 0 ? [`${plural(skipped, "entry")} were there already`] : [];
}

/** Under which name each stream is written. */
class Names {
  readonly #all: string | undefined;
  readonly #each = new Map<string, string>();
  #only: string | undefined; // the stream that all is renamed from
  #last: { readonly key: string; readonly renamed: string } | undefined;

  constructor(as: readonly string[], streamKeys: readonly string[]) {
    if (streamKeys.length > 1) {
      throw new UsageError("Cannot restore into several streams: name one, or use --as OLD=NEW");
    }
    let all: string | undefined = streamKeys[0];
    for (const text of as) {
      const at = text.indexOf("=");
      if (at === 0) throw cannotUse("as", "OLD=NEW or NEW", text);
      if (at > 0) this.#each.set(checkStreamKey(text.slice(0, at)), checkStreamKey(text.slice(at + 1)));
      else if (all === undefined) all = checkStreamKey(text);
      else throw new UsageError("Cannot give all streams two names");
    }
    if (all !== undefined && this.#each.size > 0) {
      throw new UsageError("Cannot use --as OLD=NEW where all has one name");
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
          `Cannot restore ${stream} as ${this.#all} as ${this.#only} is, too: say which by --as OLD=NEW`,
        );
      }
    }
    const name = this.#all ?? this.#each.get(stream) ?? stream;
    const renamed = `${name}${key.slice(stream.length)}`;
    this.#last = { key, renamed };
    return { ...entry, key: renamed };
  }
}
