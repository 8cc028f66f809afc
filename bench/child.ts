// Owns the processes of the benchmark: starts one, waits for it, reads the line it prints. Must not know what it does.

import { spawn } from "node:child_process";
import { env } from "node:process";
import type { Sample } from "./contenders/contend.ts";

/** Milliseconds after which a process is ended and its run counts as failed. */
const LONGEST = 180_000;

/** Runs a command line that prints one line of JSON; rejects with what it said on stderr when it fails. */
export async function runSample(command: readonly string[]): Promise<Sample> {
  const output = await runText(command);
  // The line is written by `contend` or by the yardstick.
  const sample: Sample = JSON.parse(output);
  if (!(sample.messages > 0 && sample.seconds > 0)) throw new Error(`No sample: ${output}`);
  return sample;
}

/** Runs a command line; gives what it printed. */
export function runText(command: readonly string[]): Promise<string> {
  const [program, ...args] = command;
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...env, NO_COLOR: "1" },
    });
    let output = "", complaint = "";
    const timer = setTimeout(() => {
      complaint = `Did not end within ${LONGEST} ms`;
      child.kill("SIGKILL");
    }, LONGEST);
    child.stdout.on("data", (text) => output += text);
    child.stderr.on("data", (text) => complaint = (complaint + text).slice(0, 10_000));
    child.on("error", (error) => {
      clearTimeout(timer);
      reject(error);
    });
    child.on("close", (code) => {
      clearTimeout(timer);
      if (code === 0) resolve(output);
      else reject(new Error(essence(complaint) || `Ended with code ${code}`));
    });
  });
}

/** The line that says what went wrong, out of all that a runtime prints around it. */
function essence(complaint: string): string {
  const lines = complaint.trim().split("\n");
  return (lines.find((line) => /^[\w\s()]*error\w*( \[\w+\])?:/i.test(line)) ?? lines[0]).trim();
}
