// One Redis key's part of a range, page after page: while one is handed out the next is asked for. It must not know of other
// shards.

import { ProtocolError } from "../../resp/errors.ts";
import { type CountState, firstCount, halveCount, nextCount } from "../commands/page_count.ts";
import { type RangePage, xrange } from "../commands/xrange.ts";
import { type MessageId, nextId, previousId } from "../model/id.ts";
import { Message, type MessageSource } from "../model/message.ts";
import type { Span } from "../model/span.ts";
import type { PageSource } from "./page_iterator.ts";
import type { ManagerHost, ShardKey } from "./shard_keys.ts";

/** How a key is read. */
export interface ReadingPlan {
  readonly span: Span;
  readonly reverse: boolean;
  /** Most messages of all. */
  readonly limit: number;
  /** Most messages of a page; `undefined` where that grows. */
  readonly pageSize: number | undefined;
  /** Bytes that a page should have at most. */
  readonly pageBytes: number;
  /** Messages of the first page of which the size can be guessed: the one behind the very first message. */
  readonly firstPage: number;
}

/** As in real time: no group counts a message that is looked at. */
const DELIVERIES = 1;

/** Reads one key. */
export class RangeReader implements PageSource<Message> {
  readonly #host: ManagerHost;
  readonly #shard: ShardKey;
  readonly #plan: ReadingPlan;
  readonly #signal: AbortSignal;
  readonly #closing = new AbortController();
  #rest: Span | undefined; // what was not asked for yet
  #left: number;
  #count: CountState;
  #source: MessageSource | undefined; // of the page in hand
  #entries: Int32Array = new Int32Array(0);
  #at = 0;
  #next: RangePage | undefined; // the page behind it, if it has come
  #asking: Promise<void> | undefined; // the page that is on its way

  constructor(host: ManagerHost, shard: ShardKey, plan: ReadingPlan, signal: AbortSignal | undefined) {
    this.#host = host;
    this.#shard = shard;
    this.#plan = plan;
    this.#signal = signal === undefined ? this.#closing.signal : AbortSignal.any([signal, this.#closing.signal]);
    this.#rest = plan.span;
    this.#left = plan.limit;
    this.#count = { ...firstCount(plan.pageSize), count: plan.firstPage };
  }

  get shardId(): number {
    return this.#shard.shardId;
  }

  take(): Message | undefined {
    if (this.#signal.aborted) return undefined;
    if (this.#at === this.#entries.length) this.#turn();
    if (this.#source === undefined || this.#at === this.#entries.length) return undefined;
    return new Message(this.#source, this.#entries[this.#at++], DELIVERIES);
  }

  async more(): Promise<boolean> {
    this.#signal.throwIfAborted();
    if (this.#next === undefined) await (this.#asking ?? this.#ask());
    return this.#next !== undefined;
  }

  close(): void {
    this.#closing.abort(new DOMException("The loop was left", "AbortError"));
    this.#source = undefined;
    this.#entries = new Int32Array(0);
    this.#at = 0;
    this.#next = undefined;
  }

  /** Takes the page that has come into hand, and has the one behind it asked for, unless single messages are large. */
  #turn(): void {
    const page = this.#next;
    if (page === undefined) return;
    const { timestampFormat, field } = this.#host;
    const { streamKey, shardId } = this.#shard;
    this.#next = undefined;
    this.#source = { frame: page.frame, streamKey, shardId, timestampFormat, field };
    this.#entries = page.entries;
    this.#at = 0;
    if (page.frame.byteLength > this.#plan.pageBytes) return; // two such pages would be too much
    this.#ask().catch(() => {}); // whoever asks for more is told
  }

  /** Asks for a page, if there may be one; it is then `#next`. */
  #ask(): Promise<void> {
    const asking = this.#fetch().then((page) => {
      this.#asking = undefined;
      if (!this.#closing.signal.aborted) this.#next = page;
    });
    this.#asking = asking;
    return asking;
  }

  async #fetch(): Promise<RangePage | undefined> {
    const { reverse, pageSize, pageBytes } = this.#plan;
    for (;;) {
      const span = this.#rest;
      if (span === undefined || this.#left <= 0) return undefined;
      const sized = this.#count.entryBytes > 0; // else a hundred of the largest could come
      const asked = Math.min(sized ? this.#count.count : 1, this.#left);
      try {
        const command = xrange({ redisKey: this.#shard.redisKey, ...span, count: asked, reverse });
        const page = await this.#host.read(command, { signal: this.#signal });
        const { entries, lastId, frame } = page;
        const full = entries.length === asked;
        this.#rest = full && lastId !== undefined ? behind(span, lastId, reverse) : undefined;
        this.#left -= entries.length;
        if (lastId === undefined) return undefined;
        const size = { entries: entries.length, total: entries.length, bytes: frame.byteLength, streams: 1 };
        this.#count = nextCount(this.#count, size, { batchSize: pageSize, pageBytes });
        return page;
      } catch (error) {
        const halved = error instanceof ProtocolError && error.tooLarge
          ? halveCount({ ...this.#count, count: asked })
          : undefined;
        if (halved === undefined) throw error; // a single entry may be larger than the limits
        this.#count = halved;
      }
    }
  }
}

/** What is left of a span behind an id. */
function behind({ start, end }: Span, id: MessageId, reverse: boolean): Span | undefined {
  const next = reverse ? previousId(id) : nextId(id);
  if (next === undefined || id === (reverse ? start : end)) return undefined;
  return reverse ? { start, end: next } : { start: next, end };
}
