// Delivers again what was not acknowledged on purpose, after its delay, if it is still this consumer's. It must not know why it
// is to be delivered again.

import { StreamerError } from "../../resp/errors.ts";
import type { Timer } from "../../resp/connection/clock.ts";
import type { Command } from "../../resp/connection/command.ts";
import { areScriptsForbidden, isGroupMissing, redeliver, type Redelivery } from "../commands/scripts.ts";
import { type EntryPage, xclaim, xrangeOne } from "../commands/xclaim.ts";
import { xpending } from "../commands/xpending.ts";
import type { GroupMember } from "../commands/xreadgroup.ts";
import type { MessageId } from "../model/id.ts";
import type { AnchorPorts } from "./anchor.ts";
import type { GroupShard } from "./group_shard.ts";
import type { Inbox } from "./inbox.ts";
import type { Intake } from "./intake.ts";
import type { GroupSettings } from "./group_options.ts";
import type { AckPlace, Ledger } from "./ledger.ts";
import { HELD, type Lot } from "./lot.ts";
import { persist } from "./persist.ts";
import { isAway } from "./policy.ts";

/** What redelivery needs, and whom it tells. */
export interface RedeliveryPorts {
  readonly anchor: AnchorPorts;
  readonly member: GroupMember;
  readonly ledger: Ledger;
  readonly inbox: Inbox;
  readonly intake: Intake;
  readonly settings: GroupSettings;
  readonly signal: AbortSignal;
  /** One is held no more, and there is nothing to hand out for it. */
  readonly onDropped: () => void;
  /** This one is no longer in its stream. */
  readonly onGone: (shard: GroupShard, ids: readonly MessageId[]) => void;
  readonly onFatal: (error: StreamerError) => void;
}

/** An entry that waits, and whether its user has seen it. */
interface Waiting {
  readonly place: AckPlace;
  readonly seen: boolean;
}

/** Entries asked for at once. */
const AT_ONCE = 100;

/** Delays that end within so many milliseconds end together. */
const GRAIN = 5;

/** What waits to be delivered again. */
export class RedeliveryQueue {
  readonly #ports: RedeliveryPorts;
  readonly #due = new Map<number, { readonly waiting: Waiting[]; readonly timer: Timer }>(); // by the end of their delay
  #scripts = true; // until the server refuses them

  constructor(ports: RedeliveryPorts) {
    this.#ports = ports;
  }

  /** An entry is to be delivered again after so many milliseconds; as a delivery more, unless nobody has seen it. */
  add(place: AckPlace, { delay, seen = true }: { readonly delay: number; readonly seen?: boolean }): void {
    const { anchor, signal } = this.#ports;
    if (signal.aborted) return; // it stays pending
    const { clock } = anchor;
    const at = Math.ceil((clock.now() + delay) / GRAIN) * GRAIN;
    let bucket = this.#due.get(at);
    if (bucket === undefined) {
      const timer = clock.after(at - clock.now(), () => void this.#deliver(at));
      this.#due.set(at, bucket = { waiting: [], timer });
    }
    bucket.waiting.push({ place, seen });
  }

  /** Forgets all. */
  close(): void {
    for (const { timer } of this.#due.values()) timer.stop();
    this.#due.clear();
  }

  /** Delivers what is due, some at a time. */
  async #deliver(at: number): Promise<void> {
    const waiting = this.#due.get(at)?.waiting ?? [];
    this.#due.delete(at);
    for (let from = 0; from < waiting.length; from += AT_ONCE) {
      await Promise.all(waiting.slice(from, from + AT_ONCE).map((one) => this.#try(one)));
    }
  }

  async #try(waiting: Waiting): Promise<void> {
    const { signal, onFatal, anchor } = this.#ports;
    try {
      await this.#again(waiting);
    } catch (error) {
      if (signal.aborted) return;
      const { place, seen } = waiting;
      if (isAway(error) || isGroupMissing(error)) this.add(place, { delay: anchor.reconnect.maxDelay, seen });
      else onFatal(error instanceof StreamerError ? error : unexpected(error));
    }
  }

  async #again({ place: { lot, index }, seen }: Waiting): Promise<void> {
    const { anchor, ledger, intake, inbox, onGone, onDropped } = this.#ports;
    if (lot.states[index] !== HELD.nacked) return; // acknowledged meanwhile, or lost
    const { shard } = lot;
    const id = lot.idAt(index);
    const deliveries = lot.deliveriesOf(index) + Number(seen);
    const readAt = anchor.clock.now();
    const { page, orphaned } = await this.#fetch(lot, { redisKey: shard.redisKey, id, deliveries });
    if (lot.states[index] !== HELD.nacked) return;
    ledger.finish(lot, index);
    if (page === undefined) return onDropped();
    const { frame, entries } = page;
    if (entries.length === 0) {
      onGone(shard, [id]);
      return onDropped();
    }
    const again = { shard, frame, entries, deliveries: [deliveries], bytes: frame.byteLength, orphaned };
    intake.add([again], { readAt });
    inbox.serve();
  }

  /**
   * The entry, delivered once more: none where it is another's, an empty page where it is gone. Where it is pending for nobody,
   * another may have claimed and acknowledged it while this process stood still; else its group is another one of the same
   * name, without which it is still to be delivered.
   */
  async #fetch(lot: Lot, redelivery: Redelivery): Promise<{ readonly page?: EntryPage; readonly orphaned: boolean }> {
    const { anchor, settings, member } = this.#ports;
    const { redisKey, id } = redelivery;
    if (lot.orphaned) return { page: await this.#run(xrangeOne(redisKey, id)), orphaned: true };
    const claimed = await this.#claim(redelivery);
    if (claimed !== undefined) return { page: claimed, orphaned: false };
    const [rows, page] = await Promise.all([
      this.#run(xpending({ redisKey, group: member.group, start: id, end: id, count: 1 })),
      this.#run(xrangeOne(redisKey, id)),
    ]);
    if (rows.length > 0) return { orphaned: false };
    const fresh = anchor.clock.now() - lot.confirmedAt <= settings.autoClaimIdle;
    return page.entries.length === 0 || fresh ? { page, orphaned: true } : { orphaned: false };
  }

  /** The entry, delivered once more; none where it is another's. */
  async #claim(redelivery: Redelivery): Promise<EntryPage | undefined> {
    const { member } = this.#ports;
    if (this.#scripts) {
      try {
        return await this.#run(redeliver(member, redelivery));
      } catch (error) {
        if (!areScriptsForbidden(error)) throw error;
        this.#scripts = false;
      }
    }
    // Looked at first, and claimed then: what another claims in between is taken back from it, and worked on twice.
    const { redisKey, id } = redelivery;
    const { group, consumer } = member;
    const [own] = await this.#run(xpending({ redisKey, group, consumer, start: id, end: id, count: 1 }));
    return own &&
      await this.#run(xclaim(member, { redisKey, ids: [id], minIdle: 0, deliveries: redelivery.deliveries }));
  }

  #run<T>(command: Command<T>): Promise<T> {
    const { anchor, signal } = this.#ports;
    return persist(anchor, signal, () => anchor.run(command, { signal }));
  }
}

function unexpected(cause: unknown): StreamerError {
  return new StreamerError("PROTOCOL", "Cannot deliver a message again", { cause });
}
