// At least once: outputs are sent by the producer, and a message is acked when all of its receipts are there.

import type { Task } from "./keyed_scheduler.ts";
import type { Output, ProcessOutlet } from "./options.ts";
import type { Outlet, OutletOwner } from "./outlet.ts";
import { sendOutput } from "./output.ts";
import { ReceiptWatch } from "./receipts.ts";

/** Sends outputs. */
export class SentOutputs implements Outlet {
  readonly #producer: ProcessOutlet | undefined;
  readonly #owner: OutletOwner;
  readonly #receipts: ReceiptWatch;

  constructor(producer: ProcessOutlet | undefined, owner: OutletOwner) {
    this.#producer = producer;
    this.#owner = owner;
    this.#receipts = new ReceiptWatch({
      settled: (task, failure) => failure === undefined ? owner.stored(task) : owner.failed(task, failure.error),
      pause: owner.pause,
    });
  }

  get count(): number {
    return this.#receipts.count;
  }

  get isFull(): boolean {
    return this.#producer !== undefined && this.#producer.desiredSize <= 0;
  }

  get ready(): Promise<void> {
    return this.#producer?.ready ?? Promise.resolve();
  }

  take(task: Task, output: Output): void {
    task.receipts = sendOutput(this.#producer, output);
    if (task.receipts.length === 0) this.#owner.stored(task);
    else this.#receipts.add(task);
  }

  watch(): void {
    this.#receipts.watch();
  }
}
