// Exactly once: a script stores the outputs of a message and acknowledges it, in one step of the server.

import { classOf } from "../../resp/connection/server_errors.ts";
import { StreamerError } from "../../resp/errors.ts";
import { STORE_FIELDS } from "../commands/store_outputs.ts";
import { OptionError } from "../model/option_error.ts";
import type { PreparedEntry } from "../producer/sending/prepared_entry.ts";
import { isScriptRefused, leftGroup, noScripts, otherSlots, type StoreParts } from "./exactly_once.ts";
import type { Task } from "./keyed_scheduler.ts";
import type { Output } from "./options.ts";
import type { Outlet, OutletOwner } from "./outlet.ts";
import { prepareOutput } from "./output.ts";
import { StoreLane, type StoreTask } from "./store_lane.ts";

/** Bytes that wait, from which on no handler starts. */
const MOST_WAITING = 16 * 1024 * 1024;

/** Stores outputs. */
export class StoredOutputs implements Outlet {
  readonly #parts: StoreParts;
  readonly #owner: OutletOwner;
  readonly #lanes = new Map<number, StoreLane>(); // by slot
  #count = 0;
  #waiting = 0; // bytes
  #room: PromiseWithResolvers<void> | undefined;

  constructor(parts: StoreParts, owner: OutletOwner) {
    this.#parts = parts;
    this.#owner = owner;
  }

  get count(): number {
    return this.#count;
  }

  get isFull(): boolean {
    return this.#waiting >= MOST_WAITING;
  }

  get ready(): Promise<void> {
    if (!this.isFull) return Promise.resolve();
    this.#room ??= Promise.withResolvers<void>();
    return this.#room.promise;
  }

  take(task: Task, output: Output): void {
    const { gate, producer, outlet } = this.#parts;
    const outputs = prepareOutput(producer, outlet, output);
    checkSizes(outputs);
    const input = gate.begin(task.message);
    if (input === undefined) return this.#owner.fatal(task, leftGroup());
    const slot = gate.router.slotOf(input.redisKey);
    const elsewhere = outputs.find(({ redisKey }) => gate.router.slotOf(redisKey) !== slot);
    const one = { task, input };
    if (elsewhere !== undefined) return this.#stop(one, otherSlots(input.redisKey, elsewhere.redisKey));
    const bytes = this.#laneOf(slot).add(one, outputs);
    if (bytes === undefined) {
      input.giveUp();
      throw tooMany("outputs of one message, with less than 1,000,000 fields and keys", outputs.length);
    }
    this.#count++;
    this.#waiting += bytes;
  }

  watch(): void {} // a lane sends at the end of the tick by itself

  #laneOf(slot: number): StoreLane {
    let lane = this.#lanes.get(slot);
    if (lane === undefined) {
      lane = new StoreLane({
        gate: this.#parts.gate,
        settled: (one, repeated) => this.#settled(one, repeated),
        failed: (one, error) => this.#failed(one, error),
        onSent: (bytes) => this.#sent(bytes),
        pause: this.#owner.pause,
      });
      this.#lanes.set(slot, lane);
    }
    return lane;
  }

  #settled({ task, input }: StoreTask, repeated: boolean): void {
    this.#count--;
    this.#owner.acknowledged(task, repeated);
    input.acknowledged();
  }

  #failed(one: StoreTask, error: unknown): void {
    this.#count--;
    if (isScriptRefused(error)) return this.#stop(one, noScripts(error));
    one.input.giveUp();
    this.#owner.failed(one.task, meaningOf(error));
  }

  /** No output can be stored, which is not the fault of this message. */
  #stop({ task, input }: StoreTask, error: unknown): void {
    input.giveUp();
    this.#owner.fatal(task, error);
  }

  #sent(bytes: number): void {
    this.#waiting -= bytes;
    if (this.isFull) return;
    this.#room?.resolve();
    this.#room = undefined;
  }
}

function checkSizes(outputs: readonly PreparedEntry[]): void {
  for (const { args } of outputs) {
    if (args.length > STORE_FIELDS * 2 + 4) throw tooMany(`at most ${STORE_FIELDS} fields`, args.length >> 1); // 4: id and trim
  }
}

function tooMany(rule: string, got: number): StreamerError {
  return new OptionError(`'output' must have ${rule}, got ${got}`, "store the output of a handler");
}

/** Servers before 7.0 do not support `<time>-*`. */
function meaningOf(error: unknown): unknown {
  if (classOf(error) !== "invalid-id") return error;
  return new StreamerError("UNSUPPORTED", "An output with 'timestamp' requires Redis 7.0 or later", { cause: error });
}
