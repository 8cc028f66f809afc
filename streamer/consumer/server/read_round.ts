// The reads that one connection sends together. Their entries count as one page, however many replies bring them.

import type { PageSize } from "../../commands/page_count.ts";

/** Reads that were sent together. */
export class ReadRound<R extends { readonly shards: readonly unknown[] }> {
  readonly #count: number;
  readonly #waiting = new Set<R>();
  #reads = 0;
  #width = 0;
  #streams = 0;
  #entries = 0;
  #total = 0;
  #bytes = 0;

  /** `count`: entries that are requested of each shard. */
  constructor(count: number) {
    this.#count = count;
  }

  /** How many shards its reads ask for. */
  get width(): number {
    return this.#width;
  }

  /** How many entries its reads ask for. */
  get requested(): number {
    return this.#width * this.#count;
  }

  /** The first read without an answer. */
  get first(): R | undefined {
    const [first] = this.#waiting;
    return first;
  }

  /** Whether all reads are answered. */
  get isOver(): boolean {
    return this.#waiting.size === 0;
  }

  /** Identifies the pages of this round, if it can have several. */
  get name(): object | undefined {
    return this.#reads === 1 ? undefined : this;
  }

  /** What has arrived so far, as one page of the read that asks for most shards: each read has its own reply. */
  get size(): PageSize {
    return { entries: this.#entries, total: this.#total, bytes: this.#bytes, streams: this.#streams };
  }

  /** A read is sent. */
  add(read: R): void {
    const { length } = read.shards;
    this.#waiting.add(read);
    this.#reads++;
    this.#width += length;
    this.#streams = Math.max(this.#streams, length);
  }

  /** A read was answered. */
  answered(read: R): void {
    this.#waiting.delete(read);
  }

  /** An answer has brought this page. */
  arrived({ entries, total, bytes }: Omit<PageSize, "streams">): void {
    this.#entries = Math.max(this.#entries, entries);
    this.#total += total;
    this.#bytes += bytes;
  }
}
