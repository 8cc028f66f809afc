// The command line: which command is meant, what it is given, and what its end means to the process. It must not know any
// runtime, nor what commands do.

import { LIBRARY_VERSION } from "../version.ts";
import { type CommandSpec, nearest, readArguments } from "./arguments.ts";
import { CONSUME, runConsume } from "./consume.ts";
import { DECODE, runDecode } from "./decode.ts";
import { DUMP, runDump } from "./dump.ts";
import { EXIT, exitCodeOf, tell, UsageError } from "./failure.ts";
import { commandHelp, programHelp } from "./help.ts";
import { INFO, runInfo } from "./info.ts";
import { PRODUCE, runProduce } from "./produce.ts";
import { RELAY, runRelay } from "./relay.ts";
import { RESTORE, runRestore } from "./restore.ts";
import type { Task } from "./session.ts";
import { Interrupted, type System } from "./system.ts";
import { runTrim, TRIM } from "./trim.ts";

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

/** Does what the arguments say; gives the exit code. Never throws. */
export async function runCommandLine(system: System): Promise<number> {
  const verbose = system.args.some((word) => word === "--verbose" || word === "-v");
  try {
    await run(system);
    return EXIT.ok;
  } catch (error) {
    const code = exitCodeOf(error);
    if (error instanceof Interrupted) return code; // whoever sent the signal knows
    const hint = error instanceof UsageError ? " (--help tells what there is)" : "";
    system.stderr.write(`sea-streamer: ${tell(error, verbose)}${hint}\n`);
    return code;
  }
}

async function run(system: System): Promise<void> {
  const [name, ...words] = system.args;
  const print = async (text: string) => void await system.stdout.write(new TextEncoder().encode(text), system.signal);
  if (name === "--version" || name === "-V") return await print(`sea-streamer ${LIBRARY_VERSION}\n`);
  if (name === undefined || name === "--help" || name === "-h" || name === "help") {
    const wanted = COMMANDS.find(({ spec }) => spec.name === words[0]);
    if (name === undefined) {
      throw new UsageError(`Something is missing: ${COMMANDS.map(({ spec }) => spec.name).join(", ")}`);
    }
    return await print(wanted === undefined ? programHelp(COMMANDS.map(({ spec }) => spec)) : commandHelp(wanted.spec));
  }
  const command = COMMANDS.find(({ spec }) => spec.name === name);
  if (command === undefined) {
    const near = nearest(name, COMMANDS.map(({ spec }) => spec.name));
    throw new UsageError(`There is no command ${JSON.stringify(name)}${near === undefined ? "" : `; is it ${near}?`}`);
  }
  const given = readArguments(system, command.spec, words);
  if (given.flag("help")) return await print(commandHelp(command.spec));
  await command.run({ system, given });
}
