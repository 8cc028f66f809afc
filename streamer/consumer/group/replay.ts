// Delivers entries that are pending for this consumer already: those of a previous session, and after a lost connection those that
// were delivered to it but never received.

import { Suspicion } from "../../../resp/connection/retry/suspicion.ts";
import { type CountState, firstCount, halveCount, nextCount } from "../../commands/page_count.ts";
import type { Clock } from "../../../resp/connection/clock.ts";
import type { OpenConnection } from "../../../resp/connection/node.ts";
import type { Pipeline } from "../../../resp/connection/pipeline/pipeline.ts";
import type { EntryPage } from "../../commands/xclaim.ts";
import { type PendingEntry, xpending } from "../../commands/xpending.ts";
import {
  type GroupMember,
  type PendingOptions,
  type PendingPage,
  xreadgroupPending,
} from "../../commands/xreadgroup.ts";
import { compareIds, FIRST_ID, type MessageId, nextId } from "../../model/id.ts";
import { EntryFetch, FETCHED_BYTES, isCut, MOST_FETCHED } from "../server/entry_fetch.ts";
import { type GroupShard, LONG_IDLE } from "../shards/group_shard.ts";
import type { PrefetchQueue } from "../delivery/prefetch_queue.ts";
import type { Delivery, Intake } from "../pending/intake.ts";
import type { PendingEntries } from "../pending/pending_entries.ts";

/** What a replay needs. */
export interface ReplayPorts {
  readonly clock: Clock;
  readonly member: GroupMember;
  readonly pendingEntries: PendingEntries;
  readonly queue: PrefetchQueue;
  readonly intake: Intake;
  /**
   * Runs while nothing of the shard is claimed: entries that are just being claimed from another consumer are not lost. The group is
   * not moved either: entries that are just being released would be taken for lost, and a page would make them look newly delivered.
   */
  readonly exclusively: <T>(shard: GroupShard, work: () => Promise<T>) => Promise<T>;
  /** Most entries to ask for now. */
  readonly count: () => number;
  /** A page of so many entries took so many bytes. */
  readonly onSized: (entries: number, bytes: number) => void;
  /** These entries are pending and no longer in their stream. */
  readonly onGone: (shard: GroupShard, ids: readonly MessageId[]) => void;
}

/** How far the replay of a previous session has come. */
interface Progress {
  /** All entries up to this id have been delivered. */
  after: MessageId;
  /** The page that is in flight, as it was listed before. */
  asked: readonly PendingEntry[];
  /** Whether the shard was released meanwhile. */
  left: boolean;
}

/** What cuts of connections to one node mean for what is asked next. */
interface NodeHistory {
  /** Entries of a page of a previous session. */
  pages: CountState;
  /** Of cuts in a row with such a page in flight. */
  readonly pageSuspicion: Suspicion;
  readonly fetch: EntryFetch;
}

/** How to ask, and for how long. */
interface Way {
  readonly pipeline: Pipeline;
  readonly history: NodeHistory;
  /** Resolves when there is room for a page. */
  readonly room: () => Promise<void>;
  /** Whether entries of this replay are no longer wanted. */
  readonly isOver: () => boolean;
}

/** Delivers the pending entries of one consumer. */
export class Replay {
  readonly #ports: ReplayPorts;
  readonly #progress = new Map<GroupShard, Progress>();
  readonly #changes = new Map<GroupShard, number>(); // a replay that began before the last one is over
  readonly #histories = new WeakMap<OpenConnection["node"], NodeHistory>();
  readonly #asking = new Map<Pipeline, number>(); // replays with commands in flight
  #replayed = 0;

  constructor(ports: ReplayPorts) {
    this.#ports = ports;
  }

  /** Messages delivered so far. */
  get replayed(): number {
    return this.#replayed;
  }

