// What a group's consumer holds and what it has to acknowledge: every entry from its reading to the server's word that it is
// done. It must not know connections or time beyond what it is told.

import { compareIds, type MessageId } from "../model/id.ts";
import { BULK_OVERHEAD, writeBulkText } from "../../resp/encoder.ts";
import { Queue } from "../../resp/connection/queue.ts";
import type { GroupShard } from "./group_shard.ts";
import { HELD, type Lot } from "./lot.ts";
import { LotIndex } from "./lot_index.ts";

/** Most ids of one acknowledgement. */
export const ACK_IDS = 1_000;

/** Acknowledgements of one shard, on their way to the server. */
export interface AckBatch {
  readonly shard: GroupShard;
  /** The ids as bulk strings, one behind the other. */
  readonly ids: Uint8Array;
  readonly count: number;
  /** Which entries they are: lot, from, to. */
  readonly parts: readonly AckPart[];
  /** Those that are in no lot. */
  readonly foreign: readonly MessageId[];
}

interface AckPart {
  readonly lot: Lot;
  readonly from: number;
  readonly to: number;
}

/** Entries of one lot that were returned by a time, and before. */
interface Returned {
  readonly lot: Lot;
  readonly from: number;
  upTo: number;
  readonly at: number;
}

/** Whether what is returned is acknowledged by itself, after a while. */
export interface LedgerOptions {
  readonly byTime: boolean;
}

/** Keeps count of everything a consumer has read and is not done with. */
export class Ledger {
  readonly #byTime: boolean;
  readonly #lots = new Map<GroupShard, LotIndex>();
  readonly #acked = new Set<Lot>(); // with entries to acknowledge
  readonly #foreign = new Map<GroupShard, Set<MessageId>>(); // of earlier lives, to acknowledge as asked
  readonly #returned = new Queue<Returned>(); // oldest first; only where time decides
  #lastReturned: Returned | undefined;
  #inHand = 0;
  #nacked = 0;
  #unsent = 0;
  #sending = 0;
  #confirmed = 0;

  constructor({ byTime }: LedgerOptions) {
    this.#byTime = byTime;
  }

  /** Entries in the user's hands. */
  get inHand(): number {
    return this.#inHand;
  }

  /** Entries that wait to be delivered again. */
  get nacked(): number {
    return this.#nacked;
  }

  /** Entries to acknowledge that are not on their way. */
  get unsent(): number {
    return this.#unsent;
  }

  /** Entries whose acknowledgement is on its way. */
  get sending(): number {
    return this.#sending;
  }

  /** Entries the server has said to be acknowledged. */
  get confirmed(): number {
    return this.#confirmed;
  }

  /** When the oldest entry was returned that time will acknowledge. */
  get oldestReturned(): number | undefined {
    return this.#returned.peek()?.at;
  }

  /** The lots of a shard that are not done. */
  lotsOf(shard: GroupShard): Iterable<Lot> {
    return this.#lots.get(shard) ?? [];
  }

