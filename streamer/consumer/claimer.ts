// Takes over what other consumers of the group have left lying, and removes those that are gone and hold nothing. It must not
// know how what is new is read.

import { RedisError, StreamerError } from "../../resp/errors.ts";
import { sleep } from "../../resp/connection/clock.ts";
import type { Command } from "../../resp/connection/command.ts";
import { areScriptsForbidden, isGroupMissing, removeIdle } from "../commands/scripts.ts";
import { xclaim, xrangeOne } from "../commands/xclaim.ts";
import { isStreamMissing, xinfoConsumers } from "../commands/xgroup.ts";
import { type PendingEntry, xpending, type XpendingOptions, xpendingSummary } from "../commands/xpending.ts";
import type { GroupMember } from "../commands/xreadgroup.ts";
import { FIRST_ID, type MessageId, nextId } from "../model/id.ts";
import type { AnchorPorts } from "./anchor.ts";
import type { GroupSettings } from "./group_options.ts";
import { type GroupShard, shardName } from "./group_shard.ts";
import type { Inbox } from "./inbox.ts";
import type { Delivery, Intake } from "./intake.ts";
import type { Ledger } from "./ledger.ts";
import { persist } from "./persist.ts";
import { isAway } from "./policy.ts";

/** Messages that were taken over. */
export interface ClaimedDetail {
  readonly streamKey: string;
  readonly shardId: number;
  readonly group: string;
  /** Who held them; `""` where somebody had given them back to the group. */
  readonly from: string;
  readonly ids: readonly MessageId[];
}

/** What a claimer needs, and whom it tells. */
export interface ClaimerPorts {
  readonly anchor: AnchorPorts;
  readonly settings: GroupSettings;
  readonly member: GroupMember;
  readonly ledger: Ledger;
  readonly inbox: Inbox;
  readonly intake: Intake;
  readonly shards: () => readonly GroupShard[];
  readonly signal: AbortSignal;
  /** Most entries to ask for now. */
  readonly count: () => number;
  /** Resolves when there is room for more. */
  readonly room: () => Promise<void>;
  /** Runs while nothing is replayed: what is on its way here must not be taken for lost. */
  readonly exclusively: <T>(work: () => Promise<T>) => Promise<T>;
  readonly onClaimed: (detail: ClaimedDetail) => void;
  /** These were pending and are no longer in their stream. */
  readonly onGone: (shard: GroupShard, ids: readonly MessageId[]) => void;
  readonly onFatal: (error: StreamerError) => void;
}

/** Claims by itself, every so often. */
export class Claimer {
  readonly #ports: ClaimerPorts;
  readonly #stopping = new AbortController();
  #claimed = 0;
  #scripts = true; // until the server refuses them
  #tellsIdle = true; // until the server does not know how

  constructor(ports: ClaimerPorts) {
    this.#ports = ports;
  }

  /** Messages taken over. */
  get claimed(): number {
    return this.#claimed;
  }

  /** Begins; the first look is after one interval. */
  start(): void {
    const { autoClaimInterval, consumerExpiry } = this.#ports.settings;
    if (autoClaimInterval !== undefined) this.#every(autoClaimInterval, (shard) => this.#claimFromAll(shard));
    if (consumerExpiry === undefined) return;
    this.#every(Math.min(consumerExpiry, LONGEST_EXPIRY_INTERVAL), (shard) => this.#removeIdle(shard, consumerExpiry));
  }

  /** Claims no more; what is under way ends by itself. */
  stop(): void {
    this.#stopping.abort();
  }

