// `consume`: a message a line of stdout, acknowledged when the line has been taken. It must not know how messages are read.

import type { AckConsumer, Consumer } from "../consumer/consumer.ts";
import type { RollingOptions } from "../consumer/group_options.ts";
import type { ReadingOptions } from "../consumer/options.ts";
import { previousId } from "../model/id.ts";
import { fieldBytes, type Message } from "../model/message.ts";
import type { RedisStreamer } from "../streamer.ts";
import { addressOf, formatOf, someStreams } from "./address.ts";
import type { CommandSpec, Given } from "./arguments.ts";
import { Chunk } from "./chunk.ts";
import { UsageError } from "./failure.ts";
import { jsonWriter, type WriteMessage, writePayload } from "./message_line.ts";
import type { Progress } from "./progress.ts";
import { GRACE, GracePeriod, progressOf, type Task, withStreamer } from "./session.ts";
import { CONNECTION, RANGE, TELLING } from "./shared_options.ts";
import { firstOf, lastOf, parseBound } from "./times.ts";
import { UntilWatch } from "./until.ts";

export const CONSUME: CommandSpec = {
  name: "consume",
  summary: "writes each message as a line to stdout",
  synopsis: "consume STREAM[,STREAM …]",
  about:
    "Writes the payload of each message and a newline to stdout, or with --json everything about it, and waits for more until it " +
    "is stopped. A payload that holds newlines becomes several lines: --json keeps them apart. " +
    'There, bytes that are not UTF-8 are {"base64": …}, and a sequence is a string, since it is too large for most readers of JSON.\n\n' +
    "Without a group (--mode real-time, the default) it reads everything by itself, from now on or from --from or --since. In a group " +
    "(resumable: this is its one consumer and goes on where it ended; load-balanced: consumers share the messages) a message is acknowledged " +
    "when its line has been taken by whoever reads stdout, and not before; what was not is delivered again.",
  words: { least: 1, most: 1 },
  options: [
    { name: "json", help: "Lines are JSON: stream, shard, id, sequence, timestamp, headers, payload" },
    { name: "mode", value: "MODE", help: "real-time (default), resumable or load-balanced" },
    { name: "group", value: "NAME", help: "The group, with the other modes; this machine's id by default" },
    { name: "consumer", value: "NAME", help: "This consumer's name in the group" },
    { name: "from", value: "WHERE", help: "beginning or end (default), where it has no position yet" },
    ...RANGE.map((option) =>
      option.name === "since" ? { ...option, help: `${option.help}; in a group this moves the group` } : {
        ...option,
        help: `${option.help}; only in real time. It begins at the beginning, then, or where --since says`,
      }
    ),
    { name: "count", value: "N", help: "Stop after so many messages" },
    { name: "shards", value: "N", help: "Read the shards 0 to N−1; by default those that there are" },
    { name: "batch-size", value: "N", help: "Most entries asked for at once; 100 by default where load-balanced" },
    { name: "mkstream", help: "Make a missing stream, so that there can be a group" },
  ],
  shared: [CONNECTION, TELLING],
  examples: [
    ["sea-streamer consume orders --from beginning", "All that is there, and then all that comes"],
    ["sea-streamer consume orders --since 15m --json | jq -r .headers.trace", "The last quarter of an hour, and on"],
    ["sea-streamer consume orders --mode load-balanced --group billing", "A share of a group's messages"],
  ],
};

type GroupMode = "resumable" | "load-balanced";
type Mode = "real-time" | GroupMode;

/** Entries of a page in a shared group: the library's 10 are for work that takes longer than writing a line. */
const SHARED_PAGE = 100;

/** Runs it. */
export async function runConsume(task: Task): Promise<void> {
  const { system, given } = task;
  const mode = given.choice<Mode>("mode", ["real-time", "resumable", "load-balanced"]) ?? "real-time";
  checkTogether(given, mode);
  const address = await addressOf(system, given, given.words[0]);
  const streamKeys = someStreams(address);
  const [format, now] = [formatOf(given), system.now()];
  const since = given.text("since");
  const until = given.text("until");
  const start = since === undefined ? undefined : firstOf(parseBound("since", since, now), format);
  const end = until === undefined ? undefined : lastOf(parseBound("until", until, now), format);
  const limit = given.integer("count", { min: 1 }) ?? Infinity;
  const field = fieldBytes(given.text("message-field") ?? "msg");
  const write = given.flag("json") ? jsonWriter({ field, format }) : writePayload;
  using progress = progressOf(task, "message", { lines: true });
  const note = (text: string) => progress.note(text);
  await withStreamer(task, { address, note }, async (streamer) => {
    const { consumer, acks } = await open(streamer, streamKeys, { given, mode, limit });
    try {
      if (start !== undefined) {
        const position = previousId(start) ?? "beginning";
        if (acks !== undefined) await acks.rewind(position, { group: true, signal: system.signal });
        else await consumer.rewind(position, { signal: system.signal });
      }
      const watch = end === undefined
        ? undefined
        : await UntilWatch.open(await streamer.createManager(), consumer.streamShards, { start, end, system, format });
      await new Writing({ task, consumer, acks, write, limit, watch, progress }).run();
      await consumer.end({ timeout: GRACE }); // commits what was acknowledged
    } catch (error) {
      await consumer.end({ timeout: GRACE }).catch(() => {}); // the first failure counts
      throw error;
    } finally {
      progress.end("Consumed");
    }
  });
  system.signal.throwIfAborted();
}

