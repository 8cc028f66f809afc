// The demo as a program: from the command line to the table and the exit code.

import process from "node:process";
import { connect, type RedisStreamer } from "../mod.ts";
import { HELP, readOptions } from "./demo/options.ts";
import { UsageError } from "./usage.ts";
import { showProgress } from "./demo/progress.ts";
import { columnsOf, paintFor, type Style, wrap } from "./demo/screen.ts";
import { type DemoServer, openServer } from "./demo/server.ts";
import { count, formatResult, isProven, type Result } from "./demo/table.ts";
import { findText, readLines, type Text } from "./demo/text.ts";
import { Transfer } from "./demo/transfer.ts";

/** Runs the demo; returns the exit code. */
async function main(): Promise<number> {
  const options = readOptions(process.argv.slice(2));
  if (options === undefined) {
    process.stdout.write(HELP);
    return 0;
  }
  const interrupted = new AbortController();
  // Only the first signal: a second Ctrl-C ends the process at once, and the server with it.
  for (const name of ["SIGINT", "SIGTERM"] as const) process.once(name, () => interrupted.abort(new Interrupted(name)));
  const { signal } = interrupted;
  const server = await openServer();
  try {
    say(`${server.description}; ${runtimeName()}`);
    const text = await findText({ ...options, signal });
    if (text.lines === 0) throw new UsageError("No lines of text found");
    say(`${describeText(text)}\n`);
    const result = await onServer({ text, server, signal });
    const { stdout } = process;
    stdout.write(`\n${formatResult(result, { columns: columnsOf(stdout), paint: paintFor(stdout) })}`);
    return isProven(result) ? 0 : 1;
  } finally {
    await server.stop();
  }
}

interface Task {
  readonly text: Text;
  readonly server: DemoServer;
  readonly signal: AbortSignal;
}

async function onServer(task: Task): Promise<Result> {
  const { server, signal } = task;
  const streamer = await connect(server.url, { signal });
  const streamKey = `demo-${crypto.randomUUID()}`;
  try {
    return await transferText(task, streamer, streamKey);
  } finally {
    await streamer.disconnect({ timeout: signal.aborted ? 0 : undefined }).catch(() => {}); // the run has reported it
    await server.forget(streamKey).catch((error) => say(`Deleting the stream ${streamKey} failed: ${sentence(error)}`));
  }
}

// A pace at which the server is mostly idle, so that latency is not the length of a queue.
const PACE = 5_000;
const STEADY_MESSAGES = 10_000;

async function transferText(
  { text: { files, total }, signal }: Task,
  streamer: RedisStreamer,
  streamKey: string,
): Promise<Result> {
  const full = new Transfer({
    streamKey,
    lines: readLines(files),
    limit: total,
    rate: Infinity,
    timeOneIn: 32,
    signal,
  });
  const few = Math.min(total, STEADY_MESSAGES);
  const steady = new Transfer({ streamKey, lines: readLines(files), limit: few, rate: PACE, timeOneIn: 1, signal });
  const progress = showProgress({ total, sent: full.sent, received: full.received });
  signal.addEventListener("abort", () => progress.stop());
  let reconnects = 0;
  streamer.addEventListener("reconnect", ({ detail: { attempt, cause } }) => {
    reconnects++;
    if (attempt === 1) progress.note(`Connection lost, reconnecting: ${sentence(cause)}`);
  });
  const memory = watchMemory();
  try {
    await full.run(streamer);
    progress.stop();
    say(`\nThe first ${count(few)} lines again, at ${count(PACE)} messages/s …`);
    await steady.run(streamer);
  } finally {
    progress.stop();
    memory.stop();
  }
  return { full, steady, pace: PACE, memory, reconnects };
}

/** Samples the resident memory of this process. */
function watchMemory() {
  const before = process.memoryUsage().rss;
  const watch = { before, most: before, stop: () => clearInterval(timer) };
  const timer = setInterval(() => watch.most = Math.max(watch.most, process.memoryUsage().rss), 50);
  return watch;
}

function describeText({ files, lines, total, place, skipped }: Text): string {
  const reasons = [...skipped].map(([reason, files]) => `${count(files)} ${reason}`);
  const rest = reasons.length === 0 ? "" : ` (skipped: ${reasons.join(", ")})`;
  const again = total > lines ? `, ${count(Math.ceil(total / lines))} times` : "";
  const from = `${count(files.length)} text file${files.length === 1 ? "" : "s"} ${place}${again}`;
  return `${count(total)} lines from ${from}${rest}`;
}

function runtimeName(): string {
  const { bun, deno, node } = process.versions;
  return deno ? `Deno ${deno}` : bun ? `Bun ${bun}` : `Node ${node}`;
}

function say(text: string, style?: Style): void {
  const { stderr } = process;
  const paint = paintFor(stderr);
  for (const line of text.split("\n").flatMap((one) => wrap(one, columnsOf(stderr)))) {
    stderr.write(`${style === undefined ? line : paint(line, style)}\n`);
  }
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
  say(sentence(error), "red");
  process.exitCode = error instanceof UsageError ? 2 : error instanceof Interrupted ? 130 : 1;
}
