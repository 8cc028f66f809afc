// Detects the runtime, and provides its dial function. The adapter of the runtime is loaded for the first connection.

import { type Dial, TransportError } from "./transport.ts";

/** The runtimes that have an adapter. */
export type Runtime = "deno" | "bun" | "node";

/** The parts of the global object that identify a runtime. */
export interface RuntimeSigns {
  /** Deno's own namespace. */
  readonly Deno?: { readonly version?: { readonly deno?: unknown } };
  /** Node's process object. Bun and Deno have one, too, which contains their own version. */
  readonly process?: { readonly versions?: { readonly [name: string]: unknown } };
}

/**
 * The current runtime, or `undefined`. Deno and Bun provide Node's `process`, too, so their versions are checked first. A `Deno` or
 * `Bun` global alone may be a shim.
 */
export function detectRuntime(global: RuntimeSigns = globalThis): Runtime | undefined {
  const versions = global.process?.versions;
  if (typeof versions?.bun === "string") return "bun";
  if (typeof versions?.deno === "string") return "deno";
  if (typeof versions?.node === "string") return "node";
  return typeof global.Deno?.version?.deno === "string" ? "deno" : undefined;
}

/**
 * Returns the dial function of the current runtime. Its first call loads the adapter.
 *
 * @throws {TransportError} The dial function rejects with kind `"unsupported"` if there is no adapter.
 */
export function nativeDial(global: RuntimeSigns = globalThis): Dial {
  const runtime = detectRuntime(global);
  return async (endpoint, options) => {
    options.signal?.throwIfAborted();
    const { dial } = await load(runtime);
    return await dial(endpoint, options);
  };
}

async function load(runtime: Runtime | undefined): Promise<{ readonly dial: Dial }> {
  switch (runtime) {
    case "deno":
      return await import("./deno.ts");
    case "bun":
      return await import("./bun.ts");
    case "node":
      return await import("./node.ts");
    default:
      throw new TransportError("unsupported", "the runtime is neither Deno, Bun nor Node");
  }
}
