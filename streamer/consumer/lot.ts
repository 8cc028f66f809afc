// What a group's consumer keeps of one page: the ids of its entries, and how far each of them has come. It must not know
// who moves them on, nor keep the page itself: payloads are not held by what is not yet acknowledged.

import { digits } from "../../resp/encoder.ts";
import type { RespFrame } from "../../resp/frame.ts";
import type { MessageId } from "../model/id.ts";
import type { GroupShard } from "./group_shard.ts";

/**
 * How far an entry has come. `queued`: read ahead. `returned`: in the user's hands. `nacked`: to be delivered again.
 * `ending`: on its way to the dead letters. `released`: in the user's hands, and held no longer. `acked`: to be
 * acknowledged. `sending`: that is under way. `done`: nothing is left to do.
 */
export const HELD = Object.freeze({
  queued: 0,
  returned: 1,
  nacked: 2,
  ending: 3,
  released: 4,
  acked: 5,
  sending: 6,
  done: 7,
});

/** The entries of one page, from when they are read until all of them are done with. */
export class Lot {
  readonly shard: GroupShard;
  /** How many entries. */
  readonly size: number;
  /** How far each of them has come; see {@linkcode HELD}. */
  readonly states: Uint8Array;
  /** Entries that are not done. */
  open: number;
  /** Entries that are acked and not on their way. */
  acked = 0;
  /** When the server was last known to list these as this consumer's, in milliseconds of the clock. */
  confirmedAt: number;
  /** Whether the group they were read from is no more: what is pending there is pending nowhere. */
  orphaned = false;
  readonly #ids: Uint8Array; // as they came over the wire: bulk strings, one behind the other
  readonly #ends: Int32Array;
  readonly #deliveries: readonly number[] | undefined; // none where each is delivered for the first time
  #returned: Float32Array | undefined; // milliseconds from `#readAt` on: exact to less than a millisecond for hours
  readonly #readAt: number;
  #places: Map<MessageId, number> | undefined;
  #first: LotBound | undefined;
  #last: LotBound | undefined;

  constructor(
    shard: GroupShard,
    page: { readonly frame: RespFrame; readonly entries: Int32Array; readonly deliveries?: readonly number[] },
    confirmedAt: number,
  ) {
    const { frame, entries, deliveries } = page;
    this.shard = shard;
    this.size = this.open = entries.length;
    this.states = new Uint8Array(entries.length);
    this.confirmedAt = this.#readAt = confirmedAt;
    this.#deliveries = deliveries;
    this.#ends = new Int32Array(entries.length);
    this.#ids = copyIds(frame, entries, this.#ends);
  }

  /** How often an entry has been delivered, this time included. */
  deliveriesOf(index: number): number {
    return this.#deliveries?.[index] ?? 1;
  }

  /** An entry is returned to the user. */
  returned(index: number, now: number): void {
    this.#returned ??= new Float32Array(this.size);
    this.#returned[index] = now - this.#readAt;
  }

  /** Since when an entry has been where it is, read ahead or in the user's hands, in milliseconds of the clock. */
  heldSince(index: number): number {
    return this.#readAt + (this.#returned?.[index] ?? 0);
  }

  /** The id of an entry. */
  idAt(index: number): MessageId {
    const end = this.#ends[index] - 2;
    let from = this.#startOf(index) + 4;
    if (this.#ids[from - 1] !== 0x0a) from++; // a length of two digits, where of one it would be the line's end
    let id = "";
    for (let i = from; i < end; i++) id += String.fromCharCode(this.#ids[i]);
    return id;
  }

  /** The ids of the entries from one to another, as bulk strings. */
  encodedIds(from: number, to: number): Uint8Array {
    return this.#ids.subarray(this.#startOf(from), this.#ends[to - 1]);
  }

  /** Its first entry's id. */
  get first(): LotBound {
    return this.#first ??= boundOf(this.idAt(0));
  }

  /** Its last entry's id. */
  get last(): LotBound {
    if (this.size === 1) return this.first;
    return this.#last ??= boundOf(this.idAt(this.size - 1));
  }

  /** Which entry has this id; -1 where none has. */
  find(id: MessageId): number {
    if (this.size === 1) return this.first.id === id ? 0 : -1;
    if (this.#places === undefined) {
      this.#places = new Map();
      for (let i = 0; i < this.size; i++) this.#places.set(this.idAt(i), i);
    }
    return this.#places.get(id) ?? -1;
  }

  #startOf(index: number): number {
    return index === 0 ? 0 : this.#ends[index - 1];
  }
}

/** Where a lot begins or ends. */
export interface LotBound {
  readonly id: MessageId;
  /** The id's first half, as near as a number comes to it. */
  readonly time: number;
}

function boundOf(id: MessageId): LotBound {
  return { id, time: timeOf(id) };
}

/** The first half of an id, as near as a number comes to it. */
export function timeOf(id: MessageId): number {
  return Number.parseInt(id, 10);
}

/** Copies ids out of a page, byte by byte: at some twenty bytes each that is faster than by views (Node 26, Bun 1.4). */
function copyIds(frame: RespFrame, entries: Int32Array, ends: Int32Array): Uint8Array {
  const { bytes, start, tape } = frame;
  let total = 0;
  for (let i = 0; i < entries.length; i++) {
    const length = tape[entries[i] + 3];
    total += 5 + digits(length) + length;
    ends[i] = total;
  }
  const ids = new Uint8Array(total);
  let to = 0;
  for (let i = 0; i < entries.length; i++) {
    for (let from = start + tape[entries[i] + 2]; to < ends[i]; to++, from++) ids[to] = bytes[from];
  }
  return ids;
}
