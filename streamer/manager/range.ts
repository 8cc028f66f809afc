// A range of messages: of which keys, in pages of what size, merged or not. It must not know how a key is read.

import type { Message } from "../model/message.ts";
import type { Span } from "../model/span.ts";
import { MergedRange } from "./merged_range.ts";
import type { CheckedChoice } from "./options.ts";
import type { PageSource } from "./page_iterator.ts";
import { RangeReader } from "./range_reader.ts";
import { type ManagerHost, shardKeys } from "./shard_keys.ts";

/** What is to be read. */
export interface RangeRequest {
  readonly streamKey: string;
  readonly choice: CheckedChoice;
  /** Nothing, where it is left out. */
  readonly span: Span | undefined;
  readonly reverse: boolean;
  /** Most messages of all. */
  readonly limit: number;
  /** Most messages of a page of one shard; `undefined` where that grows. */
  readonly pageSize: number | undefined;
  readonly signal: AbortSignal | undefined;
}

/** Bytes of a page: it travels on a connection that others wait for. */
const PAGE_BYTES = 2 * 1024 * 1024;
/** Bytes of the pages of all shards together, of which two are kept of each. */
const ALL_PAGES_BYTES = 16 * 1024 * 1024;
/** A page that is about as large as the limit on replies would often be over it. */
const REPLY_SHARE = 0.5;
/** Messages of the pages of all shards together that follow the first message of each. */
const FIRST_MESSAGES = 100;

/** A range, which finds its shards when it is first asked for more. */
export class Range implements PageSource<Message> {
  readonly #host: ManagerHost;
  readonly #request: RangeRequest;
  readonly #closing = new AbortController();
  #source: PageSource<Message> | undefined;

  constructor(host: ManagerHost, request: RangeRequest) {
    this.#host = host;
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
    const shards = await shardKeys(this.#host, streamKey, { choice, signal });
    signal.throwIfAborted();
    const pageBytes = Math.min(
      PAGE_BYTES,
      ALL_PAGES_BYTES / 2 / shards.length,
      this.#host.replyLimit * REPLY_SHARE,
    );
    const firstPage = pageSize ?? Math.max(1, Math.floor(FIRST_MESSAGES / shards.length));
    const plan = { span, reverse, limit, pageSize, pageBytes, firstPage };
    const readers = shards.map((shard) => new RangeReader(this.#host, shard, plan, signal));
    return readers.length === 1 ? readers[0] : new MergedRange(readers, reverse);
  }
}

/** All of a range at once. */
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
