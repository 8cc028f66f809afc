// The command line: finds the command, parses its arguments, runs it, and returns the exit code.

import { LIBRARY_VERSION } from "../version.ts";
import { type CommandSpec, nearest, readArguments } from "./args/arguments.ts";
import { CONSUME, runConsume } from "./verbs/consume.ts";
import { DECODE, runDecode } from "./verbs/decode.ts";
import { DUMP, runDump } from "./verbs/dump.ts";
import { describe, EXIT, exitCodeOf, UsageError } from "./failure.ts";
import { commandHelp, helpWidth, programHelp } from "./args/help.ts";
import { INFO, runInfo } from "./verbs/info.ts";
import { PRODUCE, runProduce } from "./verbs/produce.ts";
import { RELAY, runRelay } from "./verbs/relay.ts";
import { RESTORE, runRestore } from "./verbs/restore/restore.ts";
import type { Task } from "./verbs/session.ts";
import { Interrupted, type System } from "./system.ts";
import { writeLine } from "./screen/terminal.ts";
import { runTrim, TRIM } from "./verbs/trim.ts";

interface Command {
  readonly spec: CommandSpec;
  readonly run: (task: Task) => Promise<void>;
}

const COMMANDS: readonly Command[] = [
  { spec: PRODUCE, run: runProduce },
  { spec: CONSUME, run: runConsume },
  { spec: RELAY, run: runRelay },
  { spec: DUMP, run: runDump },
  { spec: RESTORE, run: runRestore },
  { spec: TRIM, run: runTrim },
  { spec: INFO, run: runInfo },
  { spec: DECODE, run: runDecode },
];

/** Runs the command of the arguments and resolves to the exit code. Never rejects. */
export async function runCommandLine(system: System): Promise<number> {
  const verbose = system.args.some((arg) => arg === "--verbose" || arg === "-v");
  try {
    await run(system);
    return EXIT.ok;
  } catch (error) {
    const code = exitCodeOf(error);
    if (error instanceof Interrupted) return code;
    const hint = error instanceof UsageError ? " (see --help)" : "";
    const [first, ...more] = describe(error, verbose);
    writeLine(system.stderr, `sea-streamer: ${first}${more.length === 0 ? hint : ""}`);
    more.forEach((line, i) => writeLine(system.stderr, `${line}${i === more.length - 1 ? hint : ""}`));
    return code;
  }
}

async function run(system: System): Promise<void> {
  const [name, ...args] = system.args;
  const print = async (text: string) => void await system.stdout.write(new TextEncoder().encode(text), system.signal);
  const width = helpWidth(system.screen.isTerminal ? system.screen.columns : undefined);
  if (name === "--version" || name === "-V") return await print(`sea-streamer ${LIBRARY_VERSION}\n`);
  if (name === undefined || name === "--help" || name === "-h" || name === "help") {
    if (name === undefined) {
      throw new UsageError(`Missing command: ${COMMANDS.map(({ spec }) => spec.name).join(", ")}`);
    }
    const topic = args.find((arg) => !arg.startsWith("-"));
    if (topic !== undefined) return await print(commandHelp(commandOf(topic).spec, width));
    return await print(programHelp(COMMANDS.map(({ spec }) => spec), width));
  }
  const command = commandOf(name);
  const given = readArguments(system, command.spec, args);
  if (given.flag("help")) return await print(commandHelp(command.spec, width));
  await command.run({ system, given });
}

function commandOf(name: string): Command {
  const command = COMMANDS.find(({ spec }) => spec.name === name);
  if (command !== undefined) return command;
  const near = nearest(name, COMMANDS.map(({ spec }) => spec.name));
  const hint = near === undefined ? "" : `. Did you mean ${near}?`;
  throw new UsageError(`Unknown command ${JSON.stringify(name)}${hint}`);
}
