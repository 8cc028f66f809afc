// Acknowledgements in transit to the server: collected into batches, then confirmed or restored.

import type { MessageId } from "../../model/id.ts";
import type { GroupShard } from "../shards/group_shard.ts";
import { type AckBatch, AckBatches, ackBatchOf } from "./ack_batch.ts";
import { ENTRY_STATE } from "./entry_state.ts";
import type { EntryTable } from "./entry_table.ts";
import type { PendingBatch } from "./pending_batch.ts";

/** Entries to acknowledge that are not tracked: those of a previous session of this consumer, or gone ones. */
class UntrackedAcks {
  readonly #ids = new Map<GroupShard, Set<MessageId>>(); // to be sent
  readonly #batches = new Set<AckBatch>(); // that are being sent, and have such ids
  #unsent = 0;
  #sending = 0;

  /** Ids to acknowledge. */
  get unsent(): number {
    return this.#unsent;
  }

  /** Ids whose acknowledgement is being sent. */
  get sending(): number {
    return this.#sending;
  }

  /** Has an id acknowledged. */
  add(shard: GroupShard, id: MessageId): void {
    let ids = this.#ids.get(shard);
    if (ids === undefined) this.#ids.set(shard, ids = new Set());
    if (ids.has(id)) return;
    ids.add(id);
    this.#unsent++;
  }

  /** Whether an id of a shard is to be acknowledged. */
  hasUnsent(shard: GroupShard): boolean {
    return this.#ids.has(shard);
  }

  /** Whether an id is to be acknowledged, or that is being sent. */
  has(shard: GroupShard, id: MessageId): boolean {
    if (this.#ids.get(shard)?.has(id)) return true;
    for (const acks of this.#batches) if (acks.shard === shard && acks.untracked.includes(id)) return true;
    return false;
  }

  /** Removes all ids that are to be sent, and returns them. */
  drain(): readonly (readonly [GroupShard, ReadonlySet<MessageId>])[] {
    const all = [...this.#ids];
    this.#ids.clear();
    this.#unsent = 0;
    return all;
  }

  /** Notes that acknowledgements are being sent. */
  sent(acks: AckBatch): void {
    if (acks.untracked.length === 0) return;
    this.#batches.add(acks);
    this.#sending += acks.untracked.length;
  }

  /** Notes that the server has answered, or cannot be reached. */
  answered(acks: AckBatch): void {
    if (this.#batches.delete(acks)) this.#sending -= acks.untracked.length;
  }
}

/** Collects acknowledgements, and counts them until the server has confirmed them. */
export class OutgoingAcks {
  readonly #table: EntryTable;
  readonly #acked = new Set<PendingBatch>(); // with acknowledgements to send
  readonly #untracked = new UntrackedAcks();
  #last: PendingBatch | undefined; // the batch that was added last
  #confirmed = 0;

  constructor(table: EntryTable) {
    this.#table = table;
  }

  /** Acknowledgements to send. */
  get unsent(): number {
    return this.#table.count(ENTRY_STATE.acked) + this.#untracked.unsent;
  }

  /** Acknowledgements that are being sent. */
  get sending(): number {
    return this.#table.count(ENTRY_STATE.sending) + this.#untracked.sending;
  }

  /** Acknowledgements that the server has confirmed. */
  get confirmed(): number {
    return this.#confirmed;
  }

  /** Whether an untracked entry of a shard is to be acknowledged. */
  hasUntracked(shard: GroupShard): boolean {
    return this.#untracked.hasUnsent(shard);
  }

  /** Whether an untracked entry is to be acknowledged, or that is being sent. */
  isUntracked(shard: GroupShard, id: MessageId): boolean {
    return this.#untracked.has(shard, id);
  }

  /** An entry of a batch is acked. */
  add(batch: PendingBatch): void {
    if (batch === this.#last) return; // most often: entries of a batch are acked in sequence
    this.#last = batch;
    this.#acked.add(batch);
  }

  /** Acknowledges an untracked entry. */
  addUntracked(shard: GroupShard, id: MessageId): void {
    this.#untracked.add(shard, id);
  }

  /** The server has acknowledged one entry by a command of its own. */
  confirmOne(): void {
    this.#confirmed++;
  }

  /** Takes all acknowledgements to send; each batch is then {@linkcode confirm}ed or {@linkcode restore}d. */
  collect(): AckBatch[] {
    const batches = new AckBatches();
    const table = this.#table;
    for (const batch of this.#acked) {
      const builder = batches.of(batch.shard);
      let part = table.sendAcked(batch, 0, builder.room);
      for (; part !== undefined; part = table.sendAcked(batch, part.to, builder.room)) builder.add(part);
    }
    this.#acked.clear();
    this.#last = undefined;
    for (const [shard, ids] of this.#untracked.drain()) for (const id of ids) batches.of(shard).addId(id);
    const all = batches.finish();
    for (const acks of all) this.#untracked.sent(acks);
    return all;
  }

  /** The acknowledgement of untracked entries, to be sent at once; then {@linkcode confirm}ed or {@linkcode restore}d. */
  dismiss(shard: GroupShard, ids: readonly MessageId[]): AckBatch {
    const acks = ackBatchOf(shard, ids);
    this.#untracked.sent(acks);
    return acks;
  }

  /**
   * The server has answered an acknowledgement: `fresh` entries had been pending. Tracked entries count as acknowledged in any
   * case, as a first reply may have been lost. Untracked ones may have been acknowledged long ago.
   */
  confirm(acks: AckBatch, fresh: number = acks.count): void {
    this.#untracked.answered(acks);
    let own = 0;
    for (const part of acks.parts) {
      own += part.to - part.from;
      this.#table.finishAll(part);
    }
    this.#confirmed += own + Math.min(Math.max(fresh - own, 0), acks.count - own);
  }

  /** An acknowledgement could not be sent: its entries are to be acknowledged again. */
  restore(acks: AckBatch): void {
    this.#untracked.answered(acks);
    for (const part of acks.parts) {
      this.#table.restoreAcked(part);
      this.#acked.add(part.batch);
    }
    for (const id of acks.untracked) this.#untracked.add(acks.shard, id);
  }
}
