// Acknowledgements of one shard for one command: ids are added until a batch is full.

import { BULK_OVERHEAD, writeBulkText } from "../../../resp/encoder.ts";
import type { MessageId } from "../../model/id.ts";
import type { GroupShard } from "../shards/group_shard.ts";
import type { PendingBatch } from "./pending_batch.ts";

/** Most ids of one acknowledgement. */
export const ACK_IDS = 1_000;

/** Acknowledgements of one shard that are sent together. */
export interface AckBatch {
  readonly shard: GroupShard;
  /** The ids as consecutive bulk strings. */
  readonly ids: Uint8Array;
  readonly count: number;
  /** Which entries they are. */
  readonly parts: readonly AckPart[];
  /** Those that are in no batch of pending entries. */
  readonly untracked: readonly MessageId[];
}

/** Consecutive entries of one batch; `to` is exclusive. */
export interface AckPart {
  readonly batch: PendingBatch;
  readonly from: number;
  readonly to: number;
}

/** Collects acknowledgements of several shards. */
export class AckBatches {
  readonly #builders = new Map<GroupShard, AckBatchBuilder>();
  readonly #full: AckBatch[] = [];

  /** Where acknowledgements of a shard are added. */
  of(shard: GroupShard): AckBatchBuilder {
    let builder = this.#builders.get(shard);
    if (builder === undefined) this.#builders.set(shard, builder = new AckBatchBuilder(shard, this.#full));
    return builder;
  }

  /** All batches, the last ones included; nothing is added afterwards. */
  finish(): AckBatch[] {
    for (const builder of this.#builders.values()) builder.close();
    return this.#full;
  }
}

/** Collects acknowledgements of one shard. */
export class AckBatchBuilder {
  readonly #shard: GroupShard;
  readonly #full: AckBatch[];
  #parts: AckPart[] = [];
  #untracked: MessageId[] = [];
  #chunks: Uint8Array[] = [];
  #count = 0;

  constructor(shard: GroupShard, full: AckBatch[]) {
    this.#shard = shard;
    this.#full = full;
  }

  /** How many more ids fit into the current batch. */
  get room(): number {
    return ACK_IDS - this.#count;
  }

  /** Adds entries of a batch, at most as many as there is room for. */
  add(part: AckPart): void {
    this.#parts.push(part);
    this.#push(part.batch.encodedIds(part.from, part.to), part.to - part.from);
  }

  /** Adds an entry that is in no batch. */
  addId(id: MessageId): void {
    this.#untracked.push(id);
    this.#push(encodedId(id), 1);
  }

  /** Completes the current batch. */
  close(): void {
    if (this.#count === 0) return;
    const ids = joined(this.#chunks);
    this.#full.push({
      shard: this.#shard,
      ids,
      count: this.#count,
      parts: this.#parts,
      untracked: this.#untracked,
    });
    this.#parts = [];
    this.#untracked = [];
    this.#chunks = [];
    this.#count = 0;
  }

  #push(chunk: Uint8Array, count: number): void {
    this.#chunks.push(chunk);
    this.#count += count;
    if (this.#count >= ACK_IDS) this.close();
  }
}

/** The acknowledgement of entries that are in no batch. */
export function ackBatchOf(shard: GroupShard, ids: readonly MessageId[]): AckBatch {
  return { shard, ids: joined(ids.map(encodedId)), count: ids.length, parts: [], untracked: ids };
}

function encodedId(id: MessageId): Uint8Array {
  const encoded = new Uint8Array(id.length * 3 + BULK_OVERHEAD);
  return encoded.subarray(0, writeBulkText(encoded, 0, id));
}

function joined(chunks: readonly Uint8Array[]): Uint8Array {
  if (chunks.length === 1) return chunks[0];
  const all = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.length;
  }
  return all;
}
