// Delivers nacked entries again after their delay, if they are still this consumer's.

import { StreamerError } from "../../../resp/errors.ts";
import type { Timer } from "../../../resp/connection/clock.ts";
import { isGroupMissing, type Redelivery } from "../../commands/scripts.ts";
import { type EntryPage, xrangeOne } from "../../commands/xclaim.ts";
import { xpending } from "../../commands/xpending.ts";
import type { GroupMember } from "../../commands/xreadgroup.ts";
import type { MessageId } from "../../model/id.ts";
import { isAway, type ServerAccess } from "../server/server.ts";
import type { GroupShard } from "../shards/group_shard.ts";
import type { PrefetchQueue } from "../delivery/prefetch_queue.ts";
import type { Intake } from "../pending/intake.ts";
import type { GroupSettings } from "../group_options.ts";
import type { EntryPlace, PendingBatch, PendingEntries } from "../pending/pending_entries.ts";
import type { Ownership } from "./ownership.ts";

/** What redelivery needs, and its listeners. */
export interface RedeliveryPorts {
  readonly server: ServerAccess;
  readonly member: GroupMember;
  readonly pendingEntries: PendingEntries;
  readonly queue: PrefetchQueue;
  readonly intake: Intake;
  readonly settings: GroupSettings;
  readonly ownership: Ownership;
  readonly signal: AbortSignal;
  /** Fewer entries are unacknowledged. */
  readonly onCapacity: () => void;
  /** Another consumer has claimed a released entry. */
  readonly onLost: (shard: GroupShard, ids: readonly MessageId[]) => void;
  /** An entry is no longer in its stream. */
  readonly onGone: (shard: GroupShard, ids: readonly MessageId[]) => void;
  readonly onFatal: (error: StreamerError) => void;
}

/** Entries claimed at once. */
const AT_ONCE = 100;

/** Delays that end within so many milliseconds end together. */
const GRAIN = 5;

/** The entries that wait to be delivered again. */
export class RedeliveryQueue {
  readonly #ports: RedeliveryPorts;
  readonly #due = new Map<number, { readonly waiting: EntryPlace[]; readonly timer: Timer }>(); // by the end of their delay
  readonly #underway = new Map<Promise<void>, GroupShard>();

  constructor(ports: RedeliveryPorts) {
    this.#ports = ports;
  }

