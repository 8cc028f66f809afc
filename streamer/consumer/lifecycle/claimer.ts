// Claims entries of other consumers of the group that have been idle for too long.

import { StreamerError } from "../../../resp/errors.ts";
import { sleep } from "../../../resp/connection/clock.ts";
import { Suspicion } from "../../../resp/connection/retry/suspicion.ts";
import { isGroupMissing, SCRIPT_IDS } from "../../commands/scripts.ts";
import { isStreamMissing } from "../../commands/xgroup.ts";
import { xpendingSummary } from "../../commands/xpending.ts";
import { FIRST_ID, type MessageId, nextId } from "../../model/id.ts";
import { shownName, type WireName } from "../../model/name.ts";
import { isAway } from "../server/server.ts";
import { ClaimRounds } from "./claim_rounds.ts";
import { ConsumerExpiry } from "./expiry/consumer_expiry.ts";
import { pauseBetween } from "./expiry/expiry_policy.ts";
import type { ClaimedDetail } from "../events.ts";
import { type GroupShard, shardName } from "../shards/group_shard.ts";
import { NodeRounds } from "./node_rounds.ts";
import { type ClaimingPorts, type ClaimRequest, PendingClaims } from "./pending_claims.ts";
import { retryWhileUnavailable } from "../../../resp/connection/retry/retry.ts";

/** What a claimer needs, and its listeners. */
export interface ClaimerPorts extends ClaimingPorts {
  /**
   * The time since when all entries of a shard have been delivered and none was added, as an object of its own; `undefined` if that is
   * not known.
   */
  readonly quietSpan: (shard: GroupShard) => object | undefined;
  /** Claimed entries were lost with their connection again and again: fewer are to be claimed at once. */
  readonly onTooMuch: () => void;
  /** Takes back entries that are pending for this consumer, and not tracked; `pending` is how many are listed. */
  readonly takeBack: (shard: GroupShard, pending: number) => Promise<void>;
  readonly onClaimed: (detail: ClaimedDetail) => void;
}

/** What is done with each shard at intervals. */
type Scan = (shard: GroupShard) => Promise<void>;

/** Claims at intervals. */
export class Claimer {
  readonly #ports: ClaimerPorts;
  readonly #stopping = new AbortController();
  readonly #pending: PendingClaims;
  readonly #rounds: ClaimRounds<GroupShard>;
  readonly #suspicions = new Map<GroupShard, Suspicion>(); // of cuts in a row with a claim in flight
  #claimed = 0;
  #isSettling = false;
  #mayBeQuiet = false; // since the last look for quiet shards

