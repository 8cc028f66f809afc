// How much a standalone consumer reads ahead: the size of its pages, and whether there is room for another.

import type { PrefetchQueue } from "../delivery/prefetch_queue.ts";
import type { ReadingSettings } from "../options.ts";
import {
  type CountState,
  firstCount,
  halveCount,
  nextCount,
  type PageSize,
  widthOf,
} from "../../commands/page_count.ts";

/** What a budget needs. */
export interface PageBudgetPorts {
  readonly settings: ReadingSettings;
  readonly queue: PrefetchQueue;
  /** Bytes that a reply may have. */
  readonly replyBytes: number;
  /** Connections that read, each of which can bring a page at any time. */
  readonly units: () => number;
}

/** The budget that all connections of one consumer share. */
export class PageBudget {
  readonly #ports: PageBudgetPorts;
  #count: CountState;
  #arriving = 0; // bytes that are not in the queue yet

  constructor(ports: PageBudgetPorts) {
    this.#ports = ports;
    this.#count = firstCount(ports.settings.batchSize);
  }

  /** Entries of each shard to ask for. */
  get count(): number {
    return this.#count.count;
  }

  /** Whether one more page may be requested. */
  get hasRoom(): boolean {
    const { queue, settings } = this.#ports;
    const arriving = this.#arriving;
    if (queue.over !== undefined || queue.queuedBytes + arriving >= settings.maxBufferedBytes) return false;
    const pages = queue.pages + (arriving > 0 ? 1 : 0);
    return settings.prefetch === 0 ? pages === 0 && queue.asked : pages <= settings.prefetch;
  }

  /** Shards that may be requested together, by a read each. */
  get width(): number {
    return widthOf(this.#count, this.#pageBytes);
  }

  /** A page has arrived. Until {@linkcode settled} so many bytes of it are not in the queue. */
  arrived(size: PageSize, arriving: number = size.bytes): void {
    const { batchSize } = this.#ports.settings;
    if (size.total === 0) return;
    this.#count = nextCount(this.#count, size, {
      batchSize,
      pageBytes: Math.min(this.#pageBytes, this.#ports.replyBytes),
    });
    this.#arriving = arriving;
  }

  /** The page that has arrived is in the queue, or was refused. */
  settled(): void {
    this.#arriving = 0;
  }

  /** A page was larger than a limit. Gives false if it was of single entries. */
  halve(): boolean {
    const halved = halveCount(this.#count);
    if (halved !== undefined) this.#count = halved;
    return halved !== undefined;
  }

  /** Bytes of a page at most, so that every connection may bring one. */
  get #pageBytes(): number {
    const { settings: { maxBufferedBytes, prefetch }, units } = this.#ports;
    return maxBufferedBytes / (prefetch + units());
  }
}
