// Brings in what is pending for this consumer already: all of it at the start of a life, and after a lost connection what that
// has swallowed, without what is held here. It must not know how what is new is read.

import type { Clock } from "../../resp/connection/clock.ts";
import type { Pipeline } from "../../resp/connection/pipeline.ts";
import { type EntryPage, xrangeOne } from "../commands/xclaim.ts";
import { type PendingEntry, xpending } from "../commands/xpending.ts";
import { type GroupMember, xreadgroupPending } from "../commands/xreadgroup.ts";
import { compareIds, FIRST_ID, type MessageId, nextId } from "../model/id.ts";
import { type GroupShard, LONG_IDLE } from "./group_shard.ts";
import type { Inbox } from "./inbox.ts";
import type { Delivery, Intake } from "./intake.ts";
import type { Ledger } from "./ledger.ts";

/** What a replay needs, and whom it tells. */
export interface ReplayPorts {
  readonly clock: Clock;
  readonly member: GroupMember;
  readonly ledger: Ledger;
  readonly inbox: Inbox;
  readonly intake: Intake;
  /** Runs while nothing is claimed: what is on its way here from another consumer is no loss. */
  readonly exclusively: <T>(work: () => Promise<T>) => Promise<T>;
  /** Most entries to ask for now. */
  readonly count: () => number;
  /** So many entries took so many bytes. */
  readonly onSized: (entries: number, bytes: number) => void;
  /** These are pending and no longer in their stream. */
  readonly onGone: (shard: GroupShard, ids: readonly MessageId[]) => void;
}

/** How far the replay of an earlier life has come. */
interface Progress {
  /** All up to here have been brought in. */
  after: MessageId;
  /** The page that is under way, as it was listed before it was asked for. */
  asked: readonly PendingEntry[];
  /** Whether the shard was left meanwhile. */
  left: boolean;
}

/** How to ask, and for how long. */
interface Way {
  readonly pipeline: Pipeline;
  /** Resolves when there is room for a page. */
  readonly room: () => Promise<void>;
  /** Whether what comes is not wanted any more. */
  readonly isOver: () => boolean;
}

/** Brings pending entries in. */
export class Replay {
  readonly #ports: ReplayPorts;
  readonly #progress = new Map<GroupShard, Progress>();
  readonly #changes = new Map<GroupShard, number>(); // what was asked for before the last one is not wanted any more
  #replayed = 0;

  constructor(ports: ReplayPorts) {
    this.#ports = ports;
  }

  /** Messages brought in. */
  get replayed(): number {
    return this.#replayed;
  }

  /**
   * Brings in what is pending for this consumer, page after page as there is room. Rejects with what the server refuses, or
   * the end of the pipeline; asked again, it goes on. Gives false, and has not brought in all, where the shard was left or
   * moved meanwhile.
   */
  async bring(shard: GroupShard, pipeline: Pipeline, room: () => Promise<void>): Promise<boolean> {
    const changes = this.#changes.get(shard);
    const way: Way = { pipeline, room, isOver: () => changes !== this.#changes.get(shard) || !shard.active };
    if (!shard.replayed) {
      let progress = this.#progress.get(shard);
      if (progress === undefined) this.#progress.set(shard, progress = { after: FIRST_ID, asked: [], left: false });
      await this.#earlierLife(shard, progress, way);
      if (way.isOver()) return false;
      this.#progress.delete(shard);
      shard.replayed = true; // from here on a lost connection may have swallowed some, and others' may be claimed
      if (!progress.left) return true;
    }
    await this.#swallowed(shard, way);
    return !way.isOver();
  }

  /** A shard is read no more. If it is again, what had been brought in of it and was given back is brought in, too. */
  leave(shard: GroupShard): void {
    this.#change(shard);
    const progress = this.#progress.get(shard);
    if (progress !== undefined) progress.left = true;
  }

  /** Nothing that is pending by now is wanted any more of these: their groups have been moved. */
  cancel(shards: readonly GroupShard[]): void {
    for (const shard of shards) {
      this.#change(shard);
      this.#progress.delete(shard);
      shard.replayed = true;
    }
  }

  #change(shard: GroupShard): void {
    this.#changes.set(shard, (this.#changes.get(shard) ?? 0) + 1);
  }

