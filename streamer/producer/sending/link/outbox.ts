// The unwritten messages of one link in their order, and the byte ranges in which they are written.

import type { SendRecord } from "../../messages/receipt.ts";
import { RecordQueue } from "../../messages/record_queue.ts";
import { Backlog, type Target } from "../../messages/target.ts";

/** ASKING, sent before a command for a slot that the node is importing. Redis 3.0. */
const ASKING = new TextEncoder().encode("*1\r\n$6\r\nASKING\r\n");

/** The unwritten messages of one link. */
export class Outbox {
  #again = new RecordQueue<SendRecord>(); // to be sent again after a lost connection, before all others
  #fresh = new RecordQueue<SendRecord>();
  readonly #open = new Set<Target<SendRecord>>(); // targets with an open backlog
  readonly #probing = new Set<Target<SendRecord>>(); // the same, while as many of their messages are in flight as may be
  readonly #isGivenUp: (record: SendRecord) => boolean;

  /** `isGivenUp` rejects a message in doubt that must not be sent again, and returns whether it did so. */
  constructor(isGivenUp: (record: SendRecord) => boolean) {
    this.#isGivenUp = isGivenUp;
  }

  /** Appends a new message. */
  add(record: SendRecord): void {
    this.#fresh.push(record);
  }

  /** Whether a message can be written. */
  get waits(): boolean {
    return this.#again.length > 0 || this.#fresh.length > 0 || this.#open.size > 0;
  }

  /** Accepts the messages that were in flight on a lost connection. They are written before all others, in their order. */
  returned(records: readonly SendRecord[]): void {
    const again = new RecordQueue<SendRecord>();
    for (const record of [...records, ...this.#again.drain()]) again.push(record);
    this.#again = again;
    for (const target of this.#probing) this.#open.add(target);
    this.#probing.clear();
  }

  /** Opens a target's backlog. It is written before later messages of that target. */
  release(target: Target<SendRecord>): void {
    target.backlog?.release();
    this.#open.add(target);
  }

  /** Call this when another message of a target with an open backlog may be in flight. */
  probed(target: Target<SendRecord>): void {
    if (this.#probing.delete(target)) this.#open.add(target);
  }

  /** Forgets a target that moved to another link. */
  forget(target: Target<SendRecord>): void {
    this.#open.delete(target);
    this.#probing.delete(target);
  }

  /** Moves the queued messages of every target with a backlog into its backlog. Linear in the number of queued messages. */
  withhold(): void {
    this.#again = withoutWaiting(this.#again);
    this.#fresh = withoutWaiting(this.#fresh);
  }

  /**
   * Removes the next messages whose bytes are adjacent, at most `limit` bytes or one message, and calls `onTaken` with each. Settled
   * messages are skipped. Messages of a target with a backlog are moved into the backlog.
   */
  take(limit: number, onTaken: (record: SendRecord) => void): Uint8Array | undefined {
    let queue = this.#front();
    const first = queue?.shift();
    if (first?.chunk === undefined) return undefined;
    const { chunk, from } = first;
    let to = first.to;
    onTaken(first);
    if (first.target.askedBy !== undefined) return afterAsking(chunk.bytes.subarray(from, to));
    for (queue = this.#front(); queue !== undefined; queue = this.#front()) {
      const record = queue.peek();
      if (record === undefined || record.chunk !== chunk || record.from !== to || record.to - from > limit) break;
      if (record.target.askedBy !== undefined) break;
      queue.shift();
      to = record.to;
      onTaken(record);
    }
    return chunk.bytes.subarray(from, to);
  }

  /** The queue with the next message to write. */
  #front(): RecordQueue<SendRecord> | undefined {
    if (this.#again.length > 0 && this.#tidy(this.#again)) return this.#again;
    if (this.#open.size > 0) {
      for (const target of this.#open) {
        const { backlog } = target;
        if (backlog?.open && (target.isProbing ? target.inFlight > 0 : target.isFull)) this.#probing.add(target);
        else if (backlog?.open) {
          while (this.#isOver(backlog.later.peek())) backlog.later.shift();
          if (backlog.later.length > 0) return backlog.later;
          target.backlog = undefined; // all its messages are written
          target.isProbing = false;
        }
        this.#open.delete(target);
      }
    }
    return this.#tidy(this.#fresh) ? this.#fresh : undefined;
  }

  /** Removes settled and waiting messages from the start of a queue. Returns whether another message is left. */
  #tidy(queue: RecordQueue<SendRecord>): boolean {
    for (;;) {
      const record = queue.peek();
      if (record === undefined) return false;
      if (!this.#isOver(record)) {
        const { backlog, isFull } = record.target;
        if (backlog === undefined && !isFull) return true;
        (backlog ?? this.#limit(record.target)).later.push(record);
      }
      queue.shift();
    }
  }

  /** Whether a message is not written any more. */
  #isOver(record: SendRecord | undefined): boolean {
    return record !== undefined && (record.settled || (record.doubtful && this.#isGivenUp(record)));
  }

  /** Too many messages of a target are in flight: its later ones wait until others are answered. */
  #limit(target: Target<SendRecord>): Backlog<SendRecord> {
    this.#probing.add(target);
    const backlog = target.backlog = new Backlog<SendRecord>();
    backlog.open = true;
    return backlog;
  }
}

/** Moves the messages of targets with a backlog into their backlogs. Returns a queue of the others. */
function withoutWaiting(queue: RecordQueue<SendRecord>): RecordQueue<SendRecord> {
  const rest = new RecordQueue<SendRecord>();
  for (const record of queue.drain()) {
    if (!record.settled) (record.target.backlog?.later ?? rest).push(record);
  }
  return rest;
}

function afterAsking(command: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(ASKING.length + command.length);
  bytes.set(ASKING);
  bytes.set(command, ASKING.length);
  return bytes;
}
