// Takes in what was read, replayed, claimed or delivered again: from here on the ledger knows of it and the inbox hands it
// out. It must not know by which command it came.

import type { Clock } from "../../resp/connection/clock.ts";
import type { RespFrame } from "../../resp/frame.ts";
import { compareIds, type MessageId, type TimestampFormat } from "../model/id.ts";
import { Message, type MessageSource } from "../model/message.ts";
import type { Committer } from "./committer.ts";
import type { Graveyard } from "./graveyard.ts";
import type { GroupSettings } from "./group_options.ts";
import type { GroupShard } from "./group_shard.ts";
import type { Handing, Inbox, Section } from "./inbox.ts";
import type { Ledger } from "./ledger.ts";
import { HELD, Lot } from "./lot.ts";

/** Entries of one shard that came together. */
export interface Delivery {
  readonly shard: GroupShard;
  readonly frame: RespFrame;
  readonly entries: Int32Array;
  /** How often each was delivered, this time included; left out where it was the first time for all. */
  readonly deliveries?: readonly number[];
  /** Bytes that they take. */
  readonly bytes: number;
  /** Whether they are pending nowhere, since their group is no more. @default {false} */
  readonly orphaned?: boolean;
}

/** What an intake needs. */
export interface IntakePorts {
  readonly clock: Clock;
  readonly settings: GroupSettings;
  readonly timestampFormat: TimestampFormat;
  /** The payload's field. */
  readonly field: Uint8Array;
  readonly inbox: Inbox;
  readonly ledger: Ledger;
  readonly committer: Committer;
  readonly graveyard: Graveyard;
  /** These have come of a shard that is read no more. */
  readonly onUnwanted: (shard: GroupShard, ids: readonly MessageId[]) => void;
  /** How many messages of a lot may be handed out now. */
  readonly allowance: (lot: Lot) => number;
}

/** How it was read. */
export interface IntakeOptions {
  /** Whether the server counts it as acknowledged already. */
  readonly acknowledged?: boolean;
  /** When it was asked for: the server has listed it as this consumer's since then, or later. */
  readonly readAt: number;
}

/** Takes deliveries in. */
export class Intake {
  readonly #ports: IntakePorts;
  readonly #byTime: boolean;

  constructor(ports: IntakePorts) {
    this.#ports = ports;
    this.#byTime = ports.settings.commit.autoCommit === "delayed";
  }

  /** Takes in what came with one reply; {@linkcode Inbox.serve} then hands it out. */
  add(deliveries: readonly Delivery[], options: IntakeOptions): void {
    const sections: Section[] = [];
    for (const one of deliveries) {
      if (one.entries.length === 0) continue;
      if (one.shard.active) sections.push(this.#section(one, options));
      else if (!options.acknowledged && !one.orphaned) this.#ports.onUnwanted(one.shard, idsOf(one));
    }
    this.#ports.inbox.add({ sections });
  }

  /** What is at or below what has come before can be held already, since somebody has moved the group back. */
  #supersede(delivery: Delivery): void {
    const { shard, frame, entries } = delivery;
    const last = frame.textAt(entries[entries.length - 1] + ID);
    if (compareIds(frame.textAt(entries[0] + ID), shard.reached) <= 0) {
      for (const id of idsOf(delivery)) {
        this.#ports.ledger.supersede(shard, id);
        shard.givenBack.delete(id);
      }
    }
    if (compareIds(last, shard.reached) > 0) shard.reached = last;
  }

  #section(delivery: Delivery, { acknowledged = false, readAt }: IntakeOptions): Section {
    const { settings, timestampFormat, field, ledger, committer } = this.#ports;
    const { shard, frame, entries, bytes, deliveries } = delivery;
    const { streamKey, shardId } = shard;
    const source = { frame, streamKey, shardId, timestampFormat, field, decode: settings.decode };
    const section = { source, entries, taken: 0, before: shard.position, bytes };
    this.#supersede(delivery);
    if (acknowledged) return section;
    const lot = new Lot(shard, { frame, entries, deliveries }, readAt);
    lot.orphaned = delivery.orphaned ?? false;
    ledger.add(lot);
    if (settings.commit.autoCommit === "immediate") { // of an earlier life, or another's
      for (let i = 0; i < lot.size; i++) ledger.ack(lot, i);
      committer.touch();
      return section;
    }
    const owned: MessageSource = { ...source, delivered: { lot, entries, index: 0 } };
    if (deliveries !== undefined) this.#bury(owned, lot, entries);
    return { ...section, source: owned, handing: this.#handing(lot) };
  }

  /** Those that have been delivered too often are buried before anybody sees them. */
  #bury(source: MessageSource, lot: Lot, entries: Int32Array): void {
    const { settings, graveyard } = this.#ports;
    for (let i = 0; i < lot.size; i++) {
      const count = lot.deliveriesOf(i);
      if (count <= settings.maxDeliveries || lot.states[i] !== HELD.queued) continue;
      graveyard.bury(new Message(source, entries[i], count), { lot, index: i }, {
        deliveries: count - 1,
        reason: MAX_DELIVERIES,
      });
    }
  }

  #handing(lot: Lot): Handing {
    const { clock, ledger, committer, allowance } = this.#ports;
    const byTime = this.#byTime;
    let now = 0; // of the last look at the allowance: those taken at once are taken at one time
    return {
      take(index) {
        if (!ledger.take(lot, index, now)) return false;
        if (byTime) committer.touch();
        return true;
      },
      deliveriesOf: (index) => lot.deliveriesOf(index),
      allowance() {
        now = Math.floor(clock.now());
        return allowance(lot);
      },
    };
  }
}

/** On the tape, an entry's id stands behind its array. */
const ID = 2;

function idsOf({ frame, entries }: Delivery): MessageId[] {
  return Array.from(entries, (at) => frame.textAt(at + ID));
}

/** The reason of those that were delivered too often. */
export const MAX_DELIVERIES = "max-deliveries";
