// Which runtime is running, and its dial function.
// It must not know sockets; it loads one adapter, the running runtime's, when the first connection is made.

import { type Dial, TransportError } from "./transport.ts";

/** The runtimes there is an adapter for. */
export type Runtime = "deno" | "bun" | "node";

/** The parts of a global object by which runtimes are told apart. */
export interface RuntimeSigns {
  /** Deno's own namespace. */
  readonly Deno?: { readonly version?: { readonly deno?: unknown } };
  /** Node's process object; Bun and Deno have one too, with their own version beside Node's. */
  readonly process?: { readonly versions?: { readonly [name: string]: unknown } };
}

/**
 * Tells which runtime is running, or `undefined`. Deno and Bun offer Node's modules and its `process` too, so they
 * are asked for first, and by their version, since a `Deno` or `Bun` global alone may be a shim.
 */
export function detectRuntime(global: RuntimeSigns = globalThis): Runtime | undefined {
  const versions = global.process?.versions;
  if (typeof versions?.bun === "string") return "bun";
  if (typeof versions?.deno === "string") return "deno";
  if (typeof versions?.node === "string") return "node";
  return typeof global.Deno?.version?.deno === "string" ? "deno" : undefined;
}

/**
 * Gives the dial function of the running runtime, for injection; its adapter is loaded by the first call of it.
 *
 * @throws {TransportError} of kind `"unsupported"`, from the dial function, where no adapter fits.
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
      throw new TransportError("unsupported", "Cannot connect as neither Deno, Bun nor Node is running");
  }
}
