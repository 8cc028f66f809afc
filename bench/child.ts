// Runs the processes of the benchmark, and reads the line that each prints.

import { spawn } from "node:child_process";
import { env } from "node:process";
import type { Sample } from "./contenders/contend.ts";

/** Milliseconds after which a process is killed and its run counts as failed. */
const LONGEST = 180_000;

/** Runs a command line that prints one line of JSON. Rejects with its stderr if it fails. */
export async function runSample(command: readonly string[]): Promise<Sample> {
  const output = await runText(command);
  // `contend` or the yardstick has written the line.
  const sample: Sample = JSON.parse(output);
  if (!(sample.messages > 0 && sample.seconds > 0)) throw new Error(`No sample: ${output}`);
  return sample;
}

/** Runs a command line; resolves to its stdout. */
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

/** The line with the error, out of everything that a runtime prints. */
function essence(complaint: string): string {
  const lines = complaint.trim().split("\n");
  return (lines.find((line) => /^[\w\s()]*error\w*( \[\w+\])?:/i.test(line)) ?? lines[0]).trim();
}
