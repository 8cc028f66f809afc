// Renews the leases of tracked entries on the server, never of an entry that another consumer has claimed, and detects entries
// that were lost.

import { StreamerError } from "../../../resp/errors.ts";
import type { Timer } from "../../../resp/connection/clock.ts";
import type { Command } from "../../../resp/connection/command.ts";
import { areScriptsForbidden, isGroupMissing, type KeptState, SCRIPT_IDS, setIdle } from "../../commands/scripts.ts";
import { xclaimJustId } from "../../commands/xclaim.ts";
import { type PendingEntry, xpending, type XpendingOptions } from "../../commands/xpending.ts";
import type { NodeName } from "../../cluster/router.ts";
import type { GroupMember } from "../../commands/xreadgroup.ts";
import { FIRST_ID, type MessageId, nextId } from "../../model/id.ts";
import { isAway, type ServerAccess } from "../server/server.ts";
import type { GroupSettings } from "../group_options.ts";
import type { GroupShard } from "../shards/group_shard.ts";
import { NodeRounds } from "./node_rounds.ts";
import type { EntryPlace, PendingBatch, PendingEntries } from "../pending/pending_entries.ts";
import { retryWhileUnavailable } from "../../../resp/connection/retry/retry.ts";

/** What a lease renewer needs, and its listeners. */
export interface LeaseRenewerPorts {
  readonly server: ServerAccess;
  readonly settings: GroupSettings;
  readonly member: GroupMember;
  readonly pendingEntries: PendingEntries;
  readonly shards: () => readonly GroupShard[];
  /** The node that has a shard now. */
  readonly nodeOf: (shard: GroupShard) => NodeName;
  readonly signal: AbortSignal;
  /** Other consumers have got these entries while they were in flight here. */
  readonly onLost: (shard: GroupShard, ids: readonly MessageId[]) => void;
  /** The group of a shard is missing: without this, entries that were read ahead of it would stay unverified forever. */
  readonly onGroupMissing: (shard: GroupShard, cause: StreamerError) => Promise<void>;
  /** The leases of a shard have been renewed. */
  readonly onVerified: () => void;
  readonly onFatal: (error: StreamerError) => void;
}

/** An entry with a lease. */
interface LeasedEntry extends EntryPlace {
  readonly id: MessageId;
}

/** This consumer's entries of a shard, as listed in this round. Only if scripts are forbidden. */
interface OwnEntries {
  own?: Set<MessageId>;
}

/** How many times within `autoClaimIdle` the leases are renewed. */
const ROUNDS = 3;

/** Renews leases. */
export class LeaseRenewer {
  readonly #ports: LeaseRenewerPorts;
  readonly #rounds: NodeRounds<GroupShard>;
  readonly #verified = new Map<GroupShard, PromiseWithResolvers<void>>(); // resolved by the next renewal of the shard
  #timer: Timer | undefined;
  #scripts = true; // until the server refuses them

