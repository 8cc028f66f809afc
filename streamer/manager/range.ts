// Chooses how a range of messages is read: which keys, which page size, merged over shards or not.

import type { Message } from "../model/message.ts";
import type { Span } from "../model/span.ts";
import { MergedRange } from "./merged_range.ts";
import type { CheckedChoice } from "./options.ts";
import type { PageSource } from "./page_iterator.ts";
import { RangeReader } from "./range_reader.ts";
import { type ManagerContext, shardKeys } from "./shard_keys.ts";

/** A request for a range. */
export interface RangeRequest {
  readonly streamKey: string;
  readonly choice: CheckedChoice;
  /** `undefined` for an empty range. */
  readonly span: Span | undefined;
  readonly reverse: boolean;
  /** Maximum number of messages. */
  readonly limit: number;
  /** Maximum number of messages in a page of one shard. `undefined` if it grows. */
  readonly pageSize: number | undefined;
  readonly signal: AbortSignal | undefined;
}

/** Maximum bytes of a page, since other commands wait for the same connection. */
const PAGE_BYTES = 2 * 1024 * 1024;
/** Maximum bytes of the pages of all shards together. Two pages of each shard are kept. */
const ALL_PAGES_BYTES = 16 * 1024 * 1024;
/** Pages are smaller than the limit for replies by this factor, since their size is only estimated. */
const REPLY_SHARE = 0.5;
/** Messages in the second pages of all shards together, after the first message of each. */
const FIRST_MESSAGES = 100;

/** A range. It finds its shards when the first message is requested. */
export class Range implements PageSource<Message> {
  readonly #context: ManagerContext;
  readonly #request: RangeRequest;
  readonly #closing = new AbortController();
  #source: PageSource<Message> | undefined;

  constructor(context: ManagerContext, request: RangeRequest) {
    this.#context = context;
    this.#request = request;
  }

  take(): Message | undefined {
    return this.#source?.take();
  }

  async more(): Promise<boolean> {
    const { span, signal } = this.#request;
    signal?.throwIfAborted();
    if (span === undefined) return false;
    this.#source ??= await this.#open(span);
    return await this.#source.more();
  }

  close(): void {
    this.#closing.abort(new DOMException("The loop was left", "AbortError"));
    this.#source?.close();
  }

  async #open(span: Span): Promise<PageSource<Message>> {
    const { streamKey, choice, reverse, limit, pageSize, signal: given } = this.#request;
    const { signal: closing } = this.#closing;
    const signal = given === undefined ? closing : AbortSignal.any([given, closing]);
    const shards = await shardKeys(this.#context, streamKey, { choice, signal });
    signal.throwIfAborted();
    const pageBytes = Math.min(
      PAGE_BYTES,
      ALL_PAGES_BYTES / 2 / shards.length,
      this.#context.replyLimit * REPLY_SHARE,
    );
    const firstPage = pageSize ?? Math.max(1, Math.floor(FIRST_MESSAGES / shards.length));
    const plan = { span, reverse, limit, pageSize, pageBytes, firstPage };
    const readers = shards.map((shard) => new RangeReader(this.#context, shard, plan, signal));
    return readers.length === 1 ? readers[0] : new MergedRange(readers, reverse);
  }
}

/** All messages of a range at once. */
export async function collect(source: PageSource<Message>, limit: number): Promise<Message[]> {
  const messages: Message[] = [];
  try {
    while (messages.length < limit) {
      const message = source.take();
      if (message !== undefined) messages.push(message);
      else if (!(await source.more())) break;
    }
    return messages;
  } finally {
    source.close();
  }
}
