// Reads a range over all shards of a stream and merges it in the order of the ids.

import { halves } from "../model/id.ts";
import type { Message } from "../model/message.ts";
import type { PageSource } from "./page_iterator.ts";
import type { RangeReader } from "./range_reader.ts";

/** A shard and the first of its messages that was not returned yet. */
interface Head {
  readonly reader: RangeReader;
  readonly message: Message;
  readonly first: bigint;
  readonly second: bigint;
}

/** Merges shards, with only the current pages of each in memory. Messages with the same id come in the order of their shards. */
export class MergedRange implements PageSource<Message> {
  readonly #readers: readonly RangeReader[];
  readonly #sign: number;
  readonly #heap: Head[] = []; // a binary heap: the next message is at 0; the children of i, at 2i + 1 and 2i + 2, come after i
  #dry: RangeReader[]; // their next message is not known

  constructor(readers: readonly RangeReader[], reverse: boolean) {
    this.#readers = readers;
    this.#sign = reverse ? -1 : 1;
    this.#dry = [...readers];
  }

  take(): Message | undefined {
    if (this.#dry.length > 0 || this.#heap.length === 0) return undefined;
    const { reader, message } = this.#heap[0];
    const next = headOf(reader);
    const last = next ?? this.#heap.pop();
    if (next === undefined) this.#dry.push(reader);
    if (last !== undefined && this.#heap.length > 0) this.#sink(last);
    return message;
  }

  async more(): Promise<boolean> {
    const dry = this.#dry;
    await Promise.all(dry.map((reader) => reader.more()));
    for (const reader of dry) {
      const head = headOf(reader);
      if (head !== undefined) this.#rise(head);
    }
    this.#dry = [];
    return this.#heap.length > 0;
  }

  close(): void {
    this.#heap.length = 0;
    for (const reader of this.#readers) reader.close();
  }

  /** Inserts a head at the bottom and moves it up to its place. */
  #rise(head: Head): void {
    const heap = this.#heap;
    let at = heap.length;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.#isBefore(head, heap[parent])) break;
      heap[at] = heap[parent];
      at = parent;
    }
    heap[at] = head;
  }

  /** Replaces the first head and moves the new one down to its place. */
  #sink(head: Head): void {
    const heap = this.#heap;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && this.#isBefore(heap[child + 1], heap[child])) child++;
      if (!this.#isBefore(heap[child], head)) break;
      heap[at] = heap[child];
      at = child;
    }
    heap[at] = head;
  }

  #isBefore(one: Head, other: Head): boolean {
    if (one.first !== other.first) return one.first < other.first === this.#sign > 0;
    if (one.second !== other.second) return one.second < other.second === this.#sign > 0;
    return (one.reader.shardId - other.reader.shardId) * this.#sign < 0;
  }
}

function headOf(reader: RangeReader): Head | undefined {
  const message = reader.take();
  return message === undefined ? undefined : { reader, message, ...halves(message.id) };
}