  /**
   * Delivers the entries of a shard that are pending for this consumer, page after page as there is room. Rejects with errors of the
   * server, or when the connection ends; the next call resumes. Returns false if the shard was released or moved meanwhile.
   */
  async bring(
    shard: GroupShard,
    { pipeline, node }: Pick<OpenConnection, "pipeline" | "node">,
    room: () => Promise<void>,
  ): Promise<boolean> {
    const changes = this.#changes.get(shard);
    const isOver = () => changes !== this.#changes.get(shard) || !shard.isRead;
    const way: Way = { pipeline, history: this.#historyOf(node), room, isOver };
    if (!shard.isReplayed) {
      let progress = this.#progress.get(shard);
      if (progress === undefined) this.#progress.set(shard, progress = { after: FIRST_ID, asked: [], left: false });
      await this.#previousSession(shard, progress, way);
      if (way.isOver()) return false;
      this.#progress.delete(shard);
      shard.replayed(); // from here on entries can get lost with a connection, and idle entries of others may be claimed
      if (!progress.left) return true;
    }
    await this.#neverReceived(shard, way);
    return !way.isOver();
  }

  /**
   * Whether commands of a replay are in flight on this connection. Some of them change an entry: its count of deliveries, and its idle time.
   * If the server got them late, an entry would count as delivered once too often, or a released one would seem to be delivered here.
   */
  isAsking(pipeline: Pipeline): boolean {
    return this.#asking.has(pipeline);
  }

  /** A shard was released. If it is assigned again, entries that were delivered and released are delivered, too. */
  leave(shard: GroupShard): void {
    this.#change(shard);
    const progress = this.#progress.get(shard);
    if (progress !== undefined) progress.left = true;
  }

  /** Entries that are pending by now are no longer wanted: the groups of these shards were moved. */
  cancel(shards: readonly GroupShard[]): void {
    for (const shard of shards) {
      this.#change(shard);
      this.#progress.delete(shard);
      shard.skipReplay();
    }
  }

  #historyOf(node: OpenConnection["node"]): NodeHistory {
    let history = this.#histories.get(node);
    if (history === undefined) {
      const fetch = new EntryFetch({ member: this.#ports.member, losses: () => node.losses, releasedIdle: LONG_IDLE });
      history = { pages: firstCount(MOST_FETCHED), pageSuspicion: new Suspicion(), fetch };
      this.#histories.set(node, history);
    }
    return history;
  }

  #change(shard: GroupShard): void {
    this.#changes.set(shard, (this.#changes.get(shard) ?? 0) + 1);
  }

  /** Delivers entries that a previous session left pending. Each counts as one more delivery, even if connections are lost meanwhile. */
  async #previousSession(shard: GroupShard, progress: Progress, way: Way): Promise<void> {
    await this.#lostPage(shard, progress, way);
    for (let isMore = true; isMore;) {
      await way.room();
      isMore = await this.#exclusively(shard, way, () => this.#previousPage(shard, progress, way));
    }
  }

  /** Delivers a page of a previous session. Returns false after the last one. */
  async #previousPage(shard: GroupShard, progress: Progress, way: Way): Promise<boolean> {
    const { pipeline, history, isOver } = way;
    const { member, clock, onGone } = this.#ports;
    const { redisKey } = shard;
    const { group, consumer } = member;
    if (isOver()) return false;
    const readAt = clock.now();
    const wanted = Math.min(this.#ports.count(), history.pages.count);
    const { after } = progress;
    progress.asked = await pipeline.call(
      xpending({ redisKey, group, consumer, start: nextId(after) ?? after, count: wanted }),
    );
    const { frame, entries, gone } = await this.#page(way, { redisKey, after, count: wanted });
    if (isOver()) return false; // these entries stay pending
    const ids = Array.from(entries, (at) => frame.textAt(at + 2));
    if (ids.length > 0) {
      this.#ports.onSized(ids.length, frame.byteLength);
      const count = ids.length + gone.length; // deleted entries are still listed
      const range = { start: ids[0], end: ids[ids.length - 1], count };
      const rows = await pipeline.call(xpending({ redisKey, group, consumer, ...range }));
      if (isOver()) return false;
      this.#add([{ shard, frame, entries, deliveries: deliveriesOf(ids, rows), bytes: frame.byteLength }], readAt);
    }
    if (gone.length > 0) onGone(shard, gone);
    progress.asked = [];
    const last = [ids.at(-1), gone.at(-1)].filter((id) => id !== undefined).sort(compareIds).at(-1);
    if (last === undefined) return false;
    progress.after = last;
    return true;
  }

