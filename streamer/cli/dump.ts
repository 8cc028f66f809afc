// `dump`: the entries of streams into a file, each shard up to where it ends at the beginning. It must not know how a file is
// laid out.

import { RedisError } from "../../resp/errors.ts";
import type { Manager } from "../manager/manager.ts";
import { FIRST_ID, type MessageId, type TimestampFormat } from "../model/id.ts";
import { fieldBytes, type Message, messageFields } from "../model/message.ts";
import { addressOf, formatOf, someStreams } from "./address.ts";
import type { CommandSpec } from "./arguments.ts";
import { CommandError, UsageError } from "./failure.ts";
import { keysOf } from "./keys.ts";
import { mergeById } from "./merge.ts";
import { NdjsonDump } from "./dump_ndjson.ts";
import { SsDump } from "./dump_ss.ts";
import type { DumpTarget } from "./dump_target.ts";
import type { Progress } from "./progress.ts";
import { type Note, progressOf, type Task, withStreamer } from "./session.ts";
import { CONNECTION, RANGE, TELLING } from "./shared_options.ts";
import { firstOf, isBehind, lastOf, parseBound } from "./times.ts";

export const DUMP: CommandSpec = {
  name: "dump",
  summary: "writes the entries of streams into a file",
  synopsis: "dump STREAM[,STREAM …] [--output FILE]",
  about:
    "Writes the entries of streams, all shards, in the order of their ids, up to where each ends when it begins (or to --until). " +
    "Memory stays flat, and a lost connection is gone on with. A file takes its name only when it is whole.\n\n" +
    'ndjson holds everything: {"stream", "shard", "key", "id", "fields": [[name, value], …]} a line, with {"base64": …} for what is ' +
    "not UTF-8; restore makes the same streams of it. Groups are not dumped. ss is the file of SeaStreamer: a payload, a time and a " +
    "sequence a message. An entry that it cannot hold (further fields, no payload, a second half of the id above 65535, nanoseconds, a key " +
    "with other characters than A–Z a–z 0–9 . _ -) ends the dump with exit code 3 and its id, and no file is made. With --lossy further " +
    "fields are left away, entries that cannot be held are left out, and both are counted.",
  words: { least: 1, most: 1 },
  options: [
    { name: "output", short: "o", value: "FILE", help: "The file; - (default) is stdout" },
    { name: "format", value: "FORMAT", help: "ndjson or ss; by default what the file's name ends with, else ndjson" },
    ...RANGE,
    { name: "lossy", help: "Into ss: what it can hold, and count the rest" },
    { name: "end-of-stream", help: "Into ss: mark the end, so that readers do not wait for more" },
  ],
  shared: [CONNECTION, TELLING],
  examples: [
    ["sea-streamer dump orders --output orders.ndjson", "Everything"],
    [
      "sea-streamer dump redis://localhost/orders --since 2026-01-01 --until 2026-01-31 -o january.ss",
      "A month, as a SeaStreamer file",
    ],
    ["sea-streamer dump orders | gzip > orders.ndjson.gz", "Through a pipe"],
  ],
};

/** Runs it. */
export async function runDump(task: Task): Promise<void> {
  const { system, given } = task;
  const address = await addressOf(system, given, given.words[0]);
  const streamKeys = someStreams(address);
  const output = given.text("output") ?? "-";
  const format = given.choice("format", ["ndjson", "ss"]) ?? (output.endsWith(".ss") ? "ss" : "ndjson");
  for (const name of ["lossy", "end-of-stream"]) {
    if (format !== "ss" && given.flag(name)) throw new UsageError(`Cannot use --${name} without --format ss`);
  }
  if (format === "ss" && output === "-") throw new UsageError("Cannot write ss to stdout: name a file by --output");
  const timestampFormat = formatOf(given);
  const range = rangeOf(task, timestampFormat);
  using progress = progressOf(task, "entry", { lines: output === "-" });
  const note = (text: string) => progress.note(text);
  await withStreamer(task, { address, note }, async (streamer) => {
    const manager = await streamer.createManager();
    const parts = await Promise.all(streamKeys.map((key) => partOf(manager, key, { range, task, note })));
    const known = given.text("since") === undefined && given.text("until") === undefined;
    if (known) progress.tally.total = parts.reduce((sum, { length }) => sum + length, 0);
    const target = format === "ss"
      ? await SsDump.create(system, output, {
        lossy: given.flag("lossy"),
        endOfStream: given.flag("end-of-stream"),
        field: fieldBytes(given.text("message-field") ?? "msg"),
        timestampFormat,
      })
      : await NdjsonDump.create(system, output);
    try {
      await dumpAll(manager, parts, { task, target, progress });
      await target.finish();
    } finally {
      await target.abandon();
    }
    progress.end("Dumped", target.remarks);
  });
}

