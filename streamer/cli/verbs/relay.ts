// `relay`: copies the messages of streams to another stream, or to streams of the same names on another server.

import { StreamerError } from "../../../resp/errors.ts";
import type { AckConsumer } from "../../consumer/consumer.ts";
import type { ReadingOptions } from "../../consumer/options.ts";
import { abortable } from "../../model/abortable.ts";
import type { Message } from "../../model/message.ts";
import { processMessages } from "../../process/process.ts";
import type { OutputMessage } from "../../process/options.ts";
import type { Producer } from "../../producer/producer.ts";
import type { RedisStreamer } from "../../streamer.ts";
import { type Address, addressOf, someStreams, targetOf } from "../args/address.ts";
import type { CommandSpec } from "../args/arguments.ts";
import { groupOptions, readingOptions } from "./consume.ts";
import { sentence, UsageError } from "../failure.ts";
import type { Progress } from "../screen/progress.ts";
import { GRACE, GracePeriod, type Note, progressOf, type Task, withMkstreamHint, withStreamer } from "./session.ts";
import { CONNECTION, OUTPUT } from "../args/shared_options.ts";

export const RELAY: CommandSpec = {
  name: "relay",
  summary: "copies the messages of a stream to another one",
  synopsis: "relay IN[,IN …] OUT",
  about:
    "Copies the messages of IN to OUT with their headers, first the existing ones, then new ones, until it is stopped. OUT is a " +
    "stream, or a server (redis://other/) where the streams have the same names. The messages of a shard keep their order.\n\n" +
    "By default, the relay reads in a group named relay:OUT, and loses nothing: a message is acknowledged once it is stored in " +
    "OUT, and other messages are copied when the relay resumes. After a crash or a lost connection, OUT may contain duplicates. " +
    "With --mode real-time there is no group, and messages that arrive while the relay is stopped are not copied.\n\n" +
    "A message that OUT refuses ends the relay.",
  positionals: { least: 2, most: 2 },
  options: [
    {
      name: "mode",
      value: "MODE",
      help: "resumable (default, one relay), load-balanced (several relays share the work) or real-time",
    },
    { name: "group", value: "NAME", help: "The group (default: relay:OUT)" },
    { name: "consumer", value: "NAME", help: "The name of this relay in its group" },
    {
      name: "from",
      value: "WHERE",
      help: "Start without a stored position: beginning (default in a group) or end (default in real time)",
    },
    { name: "count", value: "N", help: "Stop after N messages" },
    { name: "shards", value: "N", help: "Read the shards 0 to N−1 (default: all existing shards)" },
    { name: "batch-size", value: "N", help: "The most entries in one request (default in a load-balanced group: 100)" },
    { name: "mkstream", help: "Create a missing IN, empty, together with its group" },
    { name: "keep-timestamps", help: "Keep the time of each message. The server accepts increasing times only" },
    { name: "max-length", value: "N", help: "Trim OUT to about N entries with each message" },
    { name: "to-username", value: "NAME", help: "ACL user for OUT, if OUT is a URL" },
    { name: "to-password-file", value: "FILE", help: "File with the password for OUT, if OUT is a URL" },
  ],
  shared: [CONNECTION, OUTPUT],
  examples: [
    ["sea-streamer relay redis://old/orders redis://new/orders", "Between servers"],
    ["sea-streamer relay orders,returns audit --from beginning", "Two streams into a third one"],
  ],
};

type Mode = "real-time" | "resumable" | "load-balanced";

/** Streams and their target. */
interface Pair {
  readonly from: readonly string[];
  readonly to: string;
}

/** Runs the command. */
export async function runRelay(task: Task): Promise<void> {
  const { system, given } = task;
  const mode = given.choice<Mode>("mode", ["resumable", "load-balanced", "real-time"]) ?? "resumable";
  if (mode === "real-time" && given.text("group") !== undefined) {
    throw new UsageError("--group cannot be combined with --mode real-time");
  }
  const source = await addressOf(system, given, given.positionals[0]);
  const target = await targetOf(system, given, given.positionals[1], source);
  const pairs = pairsOf(source, target);
  using progress = progressOf(task, "message");
  const note = (text: string) => progress.note(text);
  const limit = given.integer("count", { min: 1 }) ?? Infinity;
  const options = readingOptions(given, mode, limit);
  const maxLength = given.integer("max-length", { min: 0 });
  const stopping = new AbortController();
  const counting = new Counting(limit, progress, stopping);
  const signal = AbortSignal.any([system.signal, stopping.signal]);
  await withStreamer(
    task,
    { address: source, note },
    (reading) =>
      withStreamer(task, { address: target, note }, async (writing) => {
        const relay = { task, mode, options, maxLength, reading, writing, counting, signal, note };
        // A failure of one pair ends all of them.
        const runs = pairs.map((pair) =>
          relayPair(relay, pair).catch((error) => {
            counting.fail(error);
          })
        );
        await Promise.all(runs);
        progress.end("Relayed");
      }),
  );
  if (counting.failure !== undefined) throw counting.failure.error;
  system.signal.throwIfAborted();
}

