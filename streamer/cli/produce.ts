// `produce`: a line of stdin a message. It must not know how messages are sent.

import { abortable } from "../model/abortable.ts";
import type { Delivery, ProducerOptions, SendOptions } from "../producer/options.ts";
import type { Producer } from "../producer/producer.ts";
import type { SharderFactory } from "../producer/sharder.ts";
import { keyHashSharder, randomSharder, roundRobinSharder } from "../producer/sharders.ts";
import { StreamerError } from "../../resp/errors.ts";
import { addressOf, formatOf, oneStream } from "./address.ts";
import { cannotUse, type CommandSpec, type Given } from "./arguments.ts";
import { CommandError, sentence, UsageError } from "./failure.ts";
import { plural } from "./figures.ts";
import { parseInputLine } from "./input_line.ts";
import { readLines } from "./lines.ts";
import type { Progress } from "./progress.ts";
import { GRACE, GracePeriod, progressOf, type Task, withStreamer } from "./session.ts";
import { CONNECTION, DEFAULT_MAX_LINE, MAX_LINE, SHARDING, TELLING } from "./shared_options.ts";

export const PRODUCE: CommandSpec = {
  name: "produce",
  summary: "sends each line of stdin as a message",
  synopsis: "produce STREAM",
  about:
    "Sends each line of stdin as a message: its bytes as they are, without the newline; what stands behind the last newline " +
    "is one, too. Lines are sent as they come, without waiting for answers; stdin is read no faster than the server takes them, so " +
    "that memory stays flat. What the server refuses is counted, and makes it exit with 1 at the end.\n\n" +
    'With --json a line is {"payload": …, "headers": {…}, "key": …, "timestamp": …}, of which only the payload must be there. ' +
    'It and the values of headers are strings, or {"base64": …} for bytes; headers may be an array of [name, value], too. The ' +
    "timestamp is a date, or a number in the stream's own unit. A line that is none of this ends it.",
  words: { least: 1, most: 1 },
  options: [
    { name: "json", help: "Lines are JSON, with headers" },
    {
      name: "header",
      value: "NAME=VALUE",
      multiple: true,
      help: "A header of every message; may be given several times",
    },
    { name: "max-length", value: "N", help: "Trim the stream to about N entries with each write" },
    ...SHARDING,
    {
      name: "delivery",
      value: "HOW",
      help: "at-least-once (default), at-most-once or exactly-once: what is done when an answer is lost",
    },
    MAX_LINE,
  ],
  shared: [CONNECTION, TELLING],
  examples: [
    ["sea-streamer produce orders < lines.txt", "Every line of a file"],
    [
      "tail -F app.log | sea-streamer produce redis://localhost/log --max-length 1000000",
      "What is added to a log, the newest million",
    ],
    [`echo '{"payload":"paid","headers":{"trace":"7f3a"}}' | sea-streamer produce orders --json`, "One with a header"],
  ],
};

/** Runs it. */
export async function runProduce(task: Task): Promise<void> {
  const { system, given } = task;
  const address = await addressOf(system, given, given.words[0]);
  const streamKey = oneStream(address);
  const options = producerOptions(given);
  const work: Work = { ...task, headers: given.list("header").map(headerOf), json: given.flag("json") };
  using progress = progressOf(task, "message");
  const note = (text: string) => progress.note(text);
  await withStreamer(task, { address, note }, async (streamer) => {
    const producer = await streamer.createProducer(streamKey, options);
    const failure = await attempt(() => sendLines(work, producer, progress));
    const refused = await attempt(() => finish(task, producer));
    const { acked, failed } = producer.stats();
    progress.tally.count = acked;
    const lost = failed > 0 ? [`${plural(failed, "message")} FAILED`] : [];
    progress.end("Produced", lost);
    if (failure !== undefined) throw failure.error;
    if (refused !== undefined) throw refusedError(refused.error, failed);
  });
}

interface Work extends Task {
  readonly headers: readonly (readonly [string, string])[];
  readonly json: boolean;
}

function producerOptions(given: Given): ProducerOptions {
  const delivery = given.choice<Delivery>("delivery", ["at-least-once", "at-most-once", "exactly-once"]);
  const maxLength = given.integer("max-length", { min: 0 });
  const sharder = sharderOf(given);
  return {
    ...(delivery === undefined ? {} : { delivery }),
    ...(sharder === undefined ? {} : { sharder }),
    ...(maxLength === undefined ? {} : { maxLength }),
  };
}

const SHARDERS = { "round-robin": roundRobinSharder, random: randomSharder, "key-hash": keyHashSharder };

function sharderOf(given: Given): SharderFactory | undefined {
  const shards = given.integer("shards", { min: 1, max: 1024 });
  const how = given.choice("sharder", ["round-robin", "random", "key-hash"]);
  if (shards !== undefined) return SHARDERS[how ?? "round-robin"](shards);
  if (how !== undefined) throw new UsageError("Cannot use --sharder without --shards");
  return undefined;
}

function headerOf(text: string): readonly [string, string] {
  const at = text.indexOf("=");
  if (at > 0) return [text.slice(0, at), text.slice(at + 1)];
  throw cannotUse("header", "NAME=VALUE", text);
}

async function sendLines(
  { system, given, headers, json }: Work,
  producer: Producer,
  progress: Progress,
): Promise<void> {
  const longest = given.bytes("max-line") ?? DEFAULT_MAX_LINE;
  const format = formatOf(given);
  const same: SendOptions | undefined = headers.length === 0 ? undefined : { headers };
  const { signal, stdin } = system;
  const { tally } = progress;
  tally.size = stdin.size;
  tally.read = 0;
  const onBytes = (count: number) => tally.read = (tally.read ?? 0) + count;
  let number = 0;
  for await (const lines of readLines(stdin, { longest, signal, onBytes })) {
    for (const line of lines) {
      number++;
      if (producer.desiredSize <= 0) await abortable(producer.ready, signal);
      if (!json) {
        producer.send(line, same);
        tally.bytes += line.length;
      } else {
        const { payload, options } = parseInputLine(line, number, format);
        producer.send(payload, { ...options, headers: [...headers, ...options.headers] });
        tally.bytes += payload.length;
      }
    }
    tally.count = producer.stats().acked;
  }
}

/** Waits until everything is settled; after a signal for a while only. */
async function finish({ system }: Task, producer: Producer): Promise<void> {
  using grace = new GracePeriod(system.signal, 2 * GRACE);
  await producer.end({ signal: grace.signal });
}

async function attempt(work: () => Promise<void>): Promise<{ readonly error: unknown } | undefined> {
  try {
    await work();
    return undefined;
  } catch (error) {
    return { error };
  }
}

function refusedError(error: unknown, failed: number): unknown {
  if (!(error instanceof StreamerError) || error.code !== "SEND_FAILED") return error;
  const why = error.cause === undefined ? "" : `: ${sentence(error.cause)}`;
  return new CommandError(`${plural(failed, "message")} could not be sent${why}`, { cause: error.cause });
}
