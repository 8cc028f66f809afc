// Fetches single entries that are pending for a consumer, fewer at once after connections were cut.

import { RefusedReplyError } from "../../../resp/errors.ts";
import type { Pipeline } from "../../../resp/connection/pipeline/pipeline.ts";
import { refusalText, Suspicion } from "../../../resp/connection/retry/suspicion.ts";
import { type CountState, firstCount, halveCount, nextCount } from "../../commands/page_count.ts";
import { areScriptsForbidden, redeliver } from "../../commands/scripts.ts";
import { type EntryPage, xclaim, xrangeOne } from "../../commands/xclaim.ts";
import { type PendingEntry, xpending } from "../../commands/xpending.ts";
import type { GroupMember } from "../../commands/xreadgroup.ts";
import type { MessageId } from "../../model/id.ts";

/** Entries fetched at once, and about how many bytes they may have together. */
export const MOST_FETCHED = 100;
export const FETCHED_BYTES = 8 * 1024 * 1024;

/** The result for one entry. */
export interface FetchedEntry {
  readonly id: MessageId;
  /** How often it was delivered, if it is still pending for this consumer. */
  readonly own: Pick<PendingEntry, "deliveries"> | undefined;
  /** The entry; an empty page if it is no longer in its stream. */
  readonly page: EntryPage | undefined;
}

/** How a single entry is fetched. */
interface Asking {
  readonly pipeline: Pipeline;
  /** Called when the entry is requested. */
  readonly onAsking: () => void;
}

/** What fetching entries needs. */
export interface EntryFetchPorts {
  readonly member: GroupMember;
  /** How many connections to the node have been lost so far. */
  readonly losses: () => number;
  /** Idle time of released entries at least, in milliseconds. */
  readonly releasedIdle: number;
}

/** Fetches entries for one consumer from one node. */
export class EntryFetch {
  readonly #ports: EntryFetchPorts;
  readonly #suspicion = new Suspicion(); // of cuts in a row while entries were fetched
  #count: CountState = firstCount(MOST_FETCHED);

  constructor(ports: EntryFetchPorts) {
    this.#ports = ports;
  }

  /** How many entries to fetch at once. */
  get count(): number {
    return this.#count.count;
  }

  /**
   * Fetches some entries. After cut connections in a row it fetches fewer at once. Rejects with a `RefusedReplyError` for a single
   * entry that the server refuses to send.
   */
  async some(redisKey: string, rows: readonly PendingEntry[], pipeline: Pipeline): Promise<FetchedEntry[]> {
    const [{ id }] = rows;
    const single = rows.length === 1;
    const suspicion = this.#suspicion;
    let alone = false;
    // Once the entry is requested, it is alone if no other command is in flight.
    const onAsking = () => alone = single && pipeline.inFlight === 0;
    try {
      if (single && suspicion.isSuspect) await suspicion.ask(pipeline, { key: redisKey, losses: this.#ports.losses() });
      if (suspicion.isCertain) throw refusedEntry(redisKey, id, undefined);
      const fetched = await Promise.all(rows.map((row) => {
        if (row.idle >= this.#ports.releasedIdle) return this.#again(redisKey, row, { pipeline, onAsking });
        return this.#fetchOne(redisKey, row.id, { pipeline, single, onAsking });
      }));
      suspicion.clear();
      const bytes = fetched.reduce((sum, { page }) => sum + (page?.frame.byteLength ?? 0), 0);
      const size = { entries: rows.length, total: rows.length, bytes, streams: 1 };
      this.#count = nextCount(this.#count, size, { batchSize: MOST_FETCHED, pageBytes: FETCHED_BYTES });
      return fetched;
    } catch (error) {
      if (!isCut(error, pipeline)) throw error;
      suspicion.cut({ alone, heard: pipeline.heardOfNext });
      if (suspicion.isCertain) throw refusedEntry(redisKey, id, error);
      if (suspicion.isSuspect) this.#count = halveCount(this.#count) ?? this.#count;
      throw error;
    }
  }

  async #fetchOne(
    redisKey: string,
    id: MessageId,
    { pipeline, single, onAsking }: Asking & { readonly single: boolean },
  ): Promise<FetchedEntry> {
    // Asked once more: entries that were acknowledged since they were listed are not delivered.
    const still = pipeline.call(xpending({ redisKey, ...this.#ports.member, start: id, end: id, count: 1 }));
    if (single) await still; // then the entry is alone in flight
    onAsking();
    const [own, page] = await Promise.all([still, pipeline.call(xrangeOne(redisKey, id))]);
    return { id, own: own.at(0), page };
  }

  /** Delivers a released entry here again, without counting it: no program has received it. Its idle time starts again. */
  async #again(redisKey: string, row: PendingEntry, { pipeline, onAsking }: Asking): Promise<FetchedEntry> {
    const { member } = this.#ports;
    const { id } = row;
    const deliveries = Math.max(row.deliveries, 1);
    const none = { id, own: undefined, page: undefined };
    try {
      onAsking();
      const page = await pipeline.call(redeliver(member, { redisKey, id, deliveries }));
      return page === undefined ? none : { id, own: { deliveries }, page };
    } catch (error) {
      if (!areScriptsForbidden(error)) throw error;
    }
    const [still] = await pipeline.call(xpending({ redisKey, ...member, start: id, end: id, count: 1 }));
    if (still === undefined) return none;
    onAsking();
    const page = await pipeline.call(xclaim(member, { redisKey, ids: [id], minIdle: 0, deliveries }));
    return { id, own: { deliveries }, page };
  }
}

function refusedEntry(redisKey: string, id: MessageId, cause: unknown): RefusedReplyError {
  return new RefusedReplyError(refusalText(`read entry ${id} of ${redisKey}`), { cause });
}

/** Whether the connection was lost, and not by a reply that cannot be read. */
export function isCut(error: unknown, pipeline: Pipeline): boolean {
  return pipeline.ending === error && pipeline.ending?.code !== "PROTOCOL";
}
