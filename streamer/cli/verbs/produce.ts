// `produce`: sends each line of stdin as a message.

import { abortable } from "../../model/abortable.ts";
import type { TimestampFormat } from "../../model/id.ts";
import type { Delivery, ProducerOptions, SendOptions } from "../../producer/options.ts";
import type { Producer } from "../../producer/producer.ts";
import type { SharderFactory } from "../../producer/sharding/sharder.ts";
import { keyHashSharder, randomSharder, roundRobinSharder } from "../../producer/sharding/sharders.ts";
import { StreamerError } from "../../../resp/errors.ts";
import { addressOf, formatOf, oneStream } from "../args/address.ts";
import { type CommandSpec, type Given, invalidValue } from "../args/arguments.ts";
import { CommandError, sentence, UsageError } from "../failure.ts";
import { plural } from "../screen/figures.ts";
import { parseInputLine } from "../formats/input_line.ts";
import { lineOfJson, readLines } from "../formats/lines.ts";
import type { Progress } from "../screen/progress.ts";
import { GRACE, GracePeriod, progressOf, type Task, withStreamer } from "./session.ts";
import { CONNECTION, DEFAULT_MAX_LINE, MAX_LINE, OUTPUT, SHARDING } from "../args/shared_options.ts";

export const PRODUCE: CommandSpec = {
  name: "produce",
  summary: "sends each line of stdin as a message",
  synopsis: "produce STREAM",
  about:
    "Sends each line of stdin as a message: its bytes without the newline. A last line without a newline is sent too. Sends " +
    "are pipelined, and stdin is read no faster than the server accepts messages, so that memory use is constant. Messages that " +
    "the server refuses are counted, and the exit code is 1 then.\n\n" +
    "With --json, each line is a JSON object with payload, headers, key and timestamp. Only the payload is required. The " +
    'payload and the values of headers are strings, or {"base64": …} for bytes. Headers are an object, or an array of ' +
    "[name, value]. The timestamp is a date, or a number in the stream's unit. Empty lines and byte order marks are skipped. " +
    "An invalid line ends the command.",
  positionals: { least: 1, most: 1 },
  options: [
    { name: "json", help: "Read lines of JSON, with headers" },
    {
      name: "header",
      value: "NAME=VALUE",
      multiple: true,
      help: "A header for every message; may be repeated",
    },
    { name: "max-length", value: "N", help: "Trim the stream to about N entries with each message" },
    ...SHARDING,
    {
      name: "delivery",
      value: "HOW",
      help: "After a lost reply: at-least-once (default), at-most-once or exactly-once",
    },
    { name: "single-writer", help: "Nothing else writes to the stream: exactly-once needs this" },
    MAX_LINE,
  ],
  shared: [CONNECTION, OUTPUT],
  examples: [
    ["sea-streamer produce orders < lines.txt", "The lines of a file"],
    [
      "tail -F app.log | sea-streamer produce redis://localhost/log --max-length 1000000",
      "New lines of a log; the stream keeps about a million",
    ],
    [
      `echo '{"payload":"paid","headers":{"trace":"7f3a"}}' | sea-streamer produce orders --json`,
      "A message with a header",
    ],
  ],
};

/** Runs the command. */
export async function runProduce(task: Task): Promise<void> {
  const { system, given } = task;
  const address = await addressOf(system, given, given.positionals[0]);
  const streamKey = oneStream(address);
  const options = producerOptions(given);
  const work: Work = {
    ...task,
    headers: given.list("header").map(headerOf),
    json: given.flag("json"),
    longest: given.bytes("max-line") ?? DEFAULT_MAX_LINE,
    format: formatOf(given),
  };
  using progress = progressOf(task, "message", { input: true });
  const note = (text: string) => progress.note(text);
  await withStreamer(task, { address, note }, async (streamer) => {
    const producer = await streamer.createProducer(streamKey, options);
    if (system.stdin.isTerminal) note("Type one message per line. Ctrl-D ends the input");
    const failure = await attempt(() => sendLines(work, producer, progress));
    const refused = await attempt(() => finish(task, producer));
    const { acked, failed } = producer.stats();
    progress.counts.count = acked;
    const lost = failed > 0 ? [`${plural(failed, "message")} FAILED`] : [];
    progress.end("Produced", lost);
    if (failure !== undefined) throw failure.error;
    if (refused !== undefined) throw refusedError(refused.error, failed);
  });
}

interface Work extends Task {
  readonly headers: readonly (readonly [string, string])[];
  readonly json: boolean;
  /** The most bytes of a line. */
  readonly longest: number;
  readonly format: TimestampFormat;
}

function producerOptions(given: Given): ProducerOptions {
  const delivery = given.choice<Delivery>("delivery", ["at-least-once", "at-most-once", "exactly-once"]);
  const maxLength = given.integer("max-length", { min: 0 });
  const sharder = sharderOf(given);
  return {
    ...(delivery === undefined ? {} : { delivery }),
    ...(given.flag("single-writer") ? { singleWriter: true } : {}),
    ...(sharder === undefined ? {} : { sharder }),
    ...(maxLength === undefined ? {} : { maxLength }),
  };
}

const SHARDERS = { "round-robin": roundRobinSharder, random: randomSharder, "key-hash": keyHashSharder };

function sharderOf(given: Given): SharderFactory | undefined {
  const shards = given.integer("shards", { min: 1, max: 1024 });
  const how = given.choice("sharder", ["round-robin", "random", "key-hash"]);
  if (shards !== undefined) return SHARDERS[how ?? "round-robin"](shards);
  if (how !== undefined) throw new UsageError("--sharder requires --shards");
  return undefined;
}

function headerOf(text: string): readonly [string, string] {
  const at = text.indexOf("=");
  if (at > 0) return [text.slice(0, at), text.slice(at + 1)];
  throw invalidValue("header", "NAME=VALUE", text);
}

async function sendLines(
  { system, headers, json, longest, format }: Work,
  producer: Producer,
  progress: Progress,
): Promise<void> {
  const same: SendOptions | undefined = headers.length === 0 ? undefined : { headers };
  const { signal, stdin } = system;
  const { counts } = progress;
  counts.size = stdin.size;
  counts.read = 0;
  const onBytes = (count: number) => counts.read = (counts.read ?? 0) + count;
  let number = 0;
  for await (const lines of readLines(stdin, { longest, signal, onBytes })) {
    for (const line of lines) {
      number++;
      const bare = json ? lineOfJson(line) : line;
      if (bare === undefined) continue;
      if (producer.desiredSize <= 0) await abortable(producer.ready, signal);
      if (!json) {
        producer.send(bare, same);
        counts.bytes += bare.length;
      } else {
        const { payload, options } = parseInputLine(bare, number, format);
        producer.send(payload, { ...options, headers: [...headers, ...options.headers] });
        counts.bytes += payload.length;
      }
    }
    counts.count = producer.stats().acked;
  }
}

/** Waits until all messages are settled; after a signal, for a limited time. */
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
  return new CommandError(`Sending ${plural(failed, "message")} failed${why}`, { cause: error.cause });
}