function checkTogether(given: Given, mode: Mode): void {
  const grouped = mode !== "real-time";
  for (const name of ["group", "consumer", "mkstream"]) {
    if (!grouped && (given.text(name) !== undefined || given.flag(name))) {
      throw new UsageError(`Cannot use --${name} without --mode resumable or load-balanced`);
    }
  }
  if (grouped && given.text("until") !== undefined) throw new UsageError("Cannot use --until in a group");
  if (given.text("from") !== undefined && given.text("since") !== undefined) {
    throw new UsageError("Cannot use --from together with --since");
  }
  if (given.text("from") === "end" && given.text("until") !== undefined) {
    throw new UsageError("Cannot use --from end together with --until: say from when, by --since");
  }
}

interface Opened {
  readonly consumer: Consumer;
  /** The same, where what was written is acknowledged. */
  readonly acks: AckConsumer | undefined;
}

async function open(
  streamer: RedisStreamer,
  streamKeys: readonly string[],
  { given, mode, limit }: { readonly given: Given; readonly mode: Mode; readonly limit: number },
): Promise<Opened> {
  const reading = readingOptions(given, mode, limit);
  if (mode === "real-time") {
    return { consumer: await streamer.createConsumer(streamKeys, { ...reading, mode }), acks: undefined };
  }
  const consumer = await streamer.createConsumer(streamKeys, groupOptions(given, mode, reading));
  return { consumer, acks: consumer };
}

/** What of it every consumer is told. */
export function readingOptions(given: Given, mode: Mode, limit: number): ReadingOptions {
  const all = given.text("until") === undefined ? undefined : "beginning";
  const from = given.choice("from", ["beginning", "end"]) ?? all;
  const shards = given.integer("shards", { min: 1, max: 1024 });
  const asked = given.integer("batch-size", { min: 1, max: 1_000_000 });
  const page = asked ?? (mode === "load-balanced" ? SHARED_PAGE : undefined);
  const few = limit < (page ?? 1000);
  // What is read ahead in a group and not written would be pending until others take it over.
  const ahead = mode === "real-time" ? !few : limit === Infinity;
  const batchSize = few ? limit : page;
  return {
    ...(from === undefined ? {} : { autoStreamReset: from === "beginning" ? "earliest" : "latest" }),
    ...(shards === undefined ? {} : { shards }),
    ...(batchSize === undefined ? {} : { batchSize }),
    ...(ahead ? {} : { prefetch: 0 }),
  };
}

/** What of it a consumer in a group is told. */
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

/** Writes what comes, batch after batch, until there is a reason to stop. */
class Writing {
  readonly #parts: WritingParts;
  readonly #out = new Chunk(256 * 1024);
  #messages: Message[] = [];
  #ends: number[] = []; // where in the chunk the line of each ends
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
        // The last ones are asked for by a loop of their own, which takes no more than are wanted.
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

  /** False when nobody reads any more. */
  async #writeAll(batch: readonly Message[], signal: AbortSignal): Promise<boolean> {
    const { task: { system }, write, acks, watch, progress: { tally } } = this.#parts;
    this.#out.clear();
    this.#messages = [];
    this.#ends = [];
    for (const message of batch) {
      if (watch !== undefined && !watch.admits(message)) continue;
      write(this.#out, message);
      this.#messages.push(message);
      this.#ends.push(this.#out.length);
    }
    const bytes = this.#out.taken;
    const taken = bytes.length === 0 ? 0 : await system.stdout.write(bytes, signal);
    let written = 0;
    for (; written < this.#ends.length && this.#ends[written] <= taken; written++) acks?.ack(this.#messages[written]);
    tally.count += written;
    tally.bytes += taken;
    this.#left -= written;
    return taken === bytes.length;
  }
}