  /** What an earlier life has left: each counts as delivered once more, also if connections are lost meanwhile. */
  async #earlierLife(
    shard: GroupShard,
    progress: Progress,
    { pipeline, room, isOver }: Way,
  ): Promise<void> {
    const { member, clock, onGone } = this.#ports;
    const { redisKey } = shard;
    const { group, consumer } = member;
    await this.#lostPage(shard, progress, { pipeline, room, isOver });
    for (;;) {
      await room();
      if (isOver()) return;
      const readAt = clock.now();
      const wanted = this.#ports.count();
      const { after } = progress;
      progress.asked = await pipeline.call(
        xpending({ redisKey, group, consumer, start: nextId(after) ?? after, count: wanted }),
      );
      const page = await pipeline.call(xreadgroupPending(member, { redisKey, after, count: wanted }));
      if (isOver()) return; // what it has stays pending
      const { frame, entries, gone } = page;
      const ids = Array.from(entries, (at) => frame.textAt(at + 2));
      if (ids.length > 0) {
        this.#ports.onSized(ids.length, frame.byteLength);
        const count = ids.length + gone.length; // those that are gone are still listed
        const range = { start: ids[0], end: ids[ids.length - 1], count };
        const rows = await pipeline.call(xpending({ redisKey, group, consumer, ...range }));
        if (isOver()) return;
        this.#add([{ shard, frame, entries, deliveries: deliveriesOf(ids, rows), bytes: frame.byteLength }], readAt);
      }
      if (gone.length > 0) onGone(shard, gone);
      progress.asked = [];
      const last = [ids.at(-1), gone.at(-1)].filter((id) => id !== undefined).sort(compareIds).at(-1);
      if (last === undefined) return;
      progress.after = last;
    }
  }

  /** A page of an earlier life was lost with its connection: if the server has counted it, it must not be read once more. */
  async #lostPage(
    shard: GroupShard,
    progress: Progress,
    way: Way,
  ): Promise<void> {
    const { asked } = progress;
    if (asked.length === 0) return;
    await way.room();
    if (way.isOver()) return;
    const { group, consumer } = this.#ports.member;
    const [start, end] = [asked[0].id, asked[asked.length - 1].id];
    const before = new Map(asked.map(({ id, deliveries }) => [id, deliveries]));
    const rows = await way.pipeline.call(
      xpending({ redisKey: shard.redisKey, group, consumer, start, end, count: asked.length }),
    );
    if (rows.some(({ id, deliveries }) => deliveries > (before.get(id) ?? deliveries))) {
      await this.#fetch(shard, rows, way);
      progress.after = end;
    }
    progress.asked = [];
  }

  /** What is pending here and is not held: a reply that was lost had it. It does not count as delivered again. */
  async #swallowed(shard: GroupShard, way: Way): Promise<void> {
    const { member, exclusively, count } = this.#ports;
    const { redisKey } = shard;
    for (let start: MessageId | undefined = FIRST_ID; start !== undefined;) {
      await way.room();
      if (way.isOver()) return;
      const from: MessageId = start;
      start = await exclusively(async () => {
        const page = { redisKey, group: member.group, start: from, count: Math.max(count(), LEAST_LISTED) };
        const rows = await way.pipeline.call(xpending({ ...page, consumer: member.consumer }));
        await this.#fetch(shard, rows, way);
        return rows.length < page.count ? undefined : nextId(rows[rows.length - 1].id);
      });
    }
  }

  async #fetch(shard: GroupShard, rows: readonly PendingEntry[], { pipeline, isOver }: Way): Promise<void> {
    const { member, clock, ledger, onGone } = this.#ports;
    const { redisKey } = shard;
    const missing = rows.filter((row) => !isGivenBack(shard, row) && ledger.find(shard, row.id) === undefined);
    for (let at = 0; at < missing.length; at += FETCHED) {
      const readAt = clock.now();
      const answers = await Promise.all(
        missing.slice(at, at + FETCHED).map(async ({ id }) => {
          // Asked once more: what was acknowledged while the list was on its way is not to be delivered.
          const still = xpending({
            redisKey,
            group: member.group,
            start: id,
            end: id,
            count: 1,
            consumer: member.consumer,
          });
          const [own, page] = await Promise.all([pipeline.call(still), pipeline.call(xrangeOne(redisKey, id))]);
          return { id, own: own.at(0), page };
        }),
      );
      if (isOver()) return;
      const ours = answers.filter(({ own }) => own !== undefined);
      const gone = ours.filter(({ page }) => page.entries.length === 0).map(({ id }) => id);
      if (gone.length > 0) onGone(shard, gone);
      this.#add(ours.map(({ page, own }) => delivery(shard, page, own?.deliveries ?? 1)), readAt);
    }
  }

  #add(deliveries: readonly Delivery[], readAt: number): void {
    const { intake, inbox } = this.#ports;
    for (const { entries } of deliveries) this.#replayed += entries.length;
    intake.add(deliveries, { readAt });
    inbox.serve();
  }
}

/** Whether it was given back, and has not been delivered here once more since: that would have begun its idle time anew. */
function isGivenBack(shard: GroupShard, { id, idle }: PendingEntry): boolean {
  return shard.givenBack.has(id) && idle >= LONG_IDLE;
}

/** Entries listed at once at least: a list is small, whatever the entries are. */
const LEAST_LISTED = 1_000;
/** Entries fetched at once. */
const FETCHED = 100;

function delivery(shard: GroupShard, { frame, entries }: EntryPage, deliveries: number): Delivery {
  return { shard, frame, entries, deliveries: [deliveries], bytes: frame.byteLength };
}

/** How often each was delivered; 1 where it is no longer listed. */
function deliveriesOf(ids: readonly MessageId[], rows: readonly PendingEntry[]): number[] {
  const counts = new Map(rows.map(({ id, deliveries }) => [id, deliveries]));
  return ids.map((id) => counts.get(id) ?? 1);
}
