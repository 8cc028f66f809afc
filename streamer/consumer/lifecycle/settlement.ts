// What `ack`, `nack` and `term` do, whether the entry is in flight, was delivered once more, or is released.

import type { MessageId } from "../../model/id.ts";
import type { Message } from "../../model/message.ts";
import type { DeadLetters } from "./dead_letters.ts";
import type { GroupShard } from "../shards/group_shard.ts";
import { MAX_DELIVERIES } from "../pending/intake.ts";
import type { EntryPlace, PendingEntries } from "../pending/pending_entries.ts";
import type { RedeliveryQueue } from "./redelivery.ts";
import type { Releaser } from "./releaser.ts";

/** What settling needs, and its listeners. */
export interface SettlementPorts {
  readonly pendingEntries: PendingEntries;
  readonly deadLetters: DeadLetters;
  readonly redelivery: RedeliveryQueue;
  readonly releaser: Releaser;
  readonly maxDeliveries: number;
  /** Whether a shard is read: else a message cannot be delivered here again, and is released. */
  readonly isReading: (shard: GroupShard) => boolean;
  /** An entry is to be acknowledged. */
  readonly onAcked: () => void;
  /** Fewer entries are unacknowledged. */
  readonly onCapacity: () => void;
}

/** Settles messages. */
export class Settlement {
  readonly #ports: SettlementPorts;

  constructor(ports: SettlementPorts) {
    this.#ports = ports;
  }

  /** Acknowledges an entry by any of its deliveries. */
  ack(place: EntryPlace): void {
    const { pendingEntries, onAcked } = this.#ports;
    if (pendingEntries.ackAny(place)) onAcked();
  }

  /** Acknowledges the entry with this id. */
  ackById(shard: GroupShard, id: MessageId): void {
    const { pendingEntries, onAcked } = this.#ports;
    pendingEntries.ackById(shard, id);
    onAcked();
  }

  /** Has a message delivered again; does nothing if it was settled, or delivered once more since. */
  nack(message: Message, place: EntryPlace, delay: number): void {
    const { pendingEntries, deadLetters, maxDeliveries } = this.#ports;
    const { deliveries } = message;
    const inFlight = place.batch.isInFlight(place.index);
    if (!inFlight && !pendingEntries.isReleased(place)) return;
    if (deliveries >= maxDeliveries) {
      const info = { deliveries, reason: MAX_DELIVERIES, unlessNewer: true };
      return deadLetters.deadLetter(message, place, info);
    }
    if (inFlight) this.#again(place, delay);
    else this.#regain(place, delay);
  }

  /** Takes back a message that the program has not looked at: it is delivered again, and this delivery does not count. */
  putBack(place: EntryPlace): void {
    if (this.#ports.pendingEntries.postpone(place)) this.#again(place, 0);
  }

  /** Dead-letters a message, whichever delivery of it this is. */
  term(message: Message, place: EntryPlace, reason: string): void {
    const { pendingEntries, deadLetters } = this.#ports;
    const latest = pendingEntries.latestOf(place);
    if (latest !== undefined) deadLetters.deadLetter(message, latest, { deliveries: message.deliveries, reason });
  }

  /** Delivers an entry in flight again: here, or to other consumers if its shard is not read any more. */
  #again(place: EntryPlace, delay: number): void {
    const { pendingEntries, redelivery, isReading } = this.#ports;
    const { batch, index } = place;
    if (!pendingEntries.nack(batch, index)) return;
    if (isReading(batch.shard)) redelivery.add(place, delay);
    else this.#release(place);
  }

  /** The same for a released entry, if it still is this consumer's. */
  #regain(place: EntryPlace, delay: number): void {
    const { pendingEntries, redelivery, isReading } = this.#ports;
    const { batch, index } = place;
    if (!pendingEntries.nackReleased(batch, index)) return;
    if (isReading(batch.shard)) redelivery.regain(place, delay);
    else this.#release(place);
  }

  #release({ batch, index }: EntryPlace): void {
    const { pendingEntries, releaser, onCapacity } = this.#ports;
    const id = batch.idAt(index);
    pendingEntries.finish(batch, index);
    if (batch.isPostponed(index)) { // the program has not looked at it
      releaser.releaseUndelivered(batch.shard, [{ id, deliveries: batch.deliveriesOf(index) - 1 }]);
    } else {
      releaser.release(batch.shard, [id]);
    }
    onCapacity();
  }
}
