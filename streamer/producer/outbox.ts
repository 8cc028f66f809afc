// The messages that wait to be written, in their order, and the ranges of bytes they are written in. It must not know
// connections or errors.

import type { SendRecord } from "./receipt.ts";
import { RecordQueue } from "./record_queue.ts";
import type { Target } from "./target.ts";

/** What waits to be written. */
export class Outbox {
  #again = new RecordQueue<SendRecord>(); // what a cut has returned: before everything else
  readonly #fresh = new RecordQueue<SendRecord>();
  readonly #open = new Set<Target<SendRecord>>(); // targets whose backlog may be written

  /** A new message. */
  add(record: SendRecord): void {
    this.#fresh.push(record);
  }

  /** Whether there is something that may be written. */
  get waits(): boolean {
    return this.#again.length > 0 || this.#fresh.length > 0 || this.#open.size > 0;
  }

  /** What was in flight at a cut, in its order, is written again before anything else. */
  returned(records: readonly SendRecord[]): void {
    const again = new RecordQueue<SendRecord>();
    for (const record of [...records, ...this.#again.drain()]) again.push(record);
    this.#again = again;
  }

  /** A target's backlog may be written, before anything of that target that comes later. */
  release(target: Target<SendRecord>): void {
    target.backlog?.release();
    this.#open.add(target);
  }

  /**
   * Takes the next messages whose bytes stand side by side, `limit` bytes at most or one message, and tells of each.
   * Those settled meanwhile are skipped; those of a target that is held back go into its backlog.
   */
  take(limit: number, onTaken: (record: SendRecord) => void): Uint8Array | undefined {
    let queue = this.#front();
    const first = queue?.shift();
    if (first?.chunk === undefined) return undefined;
    const { chunk, from } = first;
    let to = first.to;
    onTaken(first);
    for (queue = this.#front(); queue !== undefined; queue = this.#front()) {
      const record = queue.peek();
      if (record === undefined || record.chunk !== chunk || record.from !== to || record.to - from > limit) break;
      queue.shift();
      to = record.to;
      onTaken(record);
    }
    return chunk.bytes.subarray(from, to);
  }

  /** The queue whose first message is the next to write. */
  #front(): RecordQueue<SendRecord> | undefined {
    if (this.#again.length > 0 && this.#tidy(this.#again)) return this.#again;
    if (this.#open.size > 0) {
      for (const target of this.#open) {
        const { backlog } = target;
        if (backlog?.open) {
          while (backlog.held.peek()?.settled) backlog.held.shift();
          if (backlog.held.length > 0) return backlog.held;
          target.backlog = undefined; // all is written: an ordinary target again
        }
        this.#open.delete(target);
      }
    }
    return this.#tidy(this.#fresh) ? this.#fresh : undefined;
  }

  /** Drops what needs no writing from the front of a queue; whether anything is left. */
  #tidy(queue: RecordQueue<SendRecord>): boolean {
    for (;;) {
      const record = queue.peek();
      if (record === undefined) return false;
      if (!record.settled) {
        const { backlog } = record.target;
        if (backlog === undefined) return true;
        backlog.held.push(record);
      }
      queue.shift();
    }
  }
}