/** The first and the last id that are wanted. */
interface WantedRange {
  readonly since: MessageId;
  /** `undefined`: where each shard ends now. */
  readonly until: MessageId | undefined;
}

function rangeOf({ system, given }: Task, format: TimestampFormat): WantedRange {
  const [since, until] = [given.text("since"), given.text("until")];
  const now = system.now();
  return {
    since: since === undefined ? FIRST_ID : firstOf(parseBound("since", since, now), format),
    until: until === undefined ? undefined : lastOf(parseBound("until", until, now), format),
  };
}

/** A stream as it is at the beginning. */
interface Part {
  readonly streamKey: string;
  readonly sharded: boolean;
  /** The Redis key of each shard that is not empty, and the last id that is wanted of it. */
  readonly shards: ReadonlyMap<number, { readonly redisKey: string; readonly last: MessageId }>;
  readonly length: number;
  readonly since: MessageId;
}

async function partOf(
  manager: Manager,
  streamKey: string,
  { range, task: { system: { signal } }, note }: {
    readonly range: WantedRange;
    readonly task: Task;
    readonly note: Note;
  },
): Promise<Part> {
  const found = await keysOf(manager, streamKey, { signal, note });
  const sharded = found.shards.length > 0;
  const keys = sharded ? found.shards : [{ shardId: 0, redisKey: streamKey }];
  const shards = new Map<number, { readonly redisKey: string; readonly last: MessageId }>();
  let length = 0;
  for (const { shardId, redisKey } of keys) {
    const choice = sharded ? { shardId, signal } : { signal };
    const [last] = await manager.range(streamKey, "-", range.until ?? "+", { ...choice, count: 1, reverse: true });
    if (last !== undefined) shards.set(shardId, { redisKey, last: last.id });
    length += await manager.length(streamKey, choice);
  }
  if (!sharded && length === 0) await mustExist(manager, streamKey, signal);
  return { streamKey, sharded, shards, length, since: range.since };
}

/** A stream may be empty, but a name that is mistyped must not look like it. */
async function mustExist(manager: Manager, streamKey: string, signal: AbortSignal): Promise<void> {
  try {
    await manager.info(streamKey, { signal });
  } catch (cause) {
    if (!(cause instanceof RedisError) || cause.code !== "ERR") throw cause;
    throw new CommandError(`Cannot dump ${streamKey} as there must be such a stream`, { cause });
  }
}

interface DumpJob {
  readonly task: Task;
  readonly target: DumpTarget;
  readonly progress: Progress;
}

async function dumpAll(manager: Manager, parts: readonly Part[], job: DumpJob): Promise<void> {
  const { task: { system: { signal } }, target, progress: { tally } } = job;
  const ranges = parts.filter(({ shards }) => shards.size > 0).map((part) => rangeOfPart(manager, part, signal));
  for await (const message of ranges.length === 1 ? ranges[0] : mergeById(ranges)) {
    const part = parts.find(({ streamKey }) => streamKey === message.streamKey);
    const shard = part?.shards.get(message.shardId);
    if (shard === undefined) continue; // it has come since
    const { id } = message;
    if (isBehind(id, shard.last)) continue; // another shard goes further
    const fields = messageFields(message);
    const more = target.add({ message, id, fields, redisKey: shard.redisKey });
    tally.count++;
    for (const field of fields) tally.bytes += field.length;
    if (!(typeof more === "boolean" ? more : await more)) return;
  }
  signal.throwIfAborted();
}

function rangeOfPart(
  manager: Manager,
  { streamKey, sharded, shards, since }: Part,
  signal: AbortSignal,
): AsyncIterable<Message> {
  const end = [...shards.values()].map(({ last }) => last).reduce((one, other) => isBehind(one, other) ? one : other);
  return manager.rangeAll(streamKey, since, end, sharded ? { sharded, signal } : { signal });
}