  constructor(ports: LeaseRenewerPorts) {
    const { nodeOf } = ports;
    this.#ports = ports;
    this.#rounds = new NodeRounds({
      nodeOf,
      work: (shard) => this.#renewShard(shard),
      ended: ({ error, isLate }) => error === undefined ? this.#ended(isLate) : this.#failed(error),
    });
  }

  /** Starts renewing. */
  start(): void {
    if (this.#ports.settings.keepAlive) this.#schedule();
  }

  /** Whether the leases of a batch may have expired: another consumer may have claimed its entries while this process slept. */
  isStale(batch: PendingBatch): boolean {
    const { settings, server } = this.#ports;
    if (!settings.keepAlive || batch.groupLost || batch.open === 0) return false; // no lease, or no renewal
    return server.clock.now() - batch.ownedAt > settings.autoClaimIdle;
  }

  /** Renews the leases of a shard now. */
  verify(shard: GroupShard): void {
    this.#rounds.begin([shard]);
  }

  /** The same; resolves when it has succeeded, or at the end. */
  async whenVerified(shard: GroupShard): Promise<void> {
    let verified = this.#verified.get(shard);
    if (verified === undefined) this.#verified.set(shard, verified = Promise.withResolvers<void>());
    this.verify(shard);
    await verified.promise;
  }

  /** Resolves when no lease of a shard is being renewed. */
  async settled(shard: GroupShard): Promise<void> {
    await this.#rounds.settled(shard);
  }

  /** Stops renewing. */
  close(): void {
    this.#timer?.stop();
    for (const { resolve } of this.#verified.values()) resolve();
  }

  #schedule(delay = this.#ports.settings.autoClaimIdle / ROUNDS): void {
    const { server, signal } = this.#ports;
    this.#timer?.stop();
    if (!signal.aborted) this.#timer = server.clock.after(delay, () => this.#renewAll());
  }

  #renewAll(): void {
    this.#schedule();
    this.#rounds.begin(this.#ports.shards().filter(({ hasGroup }) => hasGroup));
  }

  /** If the server was unavailable meanwhile, the first leases are old already. */
  #ended(isLate: boolean): void {
    if (isLate) this.#schedule(0);
  }

  #failed(error: unknown): void {
    const { settings, server, signal, onFatal } = this.#ports;
    const known = error instanceof StreamerError
      ? error
      : new StreamerError("PROTOCOL", "Renewing leases failed", { cause: error });
    if (!signal.aborted && !isAway(error)) onFatal(known);
    this.#schedule(Math.min(settings.autoClaimIdle / ROUNDS, server.reconnect.maxDelay));
  }

  /** Renews the leases of one shard. A missing group does not end the round. */
  async #renewShard(shard: GroupShard): Promise<void> {
    try {
      await this.#renew(shard);
    } catch (error) {
      if (!(error instanceof StreamerError) || !isGroupMissing(error)) throw error;
      await this.#ports.onGroupMissing(shard, error);
    }
    this.#verified.get(shard)?.resolve();
    this.#verified.delete(shard);
    this.#ports.onVerified();
  }

  async #renew(shard: GroupShard): Promise<void> {
    const { server, pendingEntries, settings } = this.#ports;
    const since = server.clock.now();
    const listing: OwnEntries = {};
    // Batches of the last half of a round are left for the next one: many of their entries will be done by then.
    const young = settings.autoClaimIdle / ROUNDS / 2;
    const batches = [...pendingEntries.batchesOf(shard)].filter((batch) =>
      !batch.groupLost && since - batch.ownedAt >= young
    );
    const nowhere = new Map<PendingBatch, LeasedEntry[]>();
    const listed = new Set<PendingBatch>(); // with entries that the server lists
    for (const leased of leasedEntries(batches)) {
      const states = await this.#ask(shard, leased.map(({ id }) => id), listing);
      leased.forEach((one, i) => {
        if (states[i] !== "nowhere") return void listed.add(one.batch);
        const others = nowhere.get(one.batch);
        if (others === undefined) nowhere.set(one.batch, [one]);
        else others.push(one);
      });
      this.#lose(shard, leased.filter((_, i) => states[i] === "not-ours"));
    }
    const now = server.clock.now();
    for (const [batch, entries] of nowhere) {
      // Others cannot have claimed and acknowledged a whole page this soon: the group is another one of the same name.
      if (!listed.has(batch) && now - batch.ownedAt <= settings.autoClaimIdle) batch.markGroupLost();
      else this.#lose(shard, entries);
    }
    for (const batch of batches) batch.markOwned(since);
  }

  /** Other consumers have claimed or acknowledged these entries. An entry that was only deleted from the stream is not lost. */
  #lose(shard: GroupShard, entries: readonly LeasedEntry[]): void {
    const { pendingEntries, onLost } = this.#ports;
    const lost: MessageId[] = [];
    for (const { batch, index, id } of entries) if (pendingEntries.lose(batch, index)) lost.push(id);
    if (lost.length > 0) onLost(shard, lost);
  }

  async #ask(
    { redisKey }: GroupShard,
    ids: readonly MessageId[],
    listing: OwnEntries,
  ): Promise<readonly KeptState[]> {
    const { member } = this.#ports;
    if (this.#scripts) {
      try {
        return await this.#run(setIdle(member, { redisKey, ids, idle: 0 }));
      } catch (error) {
        if (!areScriptsForbidden(error)) throw error;
        this.#scripts = false;
      }
    }
    const own = listing.own ??= await this.#listOwn(redisKey);
    return await this.#askWithoutScripts(redisKey, ids, own);
  }

  /** Asks first and renews then: an entry that another consumer claims in between is taken back from it, and processed twice. */
  async #askWithoutScripts(
    redisKey: string,
    ids: readonly MessageId[],
    own: ReadonlySet<MessageId>,
  ): Promise<readonly KeptState[]> {
    const { member } = this.#ports;
    const kept = ids.filter((id) => own.has(id));
    if (kept.length > 0) await this.#run(xclaimJustId(member, { redisKey, ids: kept, idle: 0 }));
    return await Promise.all(ids.map(async (id): Promise<KeptState> => {
      if (own.has(id)) return "kept";
      const [row] = await this.#run(xpending({ redisKey, group: member.group, start: id, end: id, count: 1 }));
      return row === undefined ? "nowhere" : row.consumer === member.consumer ? "kept" : "not-ours";
    }));
  }

  /** The entries that the server lists as this consumer's. */
  async #listOwn(redisKey: string): Promise<Set<MessageId>> {
    const own = new Set<MessageId>();
    for (let start: MessageId | undefined = FIRST_ID; start !== undefined;) {
      const page: XpendingOptions = { redisKey, ...this.#ports.member, start, count: LISTED };
      const rows: PendingEntry[] = await this.#run(xpending(page));
      for (const { id } of rows) own.add(id);
      start = rows.length < LISTED ? undefined : nextId(rows[rows.length - 1].id);
    }
    return own;
  }

  #run<T>(command: Command<T>): Promise<T> {
    const { server, signal } = this.#ports;
    return retryWhileUnavailable(server, signal, () => server.run(command, { signal }));
  }
}

/** Entries listed at once. */
const LISTED = 1_000;

/** The entries whose leases are to be renewed, as many at a time as one script takes. */
function* leasedEntries(batches: readonly PendingBatch[]): Generator<LeasedEntry[]> {
  let leased: LeasedEntry[] = [];
  for (const batch of batches) {
    for (let index = 0; index < batch.size; index++) {
      if (!batch.needsLease(index)) continue;
      if (leased.push({ batch, index, id: batch.idAt(index) }) < SCRIPT_IDS) continue;
      yield leased;
      leased = [];
    }
  }
  if (leased.length > 0) yield leased;
}
