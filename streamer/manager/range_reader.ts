// Reads a range of one Redis key page by page, and requests the next page while the current one is returned.

import { ProtocolError, RefusedReplyError } from "../../resp/errors.ts";
import { refusalText } from "../../resp/connection/retry/suspicion.ts";
import { type CountState, firstCount, halveCount, nextCount } from "../commands/page_count.ts";
import { type RangePage, xrange } from "../commands/xrange.ts";
import { type MessageId, nextId, previousId } from "../model/id.ts";
import { Message, type MessageSource } from "../model/message.ts";
import type { Span } from "../model/span.ts";
import type { PageSource } from "./page_iterator.ts";
import type { ManagerContext, ShardKey } from "./shard_keys.ts";

/** Options of {@linkcode RangeReader}. */
export interface ReadingPlan {
  readonly span: Span;
  readonly reverse: boolean;
  /** Maximum number of messages. */
  readonly limit: number;
  /** Maximum number of messages in a page. `undefined` if it grows. */
  readonly pageSize: number | undefined;
  /** Intended maximum bytes of a page. */
  readonly pageBytes: number;
  /** Messages of the second page. The first page has one message, which shows the size. */
  readonly firstPage: number;
}

/** The same as without a group: reading a range counts no delivery. */
const DELIVERIES = 1;

/** Reads one key. */
export class RangeReader implements PageSource<Message> {
  readonly #context: ManagerContext;
  readonly #shard: ShardKey;
  readonly #plan: ReadingPlan;
  readonly #signal: AbortSignal;
  readonly #closing = new AbortController();
  #rest: Span | undefined; // not requested yet
  #left: number;
  #count: CountState;
  #cut = false; // the connection was lost at each attempt to read the last page
  #source: MessageSource | undefined; // of the current page
  #entries: Int32Array = new Int32Array(0);
  #at = 0;
  #next: RangePage | undefined; // the page after it, once read
  #asking: Promise<void> | undefined; // resolves once the requested page is read

  constructor(context: ManagerContext, shard: ShardKey, plan: ReadingPlan, signal: AbortSignal | undefined) {
    this.#context = context;
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
    if (this.#at === this.#entries.length) this.#nextPage();
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

  /** Makes the page that was read the current one and requests the page after it, unless single messages are large. */
  #nextPage(): void {
    const page = this.#next;
    if (page === undefined) return;
    const { timestampFormat, field } = this.#context;
    const { streamKey, shardId } = this.#shard;
    this.#next = undefined;
    this.#source = { frame: page.frame, streamKey, shardId, timestampFormat, field };
    this.#entries = page.entries;
    this.#at = 0;
    if (page.frame.byteLength > this.#plan.pageBytes) return; // two such pages would be too much
    this.#ask().catch(() => {}); // the next call of `more` rejects
  }

  /** Requests a page, if there may be one, and stores it in `#next`. */
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
      const sized = this.#count.entryBytes > 0; // otherwise a hundred of the largest entries could be returned
      const asked = Math.min(sized ? this.#count.count : 1, this.#left);
      try {
        const command = xrange({ redisKey: this.#shard.redisKey, ...span, count: asked, reverse });
        // One lost connection means nothing. After a second one in a row, less is requested. The lane decides whether one entry is refused.
        const mostCuts = asked === 1 ? Infinity : this.#cut ? 1 : 2;
        const page = await this.#context.read(command, { signal: this.#signal, mostCuts });
        this.#cut = false;
        const { entries, lastId, frame } = page;
        const full = entries.length === asked;
        this.#rest = full && lastId !== undefined ? behind(span, lastId, reverse) : undefined;
        this.#left -= entries.length;
        if (lastId === undefined) return undefined;
        const size = { entries: entries.length, total: entries.length, bytes: frame.byteLength, streams: 1 };
        this.#count = nextCount(this.#count, size, { batchSize: pageSize, pageBytes });
        return page;
      } catch (error) {
        this.#cut = error instanceof RefusedReplyError;
        const tooLarge = this.#cut || (error instanceof ProtocolError && error.tooLarge);
        const halved = tooLarge ? halveCount({ ...this.#count, count: asked }) : undefined;
        if (halved !== undefined) this.#count = halved;
        else if (!this.#cut) throw error; // a single entry may exceed the limits
        else throw new RefusedReplyError(this.#refusal(span), { cause: error });
      }
    }
  }

  #refusal({ start, end }: Span): string {
    const { reverse } = this.#plan;
    return refusalText(`read the entry of ${this.#shard.redisKey} ${reverse ? `up to ${end}` : `from ${start} on`}`);
  }
}

/** The rest of a span after an id. */
function behind({ start, end }: Span, id: MessageId, reverse: boolean): Span | undefined {
  const next = reverse ? previousId(id) : nextId(id);
  if (next === undefined || id === (reverse ? start : end)) return undefined;
  return reverse ? { start, end: next } : { start: next, end };
}
