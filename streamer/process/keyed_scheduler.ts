// Decides which messages can be handled now, and which wait for another message of the same key.

import { Queue } from "../../resp/connection/pipeline/queue.ts";
import type { Message } from "../model/message.ts";
import type { ProcessOrder } from "./options.ts";
import type { SendReceipt } from "../producer/messages/receipt.ts";

/** A message from its arrival until it is acked or nacked. */
export interface Task {
  readonly message: Message;
  /** The queue of its key; `undefined` if it waits for no other message. */
  readonly queue: KeyQueue | undefined;
  /** Its position in the order of reading. */
  readonly position: number;
  /** The receipts of its outputs. */
  receipts: readonly SendReceipt[];
  /** Whether its handler was started. */
  started: boolean;
  /** Whether it had to wait for another message. */
  waited: boolean;
  /** Whether its message was lost while it waited. */
  dropped: boolean;
  /** Its index in the list of active tasks, from its start until it is acked or nacked. */
  slot: number;
}

/** Messages of one key, handled one at a time. It exists while one of its messages is handled or ready. */
interface KeyQueue {
  readonly key: string;
  /** The messages after the current one. Few keys ever have any. */
  waiting: Queue<Task> | undefined;
}

/** Queues the messages whose handlers have not started: per key in their order, one at a time. */
export class KeyedScheduler {
  readonly #keyOf: (message: Message) => string | undefined;
  readonly #queues = new Map<string, KeyQueue>();
  readonly #ready = new Queue<Task>();
  #waiting = 0;
  #positions = 0;

  constructor(order: ProcessOrder) {
    this.#keyOf = keyBy(order);
  }

  /** Number of messages whose handlers have not started. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Appends a message to the queue of its key. */
  add(message: Message): Task {
    this.#waiting++;
    const key = this.#keyOf(message);
    const found = key === undefined ? undefined : this.#queues.get(key);
    const queue = found ?? (key === undefined ? undefined : { key, waiting: undefined });
    const task: Task = {
      message,
      queue,
      position: this.#positions++,
      receipts: [],
      started: false,
      waited: false,
      dropped: false,
      slot: -1,
    };
    if (found !== undefined) {
      (found.waiting ??= new Queue()).push(task);
      return task;
    }
    if (queue !== undefined) this.#queues.set(queue.key, queue);
    this.#ready.push(task);
    return task;
  }

  /** The next message that can be handled, without taking it. */
  peek(): Task | undefined {
    return this.#ready.peek();
  }

  /** Takes the next message that can be handled. Its queue waits until {@linkcode done}. */
  take(): Task | undefined {
    const task = this.#ready.shift();
    if (task !== undefined) this.#waiting--;
    return task;
  }

  /** A handler has finished: the next message of its queue becomes ready. */
  done({ queue }: Task): void {
    if (queue === undefined) return;
    const next = queue.waiting?.shift();
    if (next !== undefined) this.#ready.push(next);
    else this.#queues.delete(queue.key); // the values of a header have no bound
  }

  /** Removes all messages whose handlers have not started, in the order of reading. */
  drain(): Message[] {
    const tasks = this.#ready.drain();
    for (const { waiting } of this.#queues.values()) if (waiting !== undefined) tasks.push(...waiting.drain());
    this.#waiting = 0;
    return tasks.sort((a, b) => a.position - b.position).map(({ message }) => message);
  }
}

function keyBy(order: ProcessOrder): (message: Message) => string | undefined {
  if (order === "none") return () => undefined;
  if (order === "shard") return ({ shardId, streamKey }) => `${shardId} ${streamKey}`;
  return ({ headers }) => headers.get(order.header);
}
