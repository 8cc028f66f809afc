// Takes back pending entries of this consumer that it does not track: released ones that no other consumer has claimed, and
// any that were missed.

import { StreamerError } from "../../../resp/errors.ts";
import { sleep } from "../../../resp/connection/clock.ts";
import { isGroupMissing } from "../../commands/scripts.ts";
import { isStreamMissing } from "../../commands/xgroup.ts";
import { type PendingEntry, xpending } from "../../commands/xpending.ts";
import { FIRST_ID, type MessageId, nextId } from "../../model/id.ts";
import { isAway } from "../server/server.ts";
import type { GroupShard } from "../shards/group_shard.ts";
import { NodeRounds } from "./node_rounds.ts";
import type { Delivery } from "../pending/intake.ts";
import type { Ownership } from "./ownership.ts";
import type { ClaimingPorts } from "./pending_claims.ts";

/** What a reclaimer needs, and its listeners. */
export interface ReclaimerPorts extends ClaimingPorts {
  readonly ownership: Ownership;
}

/** Entries listed at once. */
const LISTED = 1_000;
/** Most entries fetched at once. */
const FETCHED = 100;

/**
 * Milliseconds after which no page in flight can contain an entry that is pending and not tracked. A read blocks for at most
 * ten seconds. A connection that is silent for as long is given up, and the entries it lost are replayed.
 */
const STRAY = 30_000;

/** Takes back entries with each claim scan. */
export class Reclaimer {
  readonly #ports: ReclaimerPorts;
  readonly #strays = new Map<GroupShard, Map<MessageId, number>>(); // when each was seen first
  readonly #stopping = new AbortController();

  constructor(ports: ReclaimerPorts) {
    this.#ports = ports;
  }

  /** Starts scans if this consumer does not claim from others: otherwise {@linkcode look} is called with each claim scan. */
  start(): void {
    const { settings } = this.#ports;
    if (settings.autoClaimInterval === undefined && settings.maxHold !== Infinity) this.#every(settings.autoClaimIdle);
  }

  /** Reclaims nothing any more; a command in flight is completed. */
  stop(): void {
    this.#stopping.abort();
  }

  /** Takes back entries of a shard, as there is room; `pending` is how many the server lists for this consumer. */
  async look(shard: GroupShard, pending: number): Promise<void> {
    const { pendingEntries, room, exclusively } = this.#ports;
    if (!pendingEntries.releases.has(shard) && pending <= pendingEntries.countOf(shard)) {
      return void this.#strays.delete(shard);
    }
    const wanted = await this.#list(shard);
    for (let at = 0; at < wanted.length;) {
      await room();
      if (!shard.isRead) return;
      const count = Math.min(this.#ports.count(), FETCHED);
      await exclusively(shard, () => this.#take(shard, wanted.slice(at, at + count)));
      at += count;
    }
  }

  /** Lists the entries to take back. Released entries that are not pending here any more are forgotten. */
  async #list(shard: GroupShard): Promise<PendingEntry[]> {
    const { server, pendingEntries, settings, member, ownership } = this.#ports;
    const { redisKey } = shard;
    const began = server.clock.now();
    const listed = new Set<MessageId>();
    const wanted: PendingEntry[] = [];
    for (let start: MessageId | undefined = FIRST_ID; start !== undefined;) {
      const rows: PendingEntry[] = await ownership.run(xpending({ redisKey, ...member, start, count: LISTED }));
      for (const { id } of rows) listed.add(id);
      const isWanted = this.#judge(shard);
      wanted.push(...rows.filter((row) => row.idle >= settings.autoClaimIdle && isWanted(row)));
      start = rows.length < LISTED ? undefined : nextId(rows[rows.length - 1].id);
    }
    for (const [id, { at }] of pendingEntries.releases.of(shard)) {
      if (at < began && !listed.has(id)) pendingEntries.releases.forget(shard, id);
    }
    const strays = this.#strays.get(shard);
    for (const id of strays?.keys() ?? []) if (!listed.has(id)) strays?.delete(id);
    return wanted;
  }

  async #every(interval: number): Promise<void> {
    const { server, shards, nodeOf } = this.#ports;
    const signal = AbortSignal.any([this.#ports.signal, this.#stopping.signal]);
    const ended = ({ error }: { readonly error?: unknown }) => this.#failed(error, signal);
    const rounds = new NodeRounds<GroupShard>({ nodeOf, work: (shard) => this.#lookAgain(shard), ended });
    try {
      for (;;) {
        await sleep(server.clock, interval, signal);
        rounds.begin(shards());
      }
    } catch {
      // The end.
    }
  }

  async #lookAgain(shard: GroupShard): Promise<void> {
    if (!shard.isRead || !shard.isReplayed || !this.#ports.pendingEntries.releases.has(shard)) return;
    try {
      await this.look(shard, 0);
    } catch (error) {
      if (!isAway(error) && !isGroupMissing(error) && !isStreamMissing(error)) throw error;
    }
  }

  #failed(error: unknown, signal: AbortSignal): void {
    if (error === undefined || signal.aborted) return;
    const known = error instanceof StreamerError;
    const cause = known ? error : new StreamerError("PROTOCOL", "Reclaiming pending messages failed", { cause: error });
    this.#ports.onFatal(cause);
  }

  async #take(shard: GroupShard, rows: readonly PendingEntry[]): Promise<void> {
    const readAt = this.#ports.server.clock.now();
    const isWanted = this.#judge(shard); // once more: entries may have been acked since they were listed
    const found = await Promise.all(rows.filter(isWanted).map((row) => this.#fetch(shard, row)));
    this.#ports.intake.add(found.filter((one) => one !== undefined), { readAt });
    this.#ports.queue.serve();
  }

  /** Whether an entry is taken back: it was released, or has been pending here for long without having arrived. */
  #judge(shard: GroupShard): (row: PendingEntry) => boolean {
    const { pendingEntries, server } = this.#ports;
    const now = server.clock.now();
    const isUndeliverable = pendingEntries.undeliverable(shard);
    return (row) => {
      const { id } = row;
      if (pendingEntries.find(shard, id) !== undefined || shard.isReleased(row) || isUndeliverable(id)) return false;
      if (pendingEntries.releases.find(shard, id) !== undefined) return true;
      let strays = this.#strays.get(shard);
      if (strays === undefined) this.#strays.set(shard, strays = new Map());
      const since = strays.get(id);
      if (since === undefined) strays.set(id, now);
      return since !== undefined && now - since >= STRAY;
    };
  }

  /** Delivers an entry once more; returns nothing if another consumer was faster, or it was settled meanwhile. */
  async #fetch(shard: GroupShard, { id, deliveries: before }: PendingEntry): Promise<Delivery | undefined> {
    const { pendingEntries, ownership, onGone } = this.#ports;
    const release = pendingEntries.releases.find(shard, id);
    const deliveries = before + 1;
    const page = await ownership.redeliver({ redisKey: shard.redisKey, id, deliveries });
    pendingEntries.releases.forget(shard, id);
    this.#strays.get(shard)?.delete(id);
    if (page === undefined) return undefined;
    const { frame, entries } = page;
    if (release !== undefined && !pendingEntries.outdate(release)) return undefined;
    if (entries.length === 0) return void onGone(shard, [id]);
    const failure = release?.batch.takeFailure(release.index);
    return { shard, frame, entries, deliveries: [deliveries], failure, bytes: frame.byteLength };
  }
}
