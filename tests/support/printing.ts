// How the running runtime prints a value, as `console.log` does.

import { inspect } from "node:util";

type Inspect = (value: unknown) => string;

/** The text that `console.log` prints for a value, without colors. */
export function printed(value: unknown): string {
  // The border to the runtimes' own printers.
  const { Deno, Bun } = globalThis as { Deno?: { inspect: Inspect }; Bun?: { inspect: Inspect } };
  return (Deno?.inspect ?? Bun?.inspect ?? inspect)(value);
}
