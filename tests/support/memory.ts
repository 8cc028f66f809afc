// Measures memory: the bytes that this process still uses after a full collection, on each runtime.
//
// Garbage does not prove a leak. An engine collects when its heap has grown by a share of its size. So the same loop
// takes 60 MiB in a fresh process, and hundreds of MiB after other tests have filled the heap. Bun runs all files in
// one process, which makes that difference large (measured: a loop that keeps nothing, 627 MiB without a collection, 63
// MiB with one). Every figure here is therefore read after a collection: the rest is retained by references.

import { setFlagsFromString } from "node:v8";
import { memoryUsage } from "node:process";
import { runInNewContext } from "node:vm";

const collect = findCollector();

/** The growth of this process's memory since the watch was made. */
export class MemoryWatch {
  readonly #before = read();
  #live = 0;
  #resident = 0;

  /** Collects garbage and takes a reading. Costs tens of milliseconds. */
  sample(): void {
    const { live, resident } = read();
    this.#live = Math.max(this.#live, live - this.#before.live);
    this.#resident = Math.max(this.#resident, resident - this.#before.resident);
  }

  /**
   * For callers that look very often, at short peaks: garbage included, the growth is known to be within `limit`, or else garbage is
   * collected first.
   */
  glance(limit: number): void {
    const growth = memoryUsage().rss - this.#before.resident;
    if (growth > limit) this.sample();
    else this.#resident = Math.max(this.#resident, growth);
  }

  /**
   * Bytes between the highest reading and the first. Counts the live bytes reported by the engine or the bytes that the
   * system gave to the process, whichever grew more. The first shows a leak in memory that earlier tests left free, the
   * second a leak outside of the heap.
   */
  get growth(): number {
    return Math.max(this.#live, this.#resident);
  }
}

interface Reading {
  readonly live: number;
  readonly resident: number;
}

function read(): Reading {
  collect();
  const { heapUsed, external, rss } = memoryUsage();
  // Bun's heap includes memory outside of it.
  return { live: "Bun" in globalThis ? heapUsed : heapUsed + external, resident: rss };
}

/** The engine's own collector; V8 gives it to contexts that are made after the flag. */
function findCollector(): () => void {
  const { Bun: bun } = globalThis as { Bun?: { gc(force: boolean): unknown } };
  if (bun !== undefined) return () => void bun.gc(true);
  setFlagsFromString("--expose-gc");
  const gc: unknown = runInNewContext("gc");
  if (typeof gc !== "function") throw new Error("Cannot measure memory: the engine gives no collector");
  return () => {
    gc();
    gc(); // waits until the buffers that the first collection found unreachable are freed
  };
}
