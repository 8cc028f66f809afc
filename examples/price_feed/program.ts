// Needed by every service: the URL of the server, arguments, and a signal to stop.

import process from "node:process";
import { parseArgs } from "node:util";

/** The URL of the server. It comes from the environment, since a URL may contain a password and arguments are public. */
export const redisUrl: string = process.env.REDIS_URL ?? "redis://localhost:6379";

/** The values of the options `--name value`, or the given defaults. */
export function readArguments<Name extends string>(defaults: Readonly<Record<Name, string>>): Record<Name, string> {
  const names = Object.keys(defaults);
  const { values } = parseArgs({
    options: Object.fromEntries(names.map((name) => [name, { type: "string" as const }])),
  });
  return { ...defaults, ...values };
}

/** A signal that is aborted by SIGTERM or Ctrl-C. */
export function stopSignal(): AbortSignal {
  const stop = new AbortController();
  for (const name of ["SIGTERM", "SIGINT"] as const) process.once(name, () => stop.abort());
  return stop.signal;
}
