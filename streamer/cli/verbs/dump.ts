// `dump`: writes the entries of streams into a file, each shard up to its end at the start of the dump.

import { isUncoded } from "../../../resp/connection/server_errors.ts";
import type { Manager } from "../../manager/manager.ts";
import { FIRST_ID, isAfter, type MessageId, type TimestampFormat } from "../../model/id.ts";
import { type Message, messageFields } from "../../model/message.ts";
import { fieldBytes } from "../../model/message_headers.ts";
import { addressOf, formatOf, someStreams } from "../args/address.ts";
import type { CommandSpec } from "../args/arguments.ts";
import { CommandError, UsageError } from "../failure.ts";
import { keysOf } from "./keys.ts";
import { mergeById } from "../formats/merge.ts";
import { NdjsonDump } from "../formats/dump_ndjson.ts";
import { SsDump } from "../formats/dump_ss.ts";
import type { DumpTarget } from "../formats/dump_target.ts";
import type { Progress } from "../screen/progress.ts";
import { type Note, progressOf, type Task, withStreamer } from "./session.ts";
import { CONNECTION, OUTPUT, RANGE } from "../args/shared_options.ts";
import { firstOf, lastOf, parseBound } from "../args/times.ts";

export const DUMP: CommandSpec = {
  name: "dump",
  summary: "writes the entries of streams into a file",
  synopsis: "dump STREAM[,STREAM …] [--output FILE]",
  about:
    "Writes the entries of streams in the order of their ids, all shards included. Each shard is dumped up to its last entry " +
    "when the command starts, or up to --until. Memory use is constant. The dump resumes after a reconnect.\n\n" +
    "A file gets its name when it is complete. A replaced file passes on its mode and owner.\n\n" +
    "The ndjson format is lossless. Each line is a JSON object with stream, shard, key, id and fields. The fields are an " +
    'array of [name, value], and bytes that are not UTF-8 are {"base64": …}. The command restore recreates the same streams. ' +
    "Groups are not dumped.\n\n" +
    "The ss format is SeaStreamer's file format: a payload, a time and a sequence for each message. Some entries do not fit " +
    "into it:\n\n" +
    "  - entries with more fields than the payload, or without a payload\n" +
    "  - ids whose second half is above 65535, or with nanoseconds\n" +
    "  - stream keys with other characters than A–Z a–z 0–9 . _ -\n\n" +
    "Such an entry ends the dump with exit code 3 and its id, and no file is created. With --lossy, other fields are dropped " +
    "and such entries are skipped; both are counted.",
  positionals: { least: 1, most: 1 },
  options: [
    { name: "output", short: "o", value: "FILE", help: "The file (default: -, which is stdout)" },
    { name: "format", value: "FORMAT", help: "ndjson or ss (default: the extension of the file, otherwise ndjson)" },
    ...RANGE,
    { name: "lossy", help: "ss only: drop fields and entries that do not fit, and count them" },
    { name: "end-of-stream", help: "ss only: mark the end, so that readers do not wait for more" },
  ],
  shared: [CONNECTION, OUTPUT],
  examples: [
    ["sea-streamer dump orders --output orders.ndjson", "Everything"],
    [
      "sea-streamer dump redis://localhost/orders --since 2026-01-01 --until 2026-01-31 -o january.ss",
      "One month, as a SeaStreamer file",
    ],
    ["sea-streamer dump orders | gzip > orders.ndjson.gz", "Through a pipe"],
  ],
};

/** Runs the command. */
export async function runDump(task: Task): Promise<void> {
  const { system, given } = task;
  const address = await addressOf(system, given, given.positionals[0]);
  const streamKeys = someStreams(address);
  const output = given.text("output") ?? "-";
  const format = given.choice("format", ["ndjson", "ss"]) ?? (output.endsWith(".ss") ? "ss" : "ndjson");
  for (const name of ["lossy", "end-of-stream"]) {
    if (format !== "ss" && given.flag(name)) throw new UsageError(`--${name} requires --format ss`);
  }
  if (format === "ss" && output === "-") {
    throw new UsageError("The ss format cannot be written to stdout: name a file with --output");
  }
  const timestampFormat = formatOf(given);
  const range = rangeOf(task, timestampFormat);
  using progress = progressOf(task, "entry", { lines: output === "-" });
  const note = (text: string) => progress.note(text);
  await withStreamer(task, { address, note }, async (streamer) => {
    const manager = await streamer.createManager();
    const parts = await Promise.all(streamKeys.map((key) => partOf(manager, key, { range, task, note })));
    const known = given.text("since") === undefined && given.text("until") === undefined;
    if (known) progress.counts.total = parts.reduce((sum, { length }) => sum + length, 0);
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

/** The first and the last id to dump. */
interface WantedRange {
  readonly since: MessageId;
  /** `undefined` for the current end of each shard. */
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

/** A stream at the start of the dump. */
interface Part {
  readonly streamKey: string;
  readonly sharded: boolean;
  /** The Redis key of each shard that is not empty, and the last id to dump. */
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

/** Rejects for a missing stream: an empty one may be dumped, a mistyped name must not look like one. */
async function mustExist(manager: Manager, streamKey: string, signal: AbortSignal): Promise<void> {
  try {
    await manager.info(streamKey, { signal });
  } catch (cause) {
    if (!isUncoded(cause)) throw cause;
    throw new CommandError(`Stream ${streamKey} does not exist`, { cause });
  }
}

interface DumpJob {
  readonly task: Task;
  readonly target: DumpTarget;
  readonly progress: Progress;
}

async function dumpAll(manager: Manager, parts: readonly Part[], job: DumpJob): Promise<void> {
  const { task: { system: { signal } }, target, progress: { counts } } = job;
  const ranges = parts.filter(({ shards }) => shards.size > 0).map((part) => rangeOfPart(manager, part, signal));
  for await (const message of ranges.length === 1 ? ranges[0] : mergeById(ranges)) {
    const part = parts.find(({ streamKey }) => streamKey === message.streamKey);
    const shard = part?.shards.get(message.shardId);
    if (shard === undefined) continue; // added since the start
    const { id } = message;
    if (isAfter(id, shard.last)) continue; // past the end of this shard, but not of another one
    const fields = messageFields(message);
    const more = target.add({ message, id, fields, redisKey: shard.redisKey });
    counts.count++;
    for (const field of fields) counts.bytes += field.length;
    if (!(typeof more === "boolean" ? more : await more)) return;
  }
  signal.throwIfAborted();
}

function rangeOfPart(
  manager: Manager,
  { streamKey, sharded, shards, since }: Part,
  signal: AbortSignal,
): AsyncIterable<Message> {
  const end = [...shards.values()].map(({ last }) => last).reduce((one, other) => isAfter(one, other) ? one : other);
  return manager.rangeAll(streamKey, since, end, sharded ? { sharded, signal } : { signal });
}
