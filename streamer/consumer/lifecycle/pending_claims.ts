// Lists the pending entries of other consumers and claims them: by scripts in one step each, or in several steps if scripts are
// forbidden. Entries that could not be claimed are classified.

import { StreamerError } from "../../../resp/errors.ts";
import { isUncoded } from "../../../resp/connection/server_errors.ts";
import type { Command } from "../../../resp/connection/command.ts";
import { claimPending, type ClaimState, listPending } from "../../commands/claim_scripts.ts";
import { areScriptsForbidden, isGroupMissing } from "../../commands/scripts.ts";
import { type EntryPage, xclaim, xrangeOne } from "../../commands/xclaim.ts";
import { type PendingEntry, xpending } from "../../commands/xpending.ts";
import { xrange } from "../../commands/xrange.ts";
import type { NodeName } from "../../cluster/router.ts";
import type { GroupMember } from "../../commands/xreadgroup.ts";
import { compareIds, FIRST_ID, LAST_ID, type MessageId } from "../../model/id.ts";
import type { WireName } from "../../model/name.ts";
import { isAway, type ServerAccess } from "../server/server.ts";
import type { GroupShard } from "../shards/group_shard.ts";
import type { Delivery, Intake } from "../pending/intake.ts";
import type { PrefetchQueue } from "../delivery/prefetch_queue.ts";
import type { GroupSettings } from "../group_options.ts";
import type { PendingEntries } from "../pending/pending_entries.ts";
import { retryWhileUnavailable } from "../../../resp/connection/retry/retry.ts";

/** What the claimer and the reclaimer have in common. */
export interface ClaimingPorts {
  readonly server: ServerAccess;
  readonly settings: GroupSettings;
  readonly member: GroupMember;
  readonly pendingEntries: PendingEntries;
  readonly queue: PrefetchQueue;
  readonly intake: Intake;
  /** The shards that are read now. */
  readonly shards: () => readonly GroupShard[];
  /** Aborted when reading has ended. */
  readonly signal: AbortSignal;
  /** How many entries to ask for now. */
  readonly count: () => number;
  /** Resolves when there is room for more. */
  readonly room: () => Promise<void>;
  /** The node that has a shard now. */
  readonly nodeOf: (shard: GroupShard) => NodeName;
  /** Runs while nothing of the shard is replayed: a replay would take entries in transit for lost. */
  readonly exclusively: <T>(shard: GroupShard, work: () => Promise<T>) => Promise<T>;
  /** Pending entries are no longer in their stream. */
  readonly onGone: (shard: GroupShard, ids: readonly MessageId[]) => void;
  /** Claiming has failed for good. */
  readonly onFatal: (error: StreamerError) => void;
}

/** What listing and claiming need. */
export interface PendingPorts {
  readonly server: Pick<ServerAccess, "clock" | "reconnect" | "run">;
  readonly member: GroupMember;
  readonly pendingEntries: PendingEntries;
  readonly signal: AbortSignal;
}

/** Receives how claims of a shard end. */
export interface ClaimWatch {
  /** The reply of a claim was lost with its connection. */
  readonly onLost?: (shard: GroupShard) => void;
  /** The reply of a claim came at the first attempt. */
  readonly onAnswered?: (shard: GroupShard) => void;
}

/** Which entries are listed. */
export interface ListRequest {
  /** Only those of this consumer; without it, those of all consumers. */
  readonly consumer?: WireName;
  /** Only those idle for so many milliseconds at least. */
  readonly idle?: number;
  /** First id. */
  readonly start: MessageId;
  /** Most entries. */
  readonly count: number;
}

/** A page of the pending list. */
export interface PendingList {
  readonly rows: readonly PendingEntry[];
  /** Whether a row is before the first entry of the stream: it was trimmed while it was pending. */
  readonly isTrimmed: (row: PendingEntry) => boolean;
}

/** Which entries are claimed. */
export interface ClaimRequest {
  /** The consumer that has them; `""` for entries that belong to no consumer. */
  readonly from: WireName;
  readonly rows: readonly PendingEntry[];
  /** Only those idle for so many milliseconds at least. */
  readonly minIdle: number;
}

/** The result of a claim. */
export interface Claimed {
  readonly found: readonly Delivery[];
  readonly ids: readonly MessageId[];
  /** Entries that were pending, and are no longer in their stream. */
  readonly gone: readonly MessageId[];
}

