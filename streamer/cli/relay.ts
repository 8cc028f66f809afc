// `relay`: messages of streams go to another stream, or to streams of the same names on another server. It must not know how
// messages are read or sent.

import { StreamerError } from "../../resp/errors.ts";
import type { AckConsumer } from "../consumer/consumer.ts";
import { abortable } from "../model/abortable.ts";
import type { Message } from "../model/message.ts";
import { processMessages } from "../process.ts";
import type { OutputMessage } from "../process_options.ts";
import type { Producer } from "../producer/producer.ts";
import type { RedisStreamer } from "../streamer.ts";
import { type Address, addressOf, someStreams, targetOf } from "./address.ts";
import type { CommandSpec } from "./arguments.ts";
import { groupOptions, readingOptions } from "./consume.ts";
import { sentence, UsageError } from "./failure.ts";
import type { Progress } from "./progress.ts";
import { GRACE, GracePeriod, type Note, progressOf, type Task, withStreamer } from "./session.ts";
import { CONNECTION, TELLING } from "./shared_options.ts";

export const RELAY: CommandSpec = {
  name: "relay",
  summary: "sends the messages of one stream on to another",
  synopsis: "relay IN[,IN …] OUT",
  about:
    "Sends what stands in IN on to OUT, with its headers, and then what comes, until it is stopped. OUT is one stream, or a server " +
    "(redis://other/) where the streams have the same names. The messages of a shard keep their order.\n\n" +
    "In a group (the default; its name is relay: and that of OUT) nothing is lost: a message is acknowledged when it is stored in OUT, and " +
    "what was not is sent when the relay goes on. After a crash or a lost connection some may stand twice. With --mode real-time there is no " +
    "group, and what comes while it is not running is not relayed. What OUT refuses ends it.",
  words: { least: 2, most: 2 },
  options: [
    {
      name: "mode",
      value: "MODE",
      help: "resumable (default: this is the one relay), load-balanced (several share the work) or real-time",
    },
    { name: "group", value: "NAME", help: "The group; relay: and the name of OUT by default" },
    { name: "consumer", value: "NAME", help: "This relay's name in the group" },
    {
      name: "from",
      value: "WHERE",
      help: "beginning or end, where it has no position yet; by default the beginning, in real time the end",
    },
    { name: "count", value: "N", help: "Stop after so many messages" },
    { name: "shards", value: "N", help: "Read the shards 0 to N−1; by default those that there are" },
    { name: "batch-size", value: "N", help: "Most entries asked for at once; 100 by default where load-balanced" },
    { name: "mkstream", help: "Make a missing stream, so that there can be a group" },
    { name: "keep-timestamps", help: "New entries have the time of the old ones. OUT takes only times that ascend" },
    { name: "max-length", value: "N", help: "Trim OUT to about N entries with each write" },
    { name: "to-username", value: "NAME", help: "ACL user for OUT, where that is a url" },
    { name: "to-password-file", value: "FILE", help: "A file with the password for OUT, where that is a url" },
  ],
  shared: [CONNECTION, TELLING],
  examples: [
    ["sea-streamer relay redis://old/orders redis://new/orders", "Between servers"],
    ["sea-streamer relay orders,returns audit --from beginning", "Two streams into a third"],
  ],
};

type Mode = "real-time" | "resumable" | "load-balanced";

/** One stream and where it goes. */
interface Pair {
  readonly from: readonly string[];
  readonly to: string;
}

/** Runs it. */
export async function runRelay(task: Task): Promise<void> {
  const { system, given } = task;
  const mode = given.choice<Mode>("mode", ["resumable", "load-balanced", "real-time"]) ?? "resumable";
  if (mode === "real-time" && given.text("group") !== undefined) {
    throw new UsageError("Cannot use --group with --mode real-time");
  }
  const source = await addressOf(system, given, given.words[0]);
  const target = await targetOf(system, given, given.words[1], source);
  const pairs = pairsOf(source, target);
  using progress = progressOf(task, "message");
  const note = (text: string) => progress.note(text);
  const limit = given.integer("count", { min: 1 }) ?? Infinity;
  const stopping = new AbortController();
  const counting = new Counting(limit, progress, stopping);
  const signal = AbortSignal.any([system.signal, stopping.signal]);
  await withStreamer(
    task,
    { address: source, note },
    (reading) =>
      withStreamer(task, { address: target, note }, async (writing) => {
        const relay = { task, mode, limit, reading, writing, counting, signal, note };
        // What ends one of them ends all.
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
  if (streamKeys.length > 1) throw new UsageError("Cannot relay to several streams: name one, or only a server");
  const pairs = streamKeys.length === 1 ? [{ from, to: streamKeys[0] }] : from.map((key) => ({ from: [key], to: key }));
  const same = source.uri === target.uri && source.options.db === target.options.db;
  const loop = same && pairs.find((pair) => pair.from.includes(pair.to));
  if (loop) throw new UsageError(`Cannot relay ${loop.to} to itself, which would never end`);
  return pairs;
}

/** Counts what has been relayed, and ends everything at the limit or at a failure. */
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

  /** One more begins; nothing more may after the last one. */
  start(message: Message): void {
    this.#progress.tally.bytes += message.bytes().length;
    if (--this.#left <= 0) this.#stopping.abort();
  }

  get left(): number {
    return this.#left;
  }

  stored(count: number): void {
    this.#progress.tally.count += count;
  }

  fail(error: unknown): void {
    this.failure ??= { error };
    this.#stopping.abort();
  }
}

interface Relay {
  readonly task: Task;
  readonly mode: Mode;
  readonly limit: number;
  readonly reading: RedisStreamer;
  readonly writing: RedisStreamer;
  readonly counting: Counting;
  readonly signal: AbortSignal;
  readonly note: Note;
}

async function relayPair(relay: Relay, { from, to }: Pair): Promise<void> {
  const { task: { system, given }, mode, limit, reading, writing } = relay;
  const maxLength = given.integer("max-length", { min: 0 });
  const producer = await writing.createProducer(to, maxLength === undefined ? {} : { maxLength });
  const options = { ...readingOptions(given, mode, limit), signal: system.signal };
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
    throw error;
  }
  await consumer.end({ timeout: GRACE });
}

async function relayGroup(relay: Relay, consumer: AckConsumer, producer: Producer): Promise<void> {
  const { task: { given }, counting, signal, note } = relay;
  const keepTimes = given.flag("keep-timestamps");
  let told = 0;
  const timer = setInterval(() => {
    const { acked } = producer.stats(); // of a producer that is new
    counting.stored(acked - told);
    told = acked;
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
        // What was refused will be refused again. The message stays pending: nothing is lost.
        if (isRefusal(error)) counting.fail(error);
        else note(`${message.id} of ${message.streamKey} was not stored and is tried again: ${sentence(error)}`);
      },
    });
    counting.stored(handled - told);
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
