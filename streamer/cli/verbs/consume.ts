// `consume`: writes each message as a line to stdout, and acknowledges it once the line has been written.

import { classOf } from "../../../resp/connection/server_errors.ts";
import type { AckConsumer, Consumer } from "../../consumer/consumer.ts";
import type { RollingOptions } from "../../consumer/group_options.ts";
import type { ReadingOptions } from "../../consumer/options.ts";
import { previousId } from "../../model/id.ts";
import type { Message } from "../../model/message.ts";
import { fieldBytes } from "../../model/message_headers.ts";
import type { RedisStreamer } from "../../streamer.ts";
import { addressOf, formatOf, someStreams } from "../args/address.ts";
import type { CommandSpec, Given } from "../args/arguments.ts";
import { ByteBuilder } from "../byte_builder.ts";
import { UsageError } from "../failure.ts";
import { jsonWriter, type WriteMessage, writePayload } from "../formats/message_line.ts";
import type { Progress } from "../screen/progress.ts";
import { GRACE, GracePeriod, type Note, progressOf, type Task, withMkstreamHint, withStreamer } from "./session.ts";
import { CONNECTION, OUTPUT, RANGE } from "../args/shared_options.ts";
import { escapedJson, escapedText, escapedWriter } from "../screen/terminal.ts";
import { firstOf, lastOf, parseBound } from "../args/times.ts";
import { UntilWatch } from "./until.ts";

export const CONSUME: CommandSpec = {
  name: "consume",
  summary: "writes each message as a line to stdout",
  synopsis: "consume STREAM[,STREAM …]",
  about:
    "Writes the payload of each message and a newline to stdout, and waits for more messages until it is stopped. With --json, " +
    "each line holds the whole message. A payload with newlines becomes several lines without --json. In JSON, bytes that are " +
    'not UTF-8 are {"base64": …}. A sequence is a string, since it exceeds the numbers of most JSON readers.\n\n' +
    "In real time (the default) there is no group. Reading starts now, or at --from or --since. A missing stream is not " +
    "created: consume waits for its first message, and says so.\n\n" +
    "In a group, a message is acknowledged once its line has been written to stdout. Other messages are delivered again. A " +
    "resumable group has one consumer, which resumes where it stopped. The consumers of a load-balanced group share the " +
    "messages. A missing stream is an error, unless --mkstream creates it. If the program that reads stdout exits, at most " +
    "64 KiB of acknowledged lines are lost with the pipe.\n\n" +
    "On a terminal, control characters are shown as escapes such as \\x1b. Pipes and files get the bytes unchanged.",
  positionals: { least: 1, most: 1 },
  options: [
    { name: "json", help: "Print JSON: stream, shard, id, sequence, timestamp, headers, payload" },
    { name: "mode", value: "MODE", help: "real-time (default), resumable or load-balanced" },
    { name: "group", value: "NAME", help: "The group (default: named after this machine)" },
    { name: "consumer", value: "NAME", help: "The name of this consumer in its group" },
    { name: "from", value: "WHERE", help: "Start without a stored position: beginning or end (default)" },
    ...RANGE.map((option) =>
      option.name === "since" ? { ...option, help: `${option.help}. In a group, this moves the group` } : {
        ...option,
        help: `${option.help}. In real time only; reading starts at the beginning, or at --since`,
      }
    ),
    { name: "count", value: "N", help: "Stop after N messages" },
    { name: "shards", value: "N", help: "Read the shards 0 to N−1 (default: all existing shards)" },
    { name: "batch-size", value: "N", help: "The most entries in one request (default in a load-balanced group: 100)" },
    { name: "mkstream", help: "Create a missing stream, empty, together with its group" },
  ],
  shared: [CONNECTION, OUTPUT],
  examples: [
    ["sea-streamer consume orders --from beginning", "All existing messages, then new ones"],
    ["sea-streamer consume orders --since 15m --json | jq -r .headers.trace", "The last 15 minutes, then new messages"],
    ["sea-streamer consume orders --mode load-balanced --group billing", "A part of the messages of a group"],
  ],
};

type GroupMode = "resumable" | "load-balanced";
type Mode = "real-time" | GroupMode;

/** Bytes that are written to stdout at once: the capacity of a pipe. Their messages are acknowledged before the next write. */
const PIECE = 64 * 1024;
/** The page size in a shared group. The library's default of 10 is for work that takes longer than writing a line. */
const SHARED_PAGE = 100;

