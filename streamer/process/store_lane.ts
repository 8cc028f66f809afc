// Stores outputs of one slot in the order in which they are added: one call at a time, each with all that has come meanwhile.

import { classOf } from "../../resp/connection/server_errors.ts";
import { RedisError, RefusedReplyError } from "../../resp/errors.ts";
import { StoreBatch, type StoreCall, storeOutputs, type StoreResult } from "../commands/store_outputs.ts";
import type { OutputGate } from "../consumer/group/output_gate.ts";
import type { GatedInput } from "../consumer/pending/gated_input.ts";
import type { Task } from "./keyed_scheduler.ts";
import type { PreparedEntry } from "../producer/sending/prepared_entry.ts";
import { isScriptRefused } from "./exactly_once.ts";

/** An input that is stored with its outputs. */
export interface StoreTask {
  readonly task: Task;
  readonly input: GatedInput;
}

/** What a lane needs, and its listeners. */
export interface StoreLanePorts {
  readonly gate: Pick<OutputGate, "group" | "consumer" | "run" | "groupMissing">;
  /** The outputs of an input are stored, or were before. */
  readonly settled: (one: StoreTask, repeated: boolean) => void;
  /** Nothing was stored, and the input is still pending; or the server has not answered. */
  readonly failed: (one: StoreTask, error: unknown) => void;
  /** So many fewer bytes wait. */
  readonly onSent: (bytes: number) => void;
  /** Some tasks have settled, and no more do in this turn. */
  readonly pause: () => void;
}

/** A batch that is full. */
interface FullBatch {
  readonly call: StoreCall;
  readonly tasks: readonly StoreTask[];
  readonly ungated: boolean;
  readonly bytes: number;
}

/** Calls the script. */
export class StoreLane {
  readonly #ports: StoreLanePorts;
  readonly #full: FullBatch[] = []; // in their order; the bytes that wait are limited, so they are few
  #batch = new StoreBatch();
  #tasks: StoreTask[] = [];
  #ungated = false; // whether the open batch stores outputs of orphaned inputs
  #running = false;

  constructor(ports: StoreLanePorts) {
    this.#ports = ports;
  }

  /** Adds an input, and returns the bytes that wait with it. `undefined` if it has too many outputs for one call. */
  add(one: StoreTask, outputs: readonly PreparedEntry[]): number | undefined {
    const { input } = one;
    if (this.#batch.size > 0 && this.#ungated !== input.isOrphaned) this.#close();
    this.#ungated = input.isOrphaned;
    const { redisKey, id } = input;
    const before = this.#batch.bytes;
    if (!this.#batch.add({ redisKey, id, outputs })) return undefined;
    const bytes = this.#batch.bytes - before;
    this.#tasks.push(one);
    if (this.#batch.isFull) this.#close();
    if (!this.#running) {
      this.#running = true;
      queueMicrotask(() => void this.#run()); // with all others of this tick
    }
    return bytes;
  }

  #close(): void {
    const { bytes } = this.#batch;
    this.#full.push({ call: this.#batch.close(), tasks: this.#tasks, ungated: this.#ungated, bytes });
    this.#batch = new StoreBatch();
    this.#tasks = [];
  }

  async #run(): Promise<void> {
    for (;;) {
      if (this.#full.length === 0 && this.#batch.size > 0) this.#close();
      const next = this.#full.shift();
      if (next === undefined) break;
      await this.#store(next.call, next.tasks, next.ungated);
      this.#ports.onSent(next.bytes);
      this.#ports.pause();
    }
    this.#running = false;
  }

  async #store(call: StoreCall, tasks: readonly StoreTask[], ungated: boolean): Promise<void> {
    const { gate, settled, failed } = this.#ports;
    let results: readonly StoreResult[];
    try {
      results = await gate.run(storeOutputs(call, { group: gate.group, consumer: gate.consumer, ungated }));
    } catch (error) {
      if (tasks.length === 1 || !mayBeOneOf(error)) return tasks.forEach((task) => failed(task, error));
      const half = tasks.length >> 1;
      await this.#store(call.part(0, half), tasks.slice(0, half), ungated);
      return await this.#store(call.part(half, tasks.length), tasks.slice(half), ungated);
    }
    const orphaned: number[] = [];
    results.forEach((result, i) => {
      if (result === "stored" || result === "repeated") return settled(tasks[i], result === "repeated");
      const error = new RedisError(result.refusal, { command: "XADD" });
      if (ungated || classOf(error) !== "group-missing") return failed(tasks[i], error);
      orphaned.push(i);
      gate.groupMissing(tasks[i].input, result.refusal);
    });
    // They are pending nowhere, and nobody is given them again.
    for (const i of orphaned) await this.#store(call.part(i, i + 1), [tasks[i]], true);
  }
}

/** Whether a refusal may be due to one of several inputs: a key that is not allowed, or a request that is too large. */
function mayBeOneOf(error: unknown): boolean {
  return error instanceof RefusedReplyError || (classOf(error) === "forbidden" && !isScriptRefused(error));
}