function pairsOf(source: Address, target: Address): Pair[] {
  const from = someStreams(source);
  const { streamKeys } = target;
  if (streamKeys.length > 1) throw new UsageError("OUT must be one stream or a server, got several streams");
  const pairs = streamKeys.length === 1 ? [{ from, to: streamKeys[0] }] : from.map((key) => ({ from: [key], to: key }));
  const same = source.uri === target.uri && source.options.db === target.options.db;
  const loop = same && pairs.find((pair) => pair.from.includes(pair.to));
  if (loop) throw new UsageError(`${loop.to} cannot be relayed to itself: the relay would never end`);
  return pairs;
}

/** Counts relayed messages, and ends all pairs at the limit or at a failure. */
class Counting {
  failure: { readonly error: unknown } | undefined;
  readonly #progress: Progress;
  readonly #stopping: AbortController;
  #left: number;

  constructor(limit: number, progress: Progress, stopping: AbortController) {
    this.#left = limit;
    this.#progress = progress;
    this.#stopping = stopping;
  }

  /** Counts a message before it is sent. After the last one, no message starts. */
  start(message: Message): void {
    this.#progress.counts.bytes += message.bytes().length;
    if (--this.#left <= 0) this.#stopping.abort();
  }

  get left(): number {
    return this.#left;
  }

  stored(count: number): void {
    this.#progress.counts.count += count;
  }

  fail(error: unknown): void {
    this.failure ??= { error };
    this.#stopping.abort();
  }
}

interface Relay {
  readonly task: Task;
  readonly mode: Mode;
  readonly options: ReadingOptions;
  readonly maxLength: number | undefined;
  readonly reading: RedisStreamer;
  readonly writing: RedisStreamer;
  readonly counting: Counting;
  readonly signal: AbortSignal;
  readonly note: Note;
}

async function relayPair(relay: Relay, { from, to }: Pair): Promise<void> {
  const { task: { system, given }, mode, maxLength, reading, writing } = relay;
  const producer = await writing.createProducer(to, maxLength === undefined ? {} : { maxLength });
  const options = { ...relay.options, signal: system.signal };
  if (mode === "real-time") {
    await using consumer = await reading.createConsumer(from, { ...options, mode });
    return await relayAll(relay, consumer.batches(), producer);
  }
  const consumer = await reading.createConsumer(from, {
    autoStreamReset: "earliest",
    ...groupOptions(given, mode, options),
    group: given.text("group") ?? `relay:${to}`,
  });
  try {
    await relayGroup(relay, consumer, producer);
  } catch (error) {
    await consumer.end({ timeout: GRACE }).catch(() => {}); // the first failure counts
    throw withMkstreamHint(error, from);
  }
  await consumer.end({ timeout: GRACE });
}

async function relayGroup(relay: Relay, consumer: AckConsumer, producer: Producer): Promise<void> {
  const { task: { given }, counting, signal, note } = relay;
  const keepTimes = given.flag("keep-timestamps");
  let counted = 0;
  const timer = setInterval(() => {
    const { acked } = producer.stats(); // the producer is used here only
    counting.stored(acked - counted);
    counted = acked;
  }, 200);
  try {
    const { handled } = await processMessages(consumer, (message) => {
      counting.start(message);
      return outputOf(message, keepTimes);
    }, {
      producer,
      concurrency: 64,
      signal,
      onError: (error, message) => {
        // OUT would refuse it again. The message stays pending, so nothing is lost.
        if (isRefusal(error)) counting.fail(error);
        else note(`Retrying ${message.id} of ${message.streamKey}: ${sentence(error)}`);
      },
    });
    counting.stored(handled - counted);
  } finally {
    clearInterval(timer);
  }
}

const PASSING: readonly string[] = ["TIMEOUT", "AMBIGUOUS", "DISCONNECTED", "BUFFER_FULL"];

function isRefusal(error: unknown): boolean {
  return !(error instanceof StreamerError) || !PASSING.includes(error.code);
}

async function relayAll(
  relay: Relay,
  batches: AsyncIterableIterator<Message[]>,
  producer: Producer,
): Promise<void> {
  const { task: { system, given }, counting, signal } = relay;
  const keepTimes = given.flag("keep-timestamps");
  const stop = () => void batches.return?.();
  signal.addEventListener("abort", stop);
  using grace = new GracePeriod(system.signal, GRACE);
  try {
    if (signal.aborted) return;
    for await (const batch of batches) {
      for (const message of batch) {
        if (signal.aborted) break;
        if (producer.desiredSize <= 0) await abortable(producer.ready, signal);
        counting.start(message);
        const { payload, ...options } = outputOf(message, keepTimes);
        producer.send(payload, options).then(() => counting.stored(1), (error) => counting.fail(error));
      }
    }
  } finally {
    signal.removeEventListener("abort", stop);
    await producer.flush({ signal: grace.signal });
  }
}

function outputOf(message: Message, keepTimes: boolean): OutputMessage {
  const output = { payload: message.bytes(), headers: message.headers };
  if (!keepTimes) return output;
  const { id } = message;
  return { ...output, timestamp: BigInt(id.slice(0, id.indexOf("-"))) };
}