/** Runs the command. */
export async function runConsume(task: Task): Promise<void> {
  const { system, given } = task;
  const mode = given.choice<Mode>("mode", ["real-time", "resumable", "load-balanced"]) ?? "real-time";
  checkTogether(given, mode);
  const address = await addressOf(system, given, given.positionals[0]);
  const streamKeys = someStreams(address);
  const [format, now] = [formatOf(given), system.now()];
  const since = given.text("since");
  const until = given.text("until");
  const start = since === undefined ? undefined : firstOf(parseBound("since", since, now), format);
  const end = until === undefined ? undefined : lastOf(parseBound("until", until, now), format);
  const limit = given.integer("count", { min: 1 }) ?? Infinity;
  const reading = readingOptions(given, mode, limit);
  const field = fieldBytes(given.text("message-field") ?? "msg");
  const json = given.flag("json");
  const plain = json ? jsonWriter({ field, format }) : writePayload;
  const write = system.stdout.isTerminal ? escapedWriter(plain, json ? escapedJson : escapedText) : plain;
  using progress = progressOf(task, "message", { lines: true });
  const note = (text: string) => progress.note(text);
  await withStreamer(task, { address, note }, async (streamer) => {
    const { consumer, acks } = await open(streamer, streamKeys, { given, mode, reading });
    try {
      if (mode === "real-time" && end === undefined) {
        noteMissing(streamer, consumer, { note, signal: system.signal }).catch(() => {});
      }
      if (start !== undefined) {
        const position = previousId(start) ?? "beginning";
        if (acks !== undefined) await acks.rewind(position, { group: true, signal: system.signal });
        else await consumer.rewind(position, { signal: system.signal });
      }
      const watch = end === undefined
        ? undefined
        : await UntilWatch.open(await streamer.createManager(), consumer.streamShards, { start, end, system, format });
      await new Writing({ task, consumer, acks, write, limit, watch, progress }).run();
      await consumer.end({ timeout: GRACE }); // sends the acknowledgements
    } catch (error) {
      await consumer.end({ timeout: GRACE }).catch(() => {}); // the first failure counts
      if (progress.counts.count > 0) progress.end("Consumed");
      throw withMkstreamHint(error, streamKeys);
    }
    progress.end("Consumed");
  });
  system.signal.throwIfAborted();
}

/** Notes streams that do not exist, since a mistyped name would otherwise wait in silence. Any other failure is left to the consumer. */
async function noteMissing(
  streamer: RedisStreamer,
  { streamShards }: Consumer,
  { note, signal }: { readonly note: Note; readonly signal: AbortSignal },
): Promise<void> {
  const manager = await streamer.createManager();
  const sharded = new Set(streamShards.filter(({ shardId }) => shardId > 0).map(({ streamKey }) => streamKey));
  for (const { streamKey, shardId } of streamShards) {
    if (shardId > 0 || sharded.has(streamKey) || await manager.length(streamKey, { signal }) > 0) continue;
    try {
      await manager.info(streamKey, { sharded: true, signal });
    } catch (error) {
      if (classOf(error) === "stream-missing") {
        note(`Stream ${streamKey} does not exist yet: waiting for its first message`);
      }
    }
  }
}

function checkTogether(given: Given, mode: Mode): void {
  const grouped = mode !== "real-time";
  for (const name of ["group", "consumer", "mkstream"]) {
    if (!grouped && (given.text(name) !== undefined || given.flag(name))) {
      throw new UsageError(`--${name} requires --mode resumable or --mode load-balanced`);
    }
  }
  if (grouped && given.text("until") !== undefined) throw new UsageError("--until cannot be used in a group");
  if (given.text("from") !== undefined && given.text("since") !== undefined) {
    throw new UsageError("--from cannot be combined with --since");
  }
  if (given.text("from") === "end" && given.text("until") !== undefined) {
    throw new UsageError("--from end cannot be combined with --until: give the start with --since");
  }
}

interface Opened {
  readonly consumer: Consumer;
  /** The same consumer, if it acknowledges. */
  readonly acks: AckConsumer | undefined;
}

