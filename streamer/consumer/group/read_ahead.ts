// How much a group's reader asks for, and how far it reads ahead: the size of pages, how many are in flight, and how long a message
// takes.

import { calmCap, type Cap, firstCap, lowerCap } from "../../commands/cap.ts";
import type { StreamerError } from "../../../resp/errors.ts";
import type { Clock } from "../../../resp/connection/clock.ts";
import type { GroupSettings } from "../group_options.ts";
import { MAX_DEPTH, mayRead, nextDepth, soonStarted } from "./read_ahead_policy.ts";
import type { PrefetchQueue } from "../delivery/prefetch_queue.ts";
import {
  type CountState,
  firstCount,
  halveCount,
  nextCount,
  type PageSize,
  widthOf,
} from "../../commands/page_count.ts";

/** What reading ahead depends on. */
export interface ReadAheadPorts {
  readonly clock: Clock;
  readonly settings: GroupSettings;
  readonly queue: PrefetchQueue;
  /** Whether no more messages may be delivered now. */
  readonly isFull: () => boolean;
  /** Most bytes of a reply. */
  readonly replyBytes: number;
}

/** Share of the limit of a reply that pages are fitted to, as entries differ in size. */
const REPLY_SHARE = 0.75;

/** Adapts to the last pages and to the pace of the program. */
export class ReadAheadController {
  readonly #ports: ReadAheadPorts;
  #pageBytes: number;
  #count: CountState;
  #depth = 1;
  #depthCap: Cap = firstCap(MAX_DEPTH); // replies in flight may be larger than the server buffers for one client
  #arriving = 0; // messages that are not yet in the queue
  #pace: number | undefined; // milliseconds a message takes
  #pacedAt = 0;
  #pacedDelivered = 0;
  #room: PromiseWithResolvers<void> | undefined;
  #retired = false;
  #ended: StreamerError | undefined;

  constructor(ports: ReadAheadPorts) {
    this.#ports = ports;
    this.#count = firstCount(ports.settings.batchSize);
    this.#pageBytes = pageBytes(ports, 1);
  }

  /** Entries of a page that may be requested now. */
  get count(): number {
    return Math.min(this.#count.count, this.#ports.settings.maxUnacked);
  }

  /** Shards that may be requested together, by a read each. In a shared group, so many that their messages are started soon. */
  get width(): number {
    const { settings, queue } = this.#ports;
    const fitting = widthOf(this.#count, this.#pageBytes);
    if (settings.mode !== "load-balanced") return fitting;
    const soon = soonStarted(this.#pace) - queue.queued - this.#arriving;
    return Math.max(1, Math.min(fitting, Math.floor(soon / this.count)));
  }

  /** Pages are read over so many connections, each of which can bring its pages at any time. */
  spread(connections: number): void {
    this.#pageBytes = pageBytes(this.#ports, Math.max(1, connections));
  }

  /** A page of one shard has come by another way: the next ones are fitted to the size of its entries. */
  sized(entries: number, bytes: number): void {
    const grown = this.#grown({ entries, total: entries, bytes, streams: 1 });
    this.#count = { ...grown, count: Math.min(grown.count, this.#count.count) };
  }

  /** A page has arrived, of which so many entries were requested; until {@linkcode settled}, `arriving` of them are not in the queue. */
  arrived(size: PageSize, asked: number, arriving: number = size.total): void {
    const { queue, clock } = this.#ports;
    const starving = queue.pages === 0 && queue.asked;
    if (starving) this.#pacedAt = clock.now(); // from here on they are worked on
    if (size.total > 0) this.#count = this.#grown(size);
    const pages = queue.pages + Number(size.total > 0);
    const full = size.entries >= asked;
    this.#depthCap = calmCap(this.#depthCap, { full: full && this.#depth >= this.#depthCap.cap, most: MAX_DEPTH });
    this.#depth = Math.min(this.#depthCap.cap, nextDepth(this.#depth, { full, starving, pages }));
    this.#arriving = arriving;
  }

  /** The entries that had arrived are, or will be, counted elsewhere. */
  settled(): void {
    this.#arriving = 0;
  }

  /** The connection was lost with so many reads in flight. */
  cut(inFlight: number): void {
    if (inFlight > 1) this.#depthCap = lowerCap(this.#depthCap, Math.floor(inFlight / 2));
    this.#depth = 1;
  }

  /** A page was larger than the limits, ours or the server's; false where it was of single entries. */
  halve(): boolean {
    const halved = halveCount(this.#count);
    if (halved !== undefined) this.#count = halved;
    return halved !== undefined;
  }

  /** Resolves when there is room for a page, or nothing is read any more; rejects when reading has ended. */
  async room(): Promise<void> {
    while (!this.#retired && !this.hasRoom(0)) {
      this.#room ??= Promise.withResolvers<void>();
      await this.#room.promise;
      this.#checkEnd();
    }
    this.#checkEnd();
  }

  /** Resolves {@linkcode room}, if there is room. */
  wake(): void {
    if (this.#room === undefined || !this.hasRoom(0)) return;
    this.#room.resolve();
    this.#room = undefined;
  }

  /** The group is read no longer: nothing waits for room any more. */
  retire(): void {
    this.#retired = true;
    this.#room?.resolve();
  }

  /** Reading has ended: {@linkcode room} rejects, unless the group was left before. */
  close(reason: StreamerError): void {
    this.#ended ??= reason;
    this.#room?.resolve();
  }

  /** Whether one more page may be requested over a connection with so many pages in flight, which may bring `requested` messages. */
  hasRoom(inFlight: number, requested: number = inFlight * this.count): boolean {
    const { queue, settings, isFull } = this.#ports;
    const { queuedBytes, asked } = queue;
    const pages = queue.pages + Number(this.#arriving > 0);
    const queued = queue.queued + this.#arriving;
    if (queue.over !== undefined || isFull() || queuedBytes >= settings.maxBufferedBytes) return false;
    const { prefetch, mode } = settings;
    const shared = mode === "load-balanced";
    const ahead = { inFlight, depth: this.#depth, pages, queued, prefetch, asked, shared, pace: this.#pace };
    return mayRead({ ...ahead, requested });
  }

  /**
   * How long a message takes. Measured when a caller waits and no message is left, so that all returned messages have been
   * worked on, or else with each page.
   */
  measure(): void {
    const { delivered, pages, asked } = this.#ports.queue;
    const handed = delivered - this.#pacedDelivered;
    const done = pages === 0 ? asked && handed > 0 : handed >= this.count;
    if (!done) return;
    const now = this.#ports.clock.now();
    this.#pace = (now - this.#pacedAt) / handed;
    this.#pacedAt = now;
    this.#pacedDelivered = delivered;
  }

  #checkEnd(): void {
    if (!this.#retired && this.#ended !== undefined) throw this.#ended;
  }

  #grown(size: PageSize): CountState {
    return nextCount(this.#count, size, { batchSize: this.#ports.settings.batchSize, pageBytes: this.#pageBytes });
  }
}

function pageBytes({ settings, replyBytes }: ReadAheadPorts, connections: number): number {
  const pages = settings.prefetch + MAX_DEPTH * connections;
  return Math.min(settings.maxBufferedBytes / pages, replyBytes * REPLY_SHARE);
}
