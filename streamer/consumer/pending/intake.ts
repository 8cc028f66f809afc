// Takes in entries that were read, replayed, claimed or delivered again: tracks them as pending, and queues their messages.

import type { Clock } from "../../../resp/connection/clock.ts";
import type { RespFrame } from "../../../resp/decoding/frame.ts";
import { compareIds, type MessageId, type TimestampFormat } from "../../model/id.ts";
import { Message, type MessageSource } from "../../model/message.ts";
import type { GroupSettings } from "../group_options.ts";
import type { GroupShard } from "../shards/group_shard.ts";
import type { Handing, PrefetchQueue, Section } from "../delivery/prefetch_queue.ts";
import { ENTRY_STATE } from "./entry_state.ts";
import { type EntryPlace, PendingBatch } from "./pending_batch.ts";
import type { PendingEntries, UndeliveredEntry } from "./pending_entries.ts";

/** Entries of one shard that arrived together. */
export interface Delivery {
  readonly shard: GroupShard;
  readonly frame: RespFrame;
  readonly entries: Int32Array;
  /** How often each was delivered, including this delivery. @default {1 for all} */
  readonly deliveries?: readonly number[];
  /** The text of the last error with which a handler of `process` has failed, of a single entry. */
  readonly failure?: string;
  /** Bytes that they take. */
  readonly bytes: number;
  /** Whether their group was lost, so that the server lists none of them. @default {false} */
  readonly groupLost?: boolean;
}

/** What an intake needs. */
export interface IntakePorts {
  readonly clock: Clock;
  readonly settings: GroupSettings;
  readonly timestampFormat: TimestampFormat;
  /** The payload's field. */
  readonly field: Uint8Array;
  readonly queue: PrefetchQueue;
  readonly pendingEntries: PendingEntries;
  /** An entry is to be acknowledged, now or after a while. Called for each message if time acknowledges. */
  readonly onAckDue: () => void;
  /** An entry was delivered too often, and goes to the dead letters. */
  readonly onExhausted: (message: Message, place: EntryPlace, info: ExhaustedInfo) => void;
  /** Entries have arrived of a shard that is not read any more. */
  readonly onUnwanted: (shard: GroupShard, entries: readonly UndeliveredEntry[]) => void;
  /** How many messages of a batch may be delivered now. */
  readonly allowance: (batch: PendingBatch) => number;
}

/** Why a message is not delivered any more. */
export interface ExhaustedInfo {
  /** Deliveries before this one. */
  readonly deliveries: number;
  readonly reason: string;
}

/** How entries were read. */
export interface IntakeOptions {
  /** Whether the server counts them as acknowledged already. @default {false} */
  readonly acknowledged?: boolean;
  /** When they were requested: the server has listed them as this consumer's since then, or later. */
  readonly readAt: number;
  /** The entries that were settled while they were in transit. @default {none} */
  readonly settled?: ReadonlySet<MessageId>;
  /** What identifies the replies that count as one page with this one. @default {none do} */
  readonly round?: object | undefined;
}

/** Takes deliveries in. */
export class Intake {
  readonly #ports: IntakePorts;
  readonly #byTime: boolean;

  constructor(ports: IntakePorts) {
    this.#ports = ports;
    this.#byTime = ports.settings.commit.autoCommit === "delayed";
  }

  /** Takes in the entries of one reply; {@linkcode PrefetchQueue.serve} then hands them out. */
  add(deliveries: readonly Delivery[], options: IntakeOptions): void {
    const sections: Section[] = [];
    for (const one of deliveries) {
      if (one.entries.length === 0) continue;
      if (one.shard.isRead) sections.push(this.#section(one, options));
      else if (!options.acknowledged && !one.groupLost) this.#ports.onUnwanted(one.shard, uncounted(one));
    }
    this.#ports.queue.add({ sections, round: options.round });
  }

  /** An id at or below the highest one may be tracked already, as the group can be moved back. */
  #supersede(delivery: Delivery, settled: ReadonlySet<MessageId>): void {
    const { shard, frame, entries } = delivery;
    if (compareIds(frame.textAt(entries[0] + ID), shard.reached) <= 0) {
      for (const id of idsOf(delivery)) {
        if (!settled.has(id)) this.#ports.pendingEntries.supersede(shard, id);
        shard.redelivered(id);
      }
    }
    shard.reach(frame.textAt(entries[entries.length - 1] + ID));
  }