async function open(
  streamer: RedisStreamer,
  streamKeys: readonly string[],
  { given, mode, reading }: { readonly given: Given; readonly mode: Mode; readonly reading: ReadingOptions },
): Promise<Opened> {
  if (mode === "real-time") {
    return { consumer: await streamer.createConsumer(streamKeys, { ...reading, mode }), acks: undefined };
  }
  const consumer = await streamer.createConsumer(streamKeys, groupOptions(given, mode, reading));
  return { consumer, acks: consumer };
}

/** The options of every consumer. */
export function readingOptions(given: Given, mode: Mode, limit: number): ReadingOptions {
  const all = given.text("until") === undefined ? undefined : "beginning";
  const from = given.choice("from", ["beginning", "end"]) ?? all;
  const shards = given.integer("shards", { min: 1, max: 1024 });
  const asked = given.integer("batch-size", { min: 1, max: 1_000_000 });
  const page = asked ?? (mode === "load-balanced" ? SHARED_PAGE : undefined);
  const few = limit < (page ?? 1000);
  // Entries that a group reads ahead and does not write would stay pending until another consumer claims them.
  const ahead = mode === "real-time" ? !few : limit === Infinity;
  const batchSize = few ? limit : page;
  return {
    ...(from === undefined ? {} : { autoStreamReset: from === "beginning" ? "earliest" : "latest" }),
    ...(shards === undefined ? {} : { shards }),
    ...(batchSize === undefined ? {} : { batchSize }),
    ...(ahead ? {} : { prefetch: 0 }),
  };
}

/** The options of a consumer in a group. */
export function groupOptions(given: Given, mode: GroupMode, reading: ReadingOptions): RollingOptions {
  const group = given.text("group");
  const consumerId = given.text("consumer");
  return {
    ...reading,
    mode,
    autoCommit: "rolling",
    mkstream: given.flag("mkstream"),
    ...(group === undefined ? {} : { group }),
    ...(consumerId === undefined ? {} : { consumerId }),
  };
}

interface WritingParts extends Opened {
  readonly task: Task;
  readonly write: WriteMessage;
  readonly limit: number;
  readonly watch: UntilWatch | undefined;
  readonly progress: Progress;
}

/** Writes batches of messages until there is a reason to stop. */
class Writing {
  readonly #parts: WritingParts;
  readonly #out = new ByteBuilder(256 * 1024);
  #messages: Message[] = [];
  #ends: number[] = []; // the end of each message's line in the buffer
  #left: number;

  constructor(parts: WritingParts) {
    this.#parts = parts;
    this.#left = parts.limit;
  }

  async run(): Promise<void> {
    const { task: { system }, consumer, watch } = this.#parts;
    using grace = new GracePeriod(system.signal, GRACE);
    let batches: AsyncIterableIterator<Message[]> | undefined;
    const stop = () => void batches?.return?.();
    system.signal.addEventListener("abort", stop);
    watch?.onDone(stop);
    try {
      while (this.#left > 0 && !system.signal.aborted && watch?.done !== true) {
        // With a limit, each batch has an iterator of its own, which takes no more messages than are wanted.
        batches ??= consumer.batches(this.#left === Infinity ? {} : { max: this.#left });
        const { value, done } = await batches.next();
        if (done) break;
        if (!await this.#writeAll(value, grace.signal)) break;
        if (this.#left < Infinity) {
          await batches.return?.();
          batches = undefined;
        }
      }
    } finally {
      system.signal.removeEventListener("abort", stop);
      await batches?.return?.();
      watch?.[Symbol.dispose]();
    }
  }

  /** False if the reader of stdout has gone away. */
  async #writeAll(batch: readonly Message[], signal: AbortSignal): Promise<boolean> {
    const { task: { system }, write, acks, watch, progress: { counts } } = this.#parts;
    this.#out.clear();
    this.#messages = [];
    this.#ends = [];
    for (const message of batch) {
      if (watch !== undefined && !watch.admits(message)) continue;
      write(this.#out, message);
      this.#messages.push(message);
      this.#ends.push(this.#out.length);
    }
    const bytes = this.#out.content;
    let taken = 0;
    let written = 0;
    for (let end = 0; taken === end && end < bytes.length;) {
      end = Math.min(end + PIECE, bytes.length);
      taken += await system.stdout.write(bytes.subarray(taken, end), signal);
      for (; written < this.#ends.length && this.#ends[written] <= taken; written++) acks?.ack(this.#messages[written]);
    }
    counts.count += written;
    counts.bytes += taken;
    this.#left -= written;
    return taken === bytes.length;
  }
}
