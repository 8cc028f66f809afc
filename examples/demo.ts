// Owns the demo as a program: from the command line to the table and the exit code. Must not know how messages travel.

import process from "node:process";
import { connect, type RedisStreamer } from "../mod.ts";
import { HELP, type Options, readOptions, UsageError } from "./demo/options.ts";
import { showProgress } from "./demo/progress.ts";
import { type DemoServer, openServer } from "./demo/server.ts";
import { count, formatResult, isProven, type Result } from "./demo/table.ts";
import { type Finding, findText, readLines } from "./demo/text.ts";
import { Transfer } from "./demo/transfer.ts";

/** Runs the demo; gives the exit code. */
async function main(): Promise<number> {
  const options = readOptions(process.argv.slice(2));
  if (options === undefined) {
    process.stdout.write(HELP);
    return 0;
  }
  const interrupted = new AbortController();
  // Once: a second Ctrl-C ends the process at once, and the server with it.
  for (const name of ["SIGINT", "SIGTERM"] as const) process.once(name, () => interrupted.abort(new Interrupted(name)));
  const { signal } = interrupted;
  const text = await findText(options.paths, { limit: options.limit, signal });
  say(describeText(text, options));
  if (text.lines === 0) throw new UsageError("Cannot stream anything as no text with a line in it was found");
  const server = await openServer();
  try {
    const result = await onServer({ text, options, server, signal });
    process.stdout.write(`\n${formatResult(result)}`);
    return isProven(result) ? 0 : 1;
  } finally {
    await server.stop();
  }
}

interface Task {
  readonly text: Finding;
  readonly options: Options;
  readonly server: DemoServer;
  readonly signal: AbortSignal;
}

async function onServer(task: Task): Promise<Result> {
  const { server, signal } = task;
  const streamer = await connect(server.url, { signal });
  const streamKey = `demo-${crypto.randomUUID()}`;
  try {
    say(`${await server.describe()}; ${runtimeName()}\n`);
    return await transferText(task, streamer, streamKey);
  } finally {
    await streamer.disconnect({ timeout: signal.aborted ? 0 : undefined }).catch(() => {}); // told by the run already
    await server.forget(streamKey).catch((error) => say(`Cannot delete the stream ${streamKey}: ${sentence(error)}`));
  }
}

// Where the server is far from busy, so that latency is not the length of a queue.
const PACE = 5_000;
const STEADY_MESSAGES = 10_000;

async function transferText(
  { text: { files, lines: total }, options: { limit }, signal }: Task,
  streamer: RedisStreamer,
  streamKey: string,
): Promise<Result> {
  const full = new Transfer({ streamKey, lines: readLines(files), limit, rate: Infinity, timeOneIn: 32, signal });
  const few = Math.min(total, STEADY_MESSAGES);
  const steady = new Transfer({ streamKey, lines: readLines(files), limit: few, rate: PACE, timeOneIn: 1, signal });
  const progress = showProgress({ total, sent: full.sent, received: full.received });
  signal.addEventListener("abort", () => progress.stop());
  let reconnects = 0;
  streamer.addEventListener("reconnect", ({ detail: { attempt, cause } }) => {
    reconnects++;
    if (attempt === 1) progress.note(`The connection was lost and is made again: ${sentence(cause)}`);
  });
  const memory = watchMemory();
  try {
    await full.run(streamer);
    progress.stop();
    say(`The first ${count(few)} lines again, ${count(PACE)} a second`);
    await steady.run(streamer);
  } finally {
    progress.stop();
    memory.stop();
  }
  return { full, steady, pace: PACE, memory, reconnects };
}

/** Notes the most that this process has resident while it runs. */
function watchMemory() {
  const before = process.memoryUsage().rss;
  const watch = { before, most: before, stop: () => clearInterval(timer) };
  const timer = setInterval(() => watch.most = Math.max(watch.most, process.memoryUsage().rss), 50);
  return watch;
}

function describeText({ files, lines, skipped }: Finding, { paths }: Options): string {
  const where = paths.length === 0 ? "under node_modules" : paths.join(", ");
  const reasons = [...skipped].map(([reason, files]) => `${count(files)} ${reason}`);
  const rest = reasons.length === 0 ? "" : `; left out: ${reasons.join(", ")}`;
  return `${count(lines)} lines in ${count(files.length)} text file${files.length === 1 ? "" : "s"}, ${where}${rest}`;
}

function runtimeName(): string {
  const { bun, deno, node } = process.versions;
  return deno ? `Deno ${deno}` : bun ? `Bun ${bun}` : `Node ${node}`;
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

function sentence(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

class Interrupted extends Error {
  constructor(signal: string) {
    super(`Stopped by ${signal}`);
  }
}

try {
  process.exitCode = await main();
} catch (error) {
  say(sentence(error));
  process.exitCode = error instanceof UsageError ? 2 : error instanceof Interrupted ? 130 : 1;
}
