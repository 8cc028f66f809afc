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
import { type AnchorPorts, persist } from "./anchor.ts";
import type { GroupShard } from "./group_shard.ts";
import type { Inbox } from "./inbox.ts";
import type { Intake } from "./intake.ts";
import type { AckPlace, Ledger } from "./ledger.ts";
import { HELD } from "./lot.ts";

/** What redelivery needs, and whom it tells. */
export interface RedeliveryPorts {
  readonly anchor: AnchorPorts;
  readonly member: GroupMember;
  readonly ledger: Ledger;
  readonly inbox: Inbox;
  readonly intake: Intake;
  readonly signal: AbortSignal;
  /** This one is no longer in its stream. */
  readonly onGone: (shard: GroupShard, ids: readonly MessageId[]) => void;
  readonly onFatal: (error: StreamerError) => void;
}

/** Delays that end within so many milliseconds end together. */
const GRAIN = 5;

/** What waits to be delivered again. */
export class RedeliveryQueue {
  readonly #ports: RedeliveryPorts;
  readonly #due = new Map<number, { readonly places: AckPlace[]; readonly timer: Timer }>(); // by the end of their delay
  #scripts = true; // until the server refuses them

  constructor(ports: RedeliveryPorts) {
    this.#ports = ports;
  }

  /** An entry is to be delivered again after so many milliseconds. */
  add(place: AckPlace, delay: number): void {
    const { clock } = this.#ports.anchor;
    const at = Math.ceil((clock.now() + delay) / GRAIN) * GRAIN;
    let bucket = this.#due.get(at);
    if (bucket === undefined) {
      const timer = clock.after(at - clock.now(), () => this.#deliver(at));
      this.#due.set(at, bucket = { places: [], timer });
    }
    bucket.places.push(place);
  }

  /** Forgets all. */
  close(): void {
    for (const { timer } of this.#due.values()) timer.stop();
    this.#due.clear();
  }

  #deliver(at: number): void {
    const places = this.#due.get(at)?.places ?? [];
    this.#due.delete(at);
    const { signal, onFatal, anchor } = this.#ports;
    for (const place of places) {
      this.#again(place).catch((error) => {
        if (signal.aborted) return;
        if (!(error instanceof StreamerError)) throw error;
        if (error.code === "DISCONNECTED" || isGroupMissing(error)) this.add(place, anchor.reconnect.maxDelay);
        else onFatal(error);
      });
    }
  }

  async #again({ lot, index }: AckPlace): Promise<void> {
    const { anchor, ledger, intake, inbox, onGone } = this.#ports;
    if (lot.states[index] !== HELD.nacked) return; // acknowledged meanwhile, or lost
    const { shard } = lot;
    const id = lot.idAt(index);
    const deliveries = lot.deliveriesOf(index) + 1;
    const readAt = anchor.clock.now();
    const { redisKey } = shard;
    const { orphaned } = lot; // without its group it is pending nowhere, and still to be delivered
    const page = orphaned ? await this.#run(xrangeOne(redisKey, id)) : await this.#claim({ redisKey, id, deliveries });
    const isGone = page === undefined ? await this.#isGone(redisKey, id) : page.entries.length === 0;
    if (lot.states[index] !== HELD.nacked) return;
    ledger.finish(lot, index);
    if (isGone) return onGone(shard, [id]);
    if (page === undefined) return; // another's
    const { frame, entries } = page;
    const again = { shard, frame, entries, deliveries: [deliveries], bytes: frame.byteLength, orphaned };
    intake.add([again], { readAt });
    inbox.serve();
  }

  /** Whether an entry is in nobody's list and not in its stream: claiming it removed it, and that answer was lost. */
  async #isGone(redisKey: string, id: MessageId): Promise<boolean> {
    const { group } = this.#ports.member;
    const [rows, { entries }] = await Promise.all([
      this.#run(xpending({ redisKey, group, start: id, end: id, count: 1 })),
      this.#run(xrangeOne(redisKey, id)),
    ]);
    return rows.length === 0 && entries.length === 0;
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
    return own && await this.#run(xclaim(member, { redisKey, ids: [id], minIdle: 0 }));
  }

  #run<T>(command: Command<T>): Promise<T> {
    const { anchor, signal } = this.#ports;
    return persist(anchor, signal, () => anchor.run(command, { signal }));
  }
}
