// Whose turn it is: which of the messages that were taken may be handled now, and which wait for another. It must not know
// how they are handled.

import { Queue } from "../resp/connection/queue.ts";
import type { Message } from "./model/message.ts";
import type { ProcessOrder } from "./process_options.ts";
import type { SendReceipt } from "./producer/receipt.ts";

/** A message from its being taken until it is acked or given back. */
export interface Task {
  readonly message: Message;
  readonly line: Line | undefined;
  /** Its place in the order of taking. */
  readonly place: number;
  /** Of what was sent for it. */
  receipts: readonly SendReceipt[];
}

/** Messages of which one is handled at a time. It is there while one of them is handled or could be. */
interface Line {
  readonly name: string;
  /** Those behind the one whose turn it is. Few lines ever have any. */
  waiting: Queue<Task> | undefined;
}

/** Keeps what has been taken and not started, each line in order. */
export class Turns {
  readonly #nameOf: (message: Message) => string | undefined;
  readonly #lines = new Map<string, Line>();
  readonly #ready = new Queue<Task>();
  #waiting = 0;
  #places = 0;

  constructor(order: ProcessOrder) {
    this.#nameOf = nameBy(order);
  }

  /** How many have been taken and not started. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Puts one at the end of its line. */
  add(message: Message): void {
    this.#waiting++;
    const name = this.#nameOf(message);
    const found = name === undefined ? undefined : this.#lines.get(name);
    const line = found ?? (name === undefined ? undefined : { name, waiting: undefined });
    const task: Task = { message, line, place: this.#places++, receipts: [] };
    if (found !== undefined) return (found.waiting ??= new Queue()).push(task);
    if (line !== undefined) this.#lines.set(line.name, line);
    this.#ready.push(task);
  }

  /** Takes the next that can be handled. Its line stands still until {@linkcode done}. */
  take(): Task | undefined {
    const task = this.#ready.shift();
    if (task !== undefined) this.#waiting--;
    return task;
  }

  /** One has been handled: it is the turn of the next in its line. */
  done({ line }: Task): void {
    if (line === undefined) return;
    const next = line.waiting?.shift();
    if (next !== undefined) this.#ready.push(next);
    else this.#lines.delete(line.name); // there may be as many as values of a header
  }

  /** Takes back all that have not started, in the order in which they came. */
  drain(): Message[] {
    const tasks = this.#ready.drain();
    for (const { waiting } of this.#lines.values()) if (waiting !== undefined) tasks.push(...waiting.drain());
    this.#waiting = 0;
    return tasks.sort((a, b) => a.place - b.place).map(({ message }) => message);
  }
}

function nameBy(order: ProcessOrder): (message: Message) => string | undefined {
  if (order === "none") return () => undefined;
  if (order === "shard") return ({ shardId, streamKey }) => `${shardId} ${streamKey}`;
  return ({ headers }) => headers.get(order.header);
}