  /** Whether anything is left to do about what was read of a shard, or is to be acknowledged of it. */
  holds(shard: GroupShard): boolean {
    return (this.#lots.get(shard)?.size ?? 0) > 0 || this.#foreign.has(shard);
  }

  /** A page was read. */
  add(lot: Lot): void {
    let lots = this.#lots.get(lot.shard);
    if (lots === undefined) this.#lots.set(lot.shard, lots = new LotIndex());
    lots.add(lot);
  }

  /** The entry of this id that is held, if one is. */
  find(shard: GroupShard, id: MessageId): AckPlace | undefined {
    for (const place of this.#lots.get(shard)?.find(id) ?? []) {
      if (isHeld(place.lot.states[place.index])) return place;
    }
    return undefined;
  }

  /** An entry is handed out; false where it must not be any more. */
  take(lot: Lot, index: number, now: number): boolean {
    if (lot.states[index] !== HELD.queued) return false;
    lot.states[index] = HELD.returned;
    this.#inHand++;
    if (!this.#byTime) {
      lot.returned(index, now);
      return true;
    }
    const last = this.#lastReturned;
    if (last?.lot === lot && last.at === now) last.upTo = index + 1;
    else this.#returned.push(this.#lastReturned = { lot, from: index, upTo: index + 1, at: now });
    return true;
  }

  /** An entry is done with as far as its user is concerned; twice is harmless. */
  ack(lot: Lot, index: number): boolean {
    switch (lot.states[index]) {
      case HELD.returned:
      case HELD.queued:
      case HELD.nacked:
        this.#leave(lot, index);
        lot.states[index] = HELD.acked;
        lot.acked++;
        this.#unsent++;
        this.#acked.add(lot);
        return true;
    }
    return false;
  }

  /** An entry of an earlier life is to be acknowledged. */
  ackForeign(shard: GroupShard, id: MessageId): void {
    let ids = this.#foreign.get(shard);
    if (ids === undefined) this.#foreign.set(shard, ids = new Set());
    if (ids.has(id)) return;
    ids.add(id);
    this.#unsent++;
  }

  /** An entry in the user's hands goes another way than by being acknowledged; false where it is not in them any more. */
  move(lot: Lot, index: number, to: typeof HELD.nacked | typeof HELD.ending): boolean {
    const state = lot.states[index];
    const mayEnd = to === HELD.ending && (state === HELD.nacked || state === HELD.queued);
    if (state !== HELD.returned && !mayEnd) return false;
    this.#leave(lot, index);
    if (to === HELD.nacked) this.#nacked++;
    lot.states[index] = to;
    return true;
  }

  /** An entry in the user's hands is no longer held: what becomes of it is another consumer's business. */
  release(lot: Lot, index: number): void {
    this.finish(lot, index);
    lot.states[index] = HELD.released;
  }

  /** What of a shard is read ahead, or waits to be delivered again, is held no longer; gives the ids. */
  letGo(shard: GroupShard): MessageId[] {
    const ids: MessageId[] = [];
    for (const lot of this.lotsOf(shard)) {
      for (let index = 0; index < lot.size; index++) {
        if (lot.states[index] !== HELD.queued && lot.states[index] !== HELD.nacked) continue;
        this.finish(lot, index);
        if (!lot.orphaned) ids.push(lot.idAt(index));
      }
    }
    return ids;
  }

  /** What of a shard is behind a position is to be delivered anew: what is in the user's hands, or acked and not sent, counts no more. */
  forgetBehind(shard: GroupShard, position: MessageId): void {
    for (const lot of this.lotsOf(shard)) {
      for (let index = lot.size - 1; index >= 0 && compareIds(lot.idAt(index), position) > 0; index--) {
        const state = lot.states[index];
        if (state === HELD.returned || state === HELD.acked) this.finish(lot, index);
      }
    }
  }

  /** An entry was delivered once more while it was held: it is the newer delivery that counts. What is on its way stays so. */
  supersede(shard: GroupShard, id: MessageId): void {
    const place = this.find(shard, id);
    if (place === undefined) return;
    const state = place.lot.states[place.index];
    if (state !== HELD.sending && state !== HELD.ending) this.finish(place.lot, place.index);
  }

  /** Nothing is left to do about an entry. */
  finish(lot: Lot, index: number): void {
    const state = lot.states[index];
    if (!isHeld(state)) return;
    this.#leave(lot, index);
    if (state === HELD.acked) {
      lot.acked--;
      this.#unsent--;
    } else if (state === HELD.sending) {
      this.#sending--;
    }
    lot.states[index] = HELD.done;
    if (--lot.open === 0) this.#lots.get(lot.shard)?.delete(lot);
  }

  /** The server has acknowledged one entry by itself. */
  acknowledged(lot: Lot, index: number): void {
    this.#confirmed++;
    this.finish(lot, index);
  }

  /** What was returned at that time or before becomes acknowledged. */
  ackReturned(until: number): void {
    for (let next = this.#returned.peek(); next !== undefined && next.at <= until; next = this.#returned.peek()) {
      this.#returned.shift();
      if (next === this.#lastReturned) this.#lastReturned = undefined;
      const { lot, from, upTo } = next;
      for (let i = from; i < upTo; i++) if (lot.states[i] === HELD.returned) this.ack(lot, i);
    }
  }

  /** Takes what is to be acknowledged, in batches; each has then to be {@linkcode confirm}ed or {@linkcode restore}d. */
  collect(): AckBatch[] {
    const batches: AckBatch[] = [];
    const open = new Map<GroupShard, BatchBuilder>();
    const builderOf = (shard: GroupShard) => {
      let builder = open.get(shard);
      if (builder === undefined) open.set(shard, builder = new BatchBuilder(shard, batches));
      return builder;
    };
    for (const lot of this.#acked) {
      const builder = builderOf(lot.shard);
      const { states } = lot;
      for (let from = states.indexOf(HELD.acked); from >= 0; from = states.indexOf(HELD.acked, from)) {
        let to = from;
        const most = Math.min(lot.size, from + builder.room);
        while (to < most && states[to] === HELD.acked) states[to++] = HELD.sending;
        builder.add({ lot, from, to });
        from = to;
      }
      lot.acked = 0;
    }
    this.#acked.clear();
    for (const [shard, ids] of this.#foreign) for (const id of ids) builderOf(shard).addId(id);
    this.#foreign.clear();
    for (const builder of open.values()) builder.close();
    this.#sending += this.#unsent;
    this.#unsent = 0;
    return batches;
  }

  /** Entries that are not held are to be acknowledged at once; {@linkcode confirm} or {@linkcode restore} ends that. */
  dismiss(shard: GroupShard, ids: readonly MessageId[]): AckBatch {
    this.#sending += ids.length;
    return { shard, ids: joined(ids.map(encodedId)), count: ids.length, parts: [], foreign: ids };
  }

  /**
   * The server has acknowledged a batch, `fresh` of which were pending still. What is held counts in any case, since an answer
   * may have been lost; what is not held may have been acknowledged long ago.
   */
  confirm(batch: AckBatch, fresh: number = batch.count): void {
    let own = 0;
    for (const { lot, from, to } of batch.parts) {
      own += to - from;
      for (let i = from; i < to; i++) this.finish(lot, i);
    }
    this.#sending -= batch.count - own; // those of earlier lives
    this.#confirmed += own + Math.min(Math.max(fresh - own, 0), batch.count - own);
  }

  /** A batch could not be sent for good: it is to be acknowledged still. */
  restore(batch: AckBatch): void {
    let own = 0;
    for (const { lot, from, to } of batch.parts) {
      own += to - from;
      lot.states.fill(HELD.acked, from, to);
      lot.acked += to - from;
      this.#acked.add(lot);
    }
    this.#sending -= batch.count;
    this.#unsent += own;
    for (const id of batch.foreign) this.ackForeign(batch.shard, id);
  }

  #leave(lot: Lot, index: number): void {
    if (lot.states[index] === HELD.returned) this.#inHand--;
    else if (lot.states[index] === HELD.nacked) this.#nacked--;
  }
}

function isHeld(state: number): boolean {
  return state !== HELD.done && state !== HELD.released;
}

/** Where an entry is held. */
export interface AckPlace {
  readonly lot: Lot;
  readonly index: number;
}

/** Puts ids together until a batch is full. */
class BatchBuilder {
  readonly #shard: GroupShard;
  readonly #batches: AckBatch[];
  #parts: AckPart[] = [];
  #foreign: MessageId[] = [];
  #chunks: Uint8Array[] = [];
  #count = 0;

  constructor(shard: GroupShard, batches: AckBatch[]) {
    this.#shard = shard;
    this.#batches = batches;
  }

  /** How many more fit. */
  get room(): number {
    return ACK_IDS - this.#count;
  }

  add(part: AckPart): void {
    this.#parts.push(part);
    this.#push(part.lot.encodedIds(part.from, part.to), part.to - part.from);
  }

  addId(id: MessageId): void {
    this.#foreign.push(id);
    this.#push(encodedId(id), 1);
  }

  close(): void {
    if (this.#count === 0) return;
    const ids = joined(this.#chunks);
    this.#batches.push({ shard: this.#shard, ids, count: this.#count, parts: this.#parts, foreign: this.#foreign });
    this.#parts = [];
    this.#foreign = [];
    this.#chunks = [];
    this.#count = 0;
  }

  #push(chunk: Uint8Array, count: number): void {
    this.#chunks.push(chunk);
    this.#count += count;
    if (this.#count >= ACK_IDS) this.close();
  }
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
