// How much a group's reader asks for and how far ahead: the size of its pages, how many are in flight, and how long a message
// takes. It must not know how pages are read.

import type { Clock } from "../../resp/connection/clock.ts";
import type { GroupSettings } from "./group_options.ts";
import { MAX_DEPTH, mayRead, nextDepth } from "./group_policy.ts";
import type { Inbox } from "./inbox.ts";
import { type CountState, firstCount, halveCount, nextCount, type PageSize } from "./policy.ts";

/** What is looked at. */
export interface ReadPacePorts {
  readonly clock: Clock;
  readonly settings: GroupSettings;
  readonly inbox: Inbox;
  /** Whether as many messages are in the user's hands as may be. */
  readonly isFull: () => boolean;
  /** Bytes that a reply may have. */
  readonly replyBytes: number;
}

/** Keeps what the last pages have taught. */
export class ReadPace {
  readonly #ports: ReadPacePorts;
  readonly #pageBytes: number;
  #count: CountState;
  #depth = 1;
  #arriving = 0; // messages that are not yet in the inbox
  #pace: number | undefined; // milliseconds a message takes
  #pacedAt = 0;
  #pacedDelivered = 0;

  constructor(ports: ReadPacePorts) {
    const { settings, replyBytes } = ports;
    this.#ports = ports;
    this.#count = firstCount(settings.batchSize);
    this.#pageBytes = Math.min(settings.maxBufferedBytes / (settings.prefetch + MAX_DEPTH), replyBytes);
  }

  /** Entries of a page that may be asked for now. */
  get count(): number {
    return Math.min(this.#count.count, this.#ports.settings.maxUnacked);
  }

  /** A page of one shard has come by another way: the next ones are fitted to the size of its entries. */
  sized(entries: number, bytes: number): void {
    const grown = this.#grown({ entries, total: entries, bytes, streams: 1 });
    this.#count = { ...grown, count: Math.min(grown.count, this.#count.count) };
  }

  /** A page has come, of which so many entries were asked for; until {@linkcode settled} it is not in the inbox. */
  arrived(size: PageSize, asked: number): void {
    const { inbox, clock } = this.#ports;
    const starving = inbox.pages === 0 && inbox.asked;
    if (starving) this.#pacedAt = clock.now(); // from here on they are worked on
    if (size.total > 0) this.#count = this.#grown(size);
    const pages = inbox.pages + Number(size.total > 0);
    this.#depth = nextDepth(this.#depth, { full: size.entries >= asked, starving, pages });
    this.#arriving = size.total;
  }

  /** What had arrived is, or will be, counted elsewhere. */
  settled(): void {
    this.#arriving = 0;
  }

  /** The connection was lost. */
  cut(): void {
    this.#depth = 1;
  }

  /** A page was larger than the limits; false where it was of single entries. */
  halve(): boolean {
    const halved = halveCount(this.#count);
    if (halved !== undefined) this.#count = halved;
    return halved !== undefined;
  }

  /** Whether one more page may be asked for while so many are in flight. */
  hasRoom(inFlight: number): boolean {
    const { inbox, settings, isFull } = this.#ports;
    const { queuedBytes, asked } = inbox;
    const pages = inbox.pages + Number(this.#arriving > 0);
    const queued = inbox.queued + this.#arriving;
    if (inbox.over !== undefined || isFull() || queuedBytes >= settings.maxBufferedBytes) return false;
    const { prefetch, mode } = settings;
    const shared = mode === "load-balanced";
    const ahead = { inFlight, depth: this.#depth, pages, queued, prefetch, asked, shared, pace: this.#pace };
    return mayRead({ ...ahead, count: this.count });
  }

  /**
   * How long a message takes: looked at when somebody asks and nothing is left, so that all that was handed out has been
   * worked on, or else with each page.
   */
  measure(): void {
    const { delivered, pages, asked } = this.#ports.inbox;
    const handed = delivered - this.#pacedDelivered;
    const done = pages === 0 ? asked && handed > 0 : handed >= this.count;
    if (!done) return;
    const now = this.#ports.clock.now();
    this.#pace = (now - this.#pacedAt) / handed;
    this.#pacedAt = now;
    this.#pacedDelivered = delivered;
  }

  #grown(size: PageSize): CountState {
    return nextCount(this.#count, size, { batchSize: this.#ports.settings.batchSize, pageBytes: this.#pageBytes });
  }
}