  /** The entries of a redelivery of which an older delivery is settled: that settles both. */
  #settledOf(delivery: Delivery, known: ReadonlySet<MessageId>): ReadonlySet<MessageId> {
    const { pendingEntries } = this.#ports;
    if (delivery.deliveries === undefined) return NONE;
    return new Set(idsOf(delivery).filter((id) => known.has(id) || pendingEntries.isSettled(delivery.shard, id)));
  }

  #section(delivery: Delivery, { acknowledged = false, readAt, settled: known = NONE }: IntakeOptions): Section {
    const { settings, timestampFormat, field, pendingEntries, onAckDue } = this.#ports;
    const { shard, frame, entries, bytes, deliveries } = delivery;
    const { streamKey, shardId } = shard;
    const source = { frame, streamKey, shardId, timestampFormat, field, decode: settings.decode };
    const section = { source, entries, taken: 0, before: shard.position, bytes };
    const settled = this.#settledOf(delivery, known);
    this.#supersede(delivery, settled);
    if (acknowledged) return section;
    const batch = new PendingBatch(shard, { frame, entries, deliveries }, readAt);
    if (delivery.groupLost) batch.markGroupLost();
    if (delivery.failure !== undefined) batch.noteFailure(0, delivery.failure);
    pendingEntries.add(batch);
    if (settings.commit.autoCommit === "immediate") { // of a previous session, or claimed
      for (let i = 0; i < batch.size; i++) pendingEntries.ack(batch, i);
      onAckDue();
      return section;
    }
    const owned: MessageSource = { ...source, delivered: { batch, entries, index: 0 } };
    if (deliveries !== undefined) {
      for (let i = 0; settled.size > 0 && i < batch.size; i++) {
        if (settled.has(batch.idAt(i))) pendingEntries.finish(batch, i);
      }
      this.#deadLetter(owned, batch, entries);
    }
    return { ...section, source: owned, handing: this.#handing(batch) };
  }

  /** Dead-letters the entries that have been delivered too often. */
  #deadLetter(source: MessageSource, batch: PendingBatch, entries: Int32Array): void {
    const { settings, onExhausted } = this.#ports;
    for (let i = 0; i < batch.size; i++) {
      const count = batch.deliveriesOf(i);
      if (count <= settings.maxDeliveries || batch.states[i] !== ENTRY_STATE.queued) continue;
      const info = { deliveries: count - 1, reason: MAX_DELIVERIES };
      onExhausted(new Message(source, entries[i], count), { batch, index: i }, info);
    }
  }

  #handing(batch: PendingBatch): Handing {
    const { clock, pendingEntries, onAckDue, allowance } = this.#ports;
    const byTime = this.#byTime;
    let now = 0; // of the last allowance: messages that are taken together get the same time
    return {
      take(index) {
        if (!pendingEntries.take(batch, index, now)) return false;
        if (byTime) onAckDue();
        return true;
      },
      deliveriesOf: (index) => batch.deliveriesOf(index),
      allowance() {
        now = Math.floor(clock.now());
        return allowance(batch);
      },
    };
  }
}

const NONE: ReadonlySet<MessageId> = new Set();

/** Offset of an entry's id on the tape: it follows the array of the entry. */
const ID = 2;

/** The entries of a delivery that the program does not get, with the counts from before it. */
function uncounted(delivery: Delivery): UndeliveredEntry[] {
  return idsOf(delivery).map((id, i) => ({ id, deliveries: (delivery.deliveries?.[i] ?? 1) - 1 }));
}

function idsOf({ frame, entries }: Delivery): MessageId[] {
  return Array.from(entries, (at) => frame.textAt(at + ID));
}

/** The reason of messages that were delivered too often. */
export const MAX_DELIVERIES = "max-deliveries";
