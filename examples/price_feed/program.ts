// What a service needs beside its work: where the server is, what it was told, when to stop. It must not know the work.

import process from "node:process";
import { parseArgs } from "node:util";

/** The server to talk to. By the environment, not by an argument: a url may hold a password, and arguments are public. */
export const redisUrl: string = process.env.REDIS_URL ?? "redis://localhost:6379";

/** What stands behind `--name value` for each of these names, or what is given here. */
export function readArguments<Name extends string>(defaults: Readonly<Record<Name, string>>): Record<Name, string> {
  const names = Object.keys(defaults);
  const { values } = parseArgs({
    options: Object.fromEntries(names.map((name) => [name, { type: "string" as const }])),
  });
  return { ...defaults, ...values };
}

/** Is aborted when the process is told to stop: by whoever started it, or by Ctrl-C. */
export function stopSignal(): AbortSignal {
  const stop = new AbortController();
  for (const name of ["SIGTERM", "SIGINT"] as const) process.once(name, () => stop.abort());
  return stop.signal;
}
