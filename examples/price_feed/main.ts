// Runs the whole example: starts a server and the programs, kills one of them, starts another one, and shows that nothing was
// lost.

import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { openServer } from "../demo/server.ts";
import { Company } from "./company.ts";
import { SYMBOLS } from "./feed.ts";
import { UsageError } from "../usage.ts";
import { HELP, type Options, readOptions } from "./options.ts";

/** Milliseconds to wait for missing quotes after all ticks are stored, plus milliseconds for each tick, which needs about two. */
const PATIENCE = 10_000;
const PATIENCE_PER_TICK = 5;

/** Starts and stops the server; returns the exit code. */
async function main(): Promise<number> {
  const options = readOptions(process.argv.slice(2));
  if (options === undefined) {
    process.stdout.write(HELP);
    return 0;
  }
  const { promise: interrupted, reject: interrupt } = Promise.withResolvers<never>();
  // Only the first signal: a second Ctrl-C ends the process at once, and the server with it.
  for (const name of ["SIGINT", "SIGTERM"] as const) process.once(name, () => interrupt(new Interrupted(name)));
  interrupted.catch(() => {}); // handled below
  const server = await openServer();
  const company = new Company(server.url);
  try {
    process.stderr.write(`${server.description}\n\n`);
    return await Promise.race([trade(company, options), interrupted]);
  } finally {
    await company.close();
    for (const stream of company.streams) await server.forget(stream);
    await server.stop();
  }
}

/** Runs the programs; returns the exit code of the collector, which is 0 if no tick is missing. */
async function trade(company: Company, { ticks, rate }: Options): Promise<number> {
  const { signal } = company;
  const total = ticks * SYMBOLS.length;
  const start = (name: string) => company.start(name, "processor.ts", ["--name", name]);
  const [collector, one, two] = await Promise.all([
    company.start("collector", "collector.ts"),
    start("processor-1"),
    start("processor-2"),
  ]);
  const producer = await company.start("producer", "producer.ts", ["--ticks", `${ticks}`, "--rate", `${rate}`]);

  await sleep(0.4 * 1_000 * total / rate, undefined, { signal }); // before the middle
  await two.end("SIGKILL");
  company.say("main", "kills processor-2 and starts another one");
  const three = await start("processor-3");

  await producer.ended;
  const patience = PATIENCE + PATIENCE_PER_TICK * total;
  await Promise.race([collector.says("is complete"), sleep(patience, undefined, { signal })]);
  await Promise.all([one.end("SIGTERM"), three.end("SIGTERM")]);
  return await collector.end("SIGTERM") ?? 1;
}

class Interrupted extends Error {
  constructor(signal: string) {
    super(`Stopped by ${signal}`);
  }
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
  process.exitCode = error instanceof UsageError ? 2 : error instanceof Interrupted ? 130 : 1;
}