  /** Reads a page of a previous session. After cut connections in a row, the next pages are smaller. */
  async #page({ pipeline, history }: Way, options: PendingOptions): Promise<PendingPage> {
    const { pageSuspicion } = history;
    try {
      const page = await pipeline.call(xreadgroupPending(this.#ports.member, options));
      const total = page.entries.length;
      pageSuspicion.clear();
      const size = { entries: total, total, bytes: page.frame.byteLength, streams: 1 };
      history.pages = nextCount(history.pages, size, { batchSize: MOST_FETCHED, pageBytes: FETCHED_BYTES });
      return page;
    } catch (error) {
      if (isCut(error, pipeline)) {
        pageSuspicion.cut({ alone: false, heard: undefined });
        if (pageSuspicion.isSuspect) history.pages = halveCount(history.pages) ?? history.pages;
      }
      throw error;
    }
  }

  /** A page was lost with its connection. If the server has counted its delivery, its entries are fetched without another count. */
  async #lostPage(shard: GroupShard, progress: Progress, way: Way): Promise<void> {
    const { asked } = progress;
    if (asked.length === 0) return;
    await way.room();
    const { group, consumer } = this.#ports.member;
    const [start, end] = [asked[0].id, asked[asked.length - 1].id];
    const before = new Map(asked.map(({ id, deliveries }) => [id, deliveries]));
    await this.#exclusively(shard, way, async () => {
      if (way.isOver()) return;
      const rows = await way.pipeline.call(
        xpending({ redisKey: shard.redisKey, group, consumer, start, end, count: asked.length }),
      );
      if (rows.some(({ id, deliveries }) => deliveries > (before.get(id) ?? deliveries))) {
        await this.#bringIn(shard, rows, way);
        progress.after = end;
      }
      progress.asked = [];
    });
  }

  /** Delivers entries that are pending here and unknown: their reply was lost. That counts as no further delivery. */
  async #neverReceived(shard: GroupShard, way: Way): Promise<void> {
    const { member, count } = this.#ports;
    const { redisKey } = shard;
    for (let start: MessageId | undefined = FIRST_ID; start !== undefined;) {
      await way.room();
      const from: MessageId = start;
      start = await this.#exclusively(shard, way, async () => {
        if (way.isOver()) return undefined;
        const page = { redisKey, group: member.group, start: from, count: Math.max(count(), LEAST_LISTED) };
        const rows = await way.pipeline.call(xpending({ ...page, consumer: member.consumer }));
        await this.#bringIn(shard, rows, way);
        return rows.length < page.count ? undefined : nextId(rows[rows.length - 1].id);
      });
    }
  }

  #exclusively<T>(shard: GroupShard, { pipeline }: Way, work: () => Promise<T>): Promise<T> {
    return this.#ports.exclusively(shard, async () => {
      this.#asking.set(pipeline, (this.#asking.get(pipeline) ?? 0) + 1);
      try {
        return await work();
      } finally {
        const left = (this.#asking.get(pipeline) ?? 1) - 1;
        if (left > 0) this.#asking.set(pipeline, left);
        else this.#asking.delete(pipeline);
      }
    });
  }

  async #bringIn(shard: GroupShard, rows: readonly PendingEntry[], way: Way): Promise<void> {
    const { pipeline, history: { fetch }, isOver } = way;
    const { clock, pendingEntries, onGone } = this.#ports;
    const { redisKey } = shard;
    const isUndeliverable = pendingEntries.undeliverable(shard);
    const missing = rows.filter((row) =>
      !shard.isReleased(row) && pendingEntries.find(shard, row.id) === undefined && !isUndeliverable(row.id) &&
      pendingEntries.releases.find(shard, row.id) === undefined // a nacked entry comes back as a further delivery
    );
    for (let at = 0; at < missing.length;) {
      const readAt = clock.now();
      const some = missing.slice(at, at + fetch.count);
      const answers = await fetch.some(redisKey, some, pipeline);
      if (isOver()) return;
      at += some.length;
      const ours = answers.flatMap(({ id, own, page }) => own && page ? [{ id, own, page }] : []);
      const gone = ours.filter(({ page }) => page.entries.length === 0).map(({ id }) => id);
      if (gone.length > 0) onGone(shard, gone);
      this.#add(ours.map(({ page, own }) => delivery(shard, page, own.deliveries)), readAt);
    }
  }

  #add(deliveries: readonly Delivery[], readAt: number): void {
    const { intake, queue } = this.#ports;
    for (const { entries } of deliveries) this.#replayed += entries.length;
    intake.add(deliveries, { readAt });
    queue.serve();
  }
}

/** Entries listed at once at least: a list is small, however large the entries are. */
const LEAST_LISTED = 1_000;

function delivery(shard: GroupShard, { frame, entries }: EntryPage, deliveries: number): Delivery {
  return { shard, frame, entries, deliveries: [deliveries], bytes: frame.byteLength };
}

/** How often each entry was delivered; 1 if it is no longer listed. */
function deliveriesOf(ids: readonly MessageId[], rows: readonly PendingEntry[]): number[] {
  const counts = new Map(rows.map(({ id, deliveries }) => [id, deliveries]));
  return ids.map((id) => counts.get(id) ?? 1);
}