  /** Delivers an entry again after so many milliseconds. That counts as a delivery, unless the entry was postponed. */
  add(place: EntryPlace, delay: number): void {
    const { server, signal } = this.#ports;
    if (signal.aborted) return; // it is released, or stays pending
    const { clock } = server;
    const at = Math.ceil((clock.now() + delay) / GRAIN) * GRAIN;
    let bucket = this.#due.get(at);
    if (bucket === undefined) {
      const timer = clock.after(at - clock.now(), () => this.#deliver(at));
      this.#due.set(at, bucket = { waiting: [], timer });
    }
    bucket.waiting.push(place);
  }

  /** The same for a released entry, if it still is this consumer's; its lease is renewed now. */
  regain(place: EntryPlace, delay: number): void {
    this.#track(place.batch.shard, this.#regain(place, delay));
  }

  /** Resolves when all commands in flight that concern a shard have been answered. */
  async settle(shard: GroupShard): Promise<void> {
    await Promise.all([...this.#underway].map(([work, of]) => of === shard ? work : undefined));
  }

  /** Delivers nothing again any more. */
  close(): void {
    for (const { timer } of this.#due.values()) timer.stop();
    this.#due.clear();
  }

  #track(shard: GroupShard, work: Promise<void>): void {
    this.#underway.set(work, shard);
    work.finally(() => this.#underway.delete(work));
  }

  /** Delivers the entries that are due: those of each shard by themselves, since its server may not answer. */
  #deliver(at: number): void {
    const byShard = new Map<GroupShard, EntryPlace[]>();
    for (const place of this.#due.get(at)?.waiting ?? []) {
      const others = byShard.get(place.batch.shard);
      if (others === undefined) byShard.set(place.batch.shard, [place]);
      else others.push(place);
    }
    this.#due.delete(at);
    for (const [shard, waiting] of byShard) this.#track(shard, this.#deliverAll(waiting));
  }

  /** Delivers entries of a shard, some at a time. */
  async #deliverAll(waiting: readonly EntryPlace[]): Promise<void> {
    for (let from = 0; from < waiting.length; from += AT_ONCE) {
      if (this.#ports.signal.aborted) return; // they are tracked still, and released
      await Promise.all(waiting.slice(from, from + AT_ONCE).map((one) => this.#try(one)));
    }
  }

  async #try(place: EntryPlace): Promise<void> {
    const { signal, onFatal, server } = this.#ports;
    try {
      await this.#again(place);
    } catch (error) {
      if (signal.aborted) return;
      if (isAway(error) || isGroupMissing(error)) this.add(place, server.reconnect.maxDelay);
      else onFatal(error instanceof StreamerError ? error : unexpected(error));
    }
  }

  async #regain(place: EntryPlace, delay: number): Promise<void> {
    const { pendingEntries, ownership, signal, onLost, onCapacity, onFatal } = this.#ports;
    const { batch, index } = place;
    const [id, deliveries] = [batch.idAt(index), batch.deliveriesOf(index)];
    try {
      const regained = await ownership.regain({ redisKey: batch.shard.redisKey, id, deliveries });
      if (!batch.isNacked(index)) return;
      if (regained === "ours") return this.add(place, delay);
      pendingEntries.finish(batch, index);
      if (regained === "lost") onLost(batch.shard, [id]);
      onCapacity();
    } catch (error) {
      if (!signal.aborted) onFatal(error instanceof StreamerError ? error : unexpected(error));
    }
  }

  async #again({ batch, index }: EntryPlace): Promise<void> {
    const { server, pendingEntries, intake, queue, onGone, onCapacity } = this.#ports;
    if (!batch.isNacked(index)) return; // acknowledged meanwhile, or lost
    const { shard } = batch;
    const id = batch.idAt(index);
    const deliveries = batch.deliveriesOf(index) + Number(!batch.isPostponed(index));
    const readAt = server.clock.now();
    const { page, groupLost } = await this.#fetch(batch, { redisKey: shard.redisKey, id, deliveries });
    if (!batch.isNacked(index)) return;
    pendingEntries.finish(batch, index);
    if (page === undefined) return onCapacity();
    const { frame, entries } = page;
    if (entries.length === 0) {
      onGone(shard, [id]);
      return onCapacity();
    }
    const failure = batch.takeFailure(index);
    const again = { shard, frame, entries, deliveries: [deliveries], failure, bytes: frame.byteLength, groupLost };
    intake.add([again], { readAt });
    queue.serve();
  }

  /**
   * Delivers the entry once more: returns no page if it is another consumer's, an empty page if it is gone. If it is pending for
   * no consumer, another one may have claimed and acknowledged it while this process stood still. Otherwise its group was lost,
   * and it is read without the group.
   */
  async #fetch(
    batch: PendingBatch,
    redelivery: Redelivery,
  ): Promise<{ readonly page?: EntryPage; readonly groupLost: boolean }> {
    const { server, settings, member, ownership } = this.#ports;
    const { redisKey, id } = redelivery;
    if (batch.groupLost) return { page: await ownership.run(xrangeOne(redisKey, id)), groupLost: true };
    const claimed = await ownership.redeliver(redelivery);
    if (claimed !== undefined) return { page: claimed, groupLost: false };
    const [rows, page] = await Promise.all([
      ownership.run(xpending({ redisKey, group: member.group, start: id, end: id, count: 1 })),
      ownership.run(xrangeOne(redisKey, id)),
    ]);
    if (rows.length > 0) return { groupLost: false };
    const fresh = server.clock.now() - batch.ownedAt <= settings.autoClaimIdle;
    return fresh ? { page, groupLost: true } : { groupLost: false };
  }
}

function unexpected(cause: unknown): StreamerError {
  return new StreamerError("PROTOCOL", "Redelivering a message failed", { cause });
}