  async #every(interval: number, look: (shard: GroupShard) => Promise<void>): Promise<void> {
    const { anchor, onFatal } = this.#ports;
    const signal = AbortSignal.any([this.#ports.signal, this.#stopping.signal]);
    try {
      for (;;) {
        await sleep(anchor.clock, interval * (1 + JITTER * (anchor.clock.random() - 0.5)), signal);
        await this.#forEach(look);
      }
    } catch (error) {
      if (signal.aborted) return; // the end
      onFatal(error instanceof StreamerError ? error : new StreamerError("PROTOCOL", "Cannot claim", { cause: error }));
    }
  }

  /** Looks at each shard; what passes by itself, or a group that is gone, is for the next time. */
  async #forEach(look: (shard: GroupShard) => Promise<void>): Promise<void> {
    const { shards, signal, onFatal } = this.#ports;
    for (const shard of shards()) {
      if (shard.state !== "ready" || !shard.active) continue;
      try {
        await look(shard);
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof StreamerError)) throw error;
        if (isAway(error) || isGroupMissing(error) || isStreamMissing(error)) continue;
        return onFatal(error);
      }
    }
  }

  async #claimFromAll(shard: GroupShard): Promise<void> {
    const { member } = this.#ports;
    if (!shard.replayed) return; // what is claimed must not be replayed
    const { total, consumers } = await this.#run(xpendingSummary(shard.redisKey, member.group));
    for (const { name } of consumers) if (name !== member.consumer) await this.#claimFrom(shard, name);
    if (total > consumers.reduce((sum, { pending }) => sum + pending, 0)) await this.#claimUnowned(shard);
  }

  async #removeIdle(shard: GroupShard, expiry: number): Promise<void> {
    const { member } = this.#ports;
    if (!this.#scripts) return; // looked at and removed in two steps, one that has just begun to read could lose what it has
    try {
      for (const { name, pending, idle } of await this.#run(xinfoConsumers(shard.redisKey, member.group))) {
        if (name === member.consumer || pending > 0 || idle < expiry) continue;
        await this.#run(removeIdle({ group: member.group, consumer: name }, shard.redisKey, expiry));
      }
    } catch (error) {
      if (!areScriptsForbidden(error)) throw error;
      this.#scripts = false; // or this user may not see or remove consumers: it is no more than tidiness
    }
  }

  /** All that one consumer has left lying, page after page, as there is room. */
  async #claimFrom(shard: GroupShard, from: string): Promise<void> {
    const { member, settings, count, room, exclusively } = this.#ports;
    const { redisKey } = shard;
    for (let start: MessageId | undefined = FIRST_ID; start !== undefined;) {
      await room();
      if (!shard.active) return;
      const first: MessageId = start;
      start = await exclusively(async () => {
        const page = { redisKey, group: member.group, consumer: from, start: first, count: count() };
        const rows = await this.#pendingFor(page, settings.autoClaimIdle);
        await this.#claim(shard, from, rows.filter(({ idle }) => idle >= settings.autoClaimIdle));
        return rows.length < page.count ? undefined : nextId(rows[rows.length - 1].id);
      });
    }
  }

  /** A page of what has been pending for so long; before Redis 6.2, of what is pending at all. */
  async #pendingFor(page: XpendingOptions, idle: number): Promise<PendingEntry[]> {
    if (this.#tellsIdle) {
      try {
        return await this.#run(xpending({ ...page, idle }));
      } catch (error) {
        if (!(error instanceof RedisError) || error.code !== "ERR") throw error;
        this.#tellsIdle = false;
      }
    }
    return await this.#run(xpending(page));
  }

  /** What belongs to nobody, since somebody gave it back to the group, is in no consumer's list: all of it is walked. */
  async #claimUnowned(shard: GroupShard): Promise<void> {
    const { member, room, exclusively } = this.#ports;
    const { redisKey } = shard;
    for (let start: MessageId | undefined = FIRST_ID; start !== undefined;) {
      await room();
      if (!shard.active) return;
      const first: MessageId = start;
      start = await exclusively(async () => {
        const rows = await this.#run(xpending({ redisKey, group: member.group, start: first, count: LISTED }));
        await this.#claim(shard, "", rows.filter(({ consumer }) => consumer === ""));
        return rows.length < LISTED ? undefined : nextId(rows[rows.length - 1].id);
      });
    }
  }

  async #claim(shard: GroupShard, from: string, rows: readonly PendingEntry[]): Promise<void> {
    const { member, anchor, settings, inbox, onClaimed } = this.#ports;
    if (rows.length === 0) return;
    const minIdle = from === "" ? 0 : settings.autoClaimIdle;
    const readAt = anchor.clock.now();
    const claim = xclaim(member, { redisKey: shard.redisKey, ids: rows.map(({ id }) => id), minIdle });
    const { frame, entries } = await this.#run(claim);
    const counts = new Map(rows.map(({ id, deliveries }) => [id, deliveries + 1]));
    const ids = Array.from(entries, (at) => frame.textAt(at + 2));
    const deliveries = ids.map((id) => counts.get(id) ?? 1);
    const found: Delivery[] = [{ shard, frame, entries, deliveries, bytes: frame.byteLength }];
    const taken = new Set(ids);
    for (const row of rows) {
      if (taken.has(row.id)) continue;
      const late = await this.#settle(shard, row);
      if (late === undefined) continue;
      found.push(late);
      ids.push(row.id);
    }
    if (ids.length === 0) return;
    this.#claimed += ids.length;
    onClaimed({ ...shardName(shard), group: member.group, from, ids });
    this.#ports.intake.add(found, { readAt });
    inbox.serve();
  }

  /** Of an entry that was not claimed: ours all the same, since an answer was lost; gone from the stream; or another's. */
  async #settle(shard: GroupShard, { id, deliveries }: PendingEntry): Promise<Delivery | undefined> {
    const { member, ledger, onGone } = this.#ports;
    const { redisKey } = shard;
    const [page, [now]] = await Promise.all([
      this.#run(xrangeOne(redisKey, id)),
      this.#run(xpending({ redisKey, group: member.group, start: id, end: id, count: 1 })),
    ]);
    const isThere = page.entries.length > 0;
    if (!isThere && (now === undefined || now.consumer === member.consumer)) onGone(shard, [id]);
    const isOurs = isThere && now?.consumer === member.consumer && ledger.find(shard, id) === undefined;
    if (!isOurs) return undefined;
    const { frame, entries } = page;
    return { shard, frame, entries, deliveries: [now?.deliveries ?? deliveries + 1], bytes: frame.byteLength };
  }

  #run<T>(command: Command<T>): Promise<T> {
    const { anchor, signal } = this.#ports;
    return persist(anchor, signal, () => anchor.run(command, { signal }));
  }
}

/** Share of the interval by which looks are spread, so that consumers that began together do not look together. */
const JITTER = 0.2;
/** Longest time between two looks for consumers that are gone. */
const LONGEST_EXPIRY_INTERVAL = 600_000;
/** Entries listed at once where all of a group's are walked. */
const LISTED = 1_000;