  constructor(ports: ClaimerPorts) {
    this.#ports = ports;
    this.#rounds = new ClaimRounds(ports);
    this.#pending = new PendingClaims(ports, {
      onLost: (shard) => this.#lost(shard),
      onAnswered: (shard) => void this.#suspicions.delete(shard),
    });
  }

  /** Messages that were claimed. */
  get claimed(): number {
    return this.#claimed;
  }

  /** Starts claiming; the first scan is after one interval. */
  start(): void {
    const { shards, nodeOf, server: { clock }, settings: { autoClaimInterval, consumerExpiry } } = this.#ports;
    if (autoClaimInterval !== undefined) {
      const next = () => this.#rounds.next(shards(), clock.now());
      this.#every(() => autoClaimInterval, next, (shard) => this.#claimFromAll(shard));
    }
    if (consumerExpiry === undefined) return;
    const expiry = new ConsumerExpiry(this.#ports, consumerExpiry);
    const nodes = () => [...Map.groupBy(shards(), nodeOf).values()].map(({ length }) => length);
    const inTurn = () => shards().slice(turn++ % Math.max(1, shards().length)).slice(0, 1);
    let turn = 0;
    this.#every(() => pauseBetween(consumerExpiry, nodes()), inTurn, (shard) => expiry.removeFrom(shard.redisKey));
  }

  /** Shards may have become quiet. */
  touch(): void {
    const { autoClaimInterval = 0 } = this.#ports.settings;
    this.#mayBeQuiet = true;
    if (this.#isSettling || autoClaimInterval <= QUIET) return;
    this.#isSettling = true;
    this.#settle().catch(() => {}).finally(() => this.#isSettling = false); // the end
  }

  /** Claims no more; a claim in flight is completed. */
  stop(): void {
    this.#stopping.abort();
  }

  async #every(pause: () => number, shards: () => readonly GroupShard[], scan: Scan): Promise<void> {
    const { server, nodeOf } = this.#ports;
    const signal = AbortSignal.any([this.#ports.signal, this.#stopping.signal]);
    const ended = ({ error }: { readonly error?: unknown }) => this.#failed(error, signal);
    const rounds = new NodeRounds<GroupShard>({ nodeOf, work: (shard) => this.#scan(shard, scan), ended });
    try {
      for (;;) {
        await sleep(server.clock, pause() * (1 + JITTER * (server.clock.random() - 0.5)), signal);
        rounds.begin(shards());
      }
    } catch {
      // The end.
    }
  }

  /** Scans a shard. An unavailable server or a missing group is left for the next scan. */
  async #scan(shard: GroupShard, scan: Scan): Promise<void> {
    if (!shard.hasGroup || !shard.isRead) return;
    try {
      await scan(shard);
    } catch (error) {
      this.#ports.signal.throwIfAborted();
      if (!isAway(error) && !isGroupMissing(error) && !isStreamMissing(error)) throw error;
    }
  }

  #failed(error: unknown, signal: AbortSignal): void {
    if (error === undefined || signal.aborted) return;
    const known = error instanceof StreamerError;
    const cause = known ? error : new StreamerError("PROTOCOL", "Claiming pending messages failed", { cause: error });
    this.#ports.onFatal(cause);
  }

  /** Looks at the shards that have become quiet, so that scans may leave them out. */
  async #settle(): Promise<void> {
    const { server, shards } = this.#ports;
    const signal = AbortSignal.any([this.#ports.signal, this.#stopping.signal]);
    while (this.#mayBeQuiet) {
      this.#mayBeQuiet = false;
      await sleep(server.clock, QUIET, signal);
      const { now, again } = this.#rounds.early(shards().filter((shard) => shard.isRead && shard.isReplayed));
      this.#mayBeQuiet ||= again;
      for (let at = 0; at < now.length; at += LOOKED_AT_ONCE) {
        await Promise.all(now.slice(at, at + LOOKED_AT_ONCE).map((shard) => this.#look(shard)));
        signal.throwIfAborted();
      }
    }
  }

  /** Finds out whether anything of a quiet shard is pending. */
  async #look(shard: GroupShard): Promise<void> {
    const { member, server, signal, quietSpan } = this.#ports;
    const span = quietSpan(shard);
    const summary = await server.run(xpendingSummary(shard.redisKey, member.group), { signal }).catch(() => undefined);
    if (summary !== undefined) this.#rounds.scanned(shard, span, summary.total === 0); // the next scan meets an error again
  }

  async #claimFromAll(shard: GroupShard): Promise<void> {
    const { member, settings, server, signal, quietSpan } = this.#ports;
    if (!shard.isReplayed) return; // claimed entries must not be replayed
    const span = quietSpan(shard);
    const summary = xpendingSummary(shard.redisKey, member.group);
    const { total, consumers } = await retryWhileUnavailable(server, signal, () => server.run(summary, { signal }));
    this.#rounds.scanned(shard, span, total === 0);
    for (const { name, pending } of consumers) {
      if (name === member.consumer) await this.#ports.takeBack(shard, pending);
      else await this.#claimFrom(shard, name, settings.autoClaimIdle);
    }
    if (total > consumers.reduce((sum, { pending }) => sum + pending, 0)) await this.#claimFrom(shard, NOBODY, 0);
  }

  /** Claims all idle entries of one consumer: lists many at a time, and claims as there is room. */
  async #claimFrom(shard: GroupShard, from: WireName, minIdle: number): Promise<void> {
    // Entries that were returned to the group are in no consumer's list: the list of the whole group is scanned.
    const whose = from === NOBODY ? {} : { consumer: from, idle: minIdle };
    for (let start: MessageId | undefined = FIRST_ID; start !== undefined && shard.isRead;) {
      const { rows, isTrimmed } = await this.#pending.list(shard, { ...whose, start, count: LISTED });
      const left = rows.filter(({ consumer, idle }) => from === NOBODY ? consumer === NOBODY : idle >= minIdle);
      const gone = left.filter(isTrimmed).map(({ id }) => id);
      if (gone.length > 0) this.#ports.onGone(shard, gone);
      await this.#claimAll(shard, { from, minIdle, rows: left.filter((row) => !isTrimmed(row)) });
      start = rows.length < LISTED ? undefined : nextId(rows[rows.length - 1].id);
    }
  }

  /** Claims listed entries, as many at a time as there is room for. */
  async #claimAll(shard: GroupShard, { from, minIdle, rows }: ClaimRequest): Promise<void> {
    const { room, count, exclusively } = this.#ports;
    for (let at = 0; at < rows.length;) {
      await room();
      if (!shard.isRead) return;
      const some = rows.slice(at, at + Math.min(count(), SCRIPT_IDS));
      at += some.length;
      await exclusively(shard, () => this.#claim(shard, { from, minIdle, rows: some }));
    }
  }

  async #claim(shard: GroupShard, listed: ClaimRequest): Promise<void> {
    const { pendingEntries } = this.#ports;
    const isUndeliverable = pendingEntries.undeliverable(shard); // handlers may still work on entries that another consumer has by now
    const rows = listed.rows.filter(({ id }) => !isUndeliverable(id));
    if (rows.length === 0) return;
    await pendingEntries.redelivering(shard, rows.map(({ id }) => id), (settled) => {
      return this.#claimUnsettled(shard, { ...listed, rows }, settled);
    });
  }

  async #claimUnsettled(shard: GroupShard, request: ClaimRequest, settled: ReadonlySet<MessageId>): Promise<void> {
    const { member, server, queue, intake, onClaimed, onGone } = this.#ports;
    const readAt = server.clock.now();
    const { found, ids, gone } = await this.#pending.claim(shard, request);
    if (gone.length > 0) onGone(shard, gone);
    if (ids.length === 0) return;
    this.#claimed += ids.length;
    onClaimed({ ...shardName(shard), group: member.group, from: shownName(request.from), ids });
    intake.add(found, { readAt, settled });
    queue.serve();
  }

  #lost(shard: GroupShard): void {
    let suspicion = this.#suspicions.get(shard);
    if (suspicion === undefined) this.#suspicions.set(shard, suspicion = new Suspicion());
    suspicion.cut({ alone: false, heard: undefined });
    if (suspicion.isSuspect) this.#ports.onTooMuch();
  }
}

/** The consumer of entries that were returned to the group. */
const NOBODY = "";
/** Share of the pause by which scans are spread, so that consumers that were started together do not scan together. */
const JITTER = 0.2;
/** Milliseconds for which a shard has been quiet before it is looked at. */
const QUIET = 1_000;
/** Shards looked at together. */
const LOOKED_AT_ONCE = 32;
/** Entries listed at once: a list is small, whatever the entries are. */
const LISTED = 1_000;