/** The state of one entry, and how often it had been delivered before. */
interface Outcome {
  readonly id: MessageId;
  /** `"unknown"`: it is not pending any more, and may have been until a claim whose reply was lost. */
  readonly state: ClaimState | "unknown";
  readonly deliveries: number;
}

/** Lists and claims. */
export class PendingClaims {
  readonly #ports: PendingPorts;
  readonly #watch: ClaimWatch;
  #scripts = true; // until the server refuses them
  #filters = true; // until the server does not know how to list by idle time

  constructor(ports: PendingPorts, watch: ClaimWatch = {}) {
    this.#ports = ports;
    this.#watch = watch;
  }

  /** Lists pending entries in the order of the ids; before Redis 6.2 also those that are not idle for long enough. */
  async list(shard: GroupShard, request: ListRequest): Promise<PendingList> {
    for (;;) {
      const { idle, ...rest } = request;
      const wanted = this.#filters ? request : rest;
      try {
        return this.#scripts ? await this.#listInOneStep(shard, wanted) : await this.#listInSteps(shard, wanted);
      } catch (error) {
        if (this.#scripts && areScriptsForbidden(error)) this.#scripts = false;
        else if (this.#filters && idle !== undefined && isUnknownWord(error)) this.#filters = false;
        else throw error;
      }
    }
  }

  /**
   * Claims entries; each counts as delivered once more. An entry that this consumer had claimed already by a command whose reply was
   * lost is returned too, and does not count again.
   */
  async claim(shard: GroupShard, request: ClaimRequest): Promise<Claimed> {
    if (this.#scripts) {
      try {
        return await this.#claimInOneStep(shard, request);
      } catch (error) {
        if (!areScriptsForbidden(error)) throw error;
        this.#scripts = false;
      }
    }
    return await this.#claimInSteps(shard, request);
  }

  async #listInOneStep({ redisKey }: GroupShard, request: ListRequest): Promise<PendingList> {
    const { group } = this.#ports.member;
    const { rows, firstId } = await this.#run(listPending({ redisKey, group, ...request }));
    return { rows, isTrimmed: ({ id }) => firstId === undefined || compareIds(id, firstId) < 0 };
  }

  /** Trimmed entries are listed once more: if one is still pending after it was trimmed, no consumer had acknowledged it before. */
  async #listInSteps({ redisKey }: GroupShard, request: ListRequest): Promise<PendingList> {
    const { group } = this.#ports.member;
    const rows = await this.#run(xpending({ redisKey, group, ...request }));
    if (rows.length === 0) return { rows, isTrimmed: () => false };
    const range = { redisKey, start: FIRST_ID, end: LAST_ID, count: 1, reverse: false };
    const { lastId: firstId } = await this.#run(xrange(range)); // of one entry the first is the last
    const gone = rows.filter(({ id }) => firstId === undefined || compareIds(id, firstId) < 0);
    if (gone.length === 0) return { rows, isTrimmed: () => false };
    const { idle: _idle, ...again } = request;
    const end = gone[gone.length - 1].id;
    const still = new Set((await this.#run(xpending({ redisKey, group, ...again, end }))).map(({ id }) => id));
    const before = new Set(gone.map(({ id }) => id));
    return {
      rows: rows.filter(({ id }) => !before.has(id) || still.has(id)),
      isTrimmed: ({ id }) => before.has(id),
    };
  }

  async #claimInOneStep(shard: GroupShard, { from, rows, minIdle }: ClaimRequest): Promise<Claimed> {
    const { member } = this.#ports;
    const readAt = rows.map(({ id }) => id);
    const command = claimPending(member, { redisKey: shard.redisKey, from, ids: readAt, minIdle });
    const { answer, uncertain } = await this.#runOnce(shard, command);
    const outcomes = answer.states.map(({ state, deliveries }, i): Outcome => {
      return { id: rows[i].id, state: uncertain && state === "nowhere" ? "unknown" : state, deliveries };
    });
    return await this.#gather(shard, answer, outcomes);
  }

  /** The pending rows are read right before the claim, on the same connection. */
  async #claimInSteps(shard: GroupShard, { from, rows, minIdle }: ClaimRequest): Promise<Claimed> {
    const { member } = this.#ports;
    const { redisKey } = shard;
    const listed = Promise.all(rows.map(({ id }) => this.#run(this.#pendingOne(redisKey, id))));
    const ids = rows.map(({ id }) => id);
    const claimed = this.#runOnce(shard, { ...xclaim(member, { redisKey, ids, minIdle }), repeatable: false });
    const [before, { answer, uncertain }] = await Promise.all([listed, claimed]);
    const taken = new Set(Array.from(answer.entries, (at) => answer.frame.textAt(at + 2)));
    const outcomes = await Promise.all(rows.map(async ({ id }, i): Promise<Outcome> => {
      const [row] = before[i];
      if (taken.has(id)) return { id, state: "claimed", deliveries: row?.deliveries ?? rows[i].deliveries };
      if (row === undefined) return { id, state: uncertain ? "unknown" : "nowhere", deliveries: 0 };
      const [now] = await this.#run(this.#pendingOne(redisKey, id));
      const { deliveries } = now ?? row;
      if (now === undefined) return { id, state: "unknown", deliveries }; // removed by the claim, or acknowledged just now
      const isOurs = now.consumer === member.consumer && from !== member.consumer;
      return { id, state: isOurs ? "ours" : "not-ours", deliveries };
    }));
    return await this.#gather(shard, answer, outcomes);
  }

  /** The claimed entries, and those of the others that are to be delivered or reported as well. */
  async #gather(shard: GroupShard, { frame, entries }: EntryPage, outcomes: readonly Outcome[]): Promise<Claimed> {
    const { pendingEntries } = this.#ports;
    const counts = new Map(outcomes.map(({ id, deliveries }) => [id, deliveries + 1]));
    const ids = Array.from(entries, (at) => frame.textAt(at + 2));
    const deliveries = ids.map((id) => counts.get(id) ?? 1);
    const found: Delivery[] = [];
    if (ids.length > 0) found.push({ shard, frame, entries, deliveries, bytes: frame.byteLength });
    const gone = outcomes.filter(({ state }) => state === "gone").map(({ id }) => id);
    const doubtful = outcomes.filter(({ id, state }) => {
      return state === "unknown" || (state === "ours" && pendingEntries.find(shard, id) === undefined);
    });
    const pages = await Promise.all(doubtful.map(({ id }) => this.#run(xrangeOne(shard.redisKey, id))));
    for (const [i, page] of pages.entries()) {
      const { id, state, deliveries } = doubtful[i];
      if (page.entries.length === 0) {
        gone.push(id); // reported rather than lost in silence
      } else if (state === "ours") {
        found.push({ shard, ...page, deliveries: [deliveries], bytes: page.frame.byteLength });
        ids.push(id);
      }
    }
    return { found, ids, gone };
  }

  #pendingOne(redisKey: string, id: MessageId): Command<PendingEntry[]> {
    return xpending({ redisKey, group: this.#ports.member.group, start: id, end: id, count: 1 });
  }

  /** Runs a command whose second run gives another result; `uncertain` if it may have run before, and its reply was lost. */
  async #runOnce<T>(
    shard: GroupShard,
    command: Command<T>,
  ): Promise<{ readonly answer: T; readonly uncertain: boolean }> {
    let uncertain = false;
    const { server, signal } = this.#ports;
    const answer = await retryWhileUnavailable(server, signal, async () => {
      try {
        return await server.run({ ...command, repeatable: uncertain }, { signal });
      } catch (error) {
        const isLost = isAway(error) || (error instanceof StreamerError && error.code === "PROTOCOL");
        if (uncertain || !isLost) throw error;
        uncertain = true;
        this.#watch.onLost?.(shard);
        return await server.run({ ...command, repeatable: true }, { signal });
      }
    });
    if (!uncertain) this.#watch.onAnswered?.(shard);
    return { answer, uncertain };
  }

  #run<T>(command: Command<T>): Promise<T> {
    const { server, signal } = this.#ports;
    return retryWhileUnavailable(server, signal, () => server.run(command, { signal }));
  }
}

/** Whether a server of before 6.2 has refused to list by idle time. */
function isUnknownWord(error: unknown): boolean {
  return isUncoded(error) && !isGroupMissing(error);
}
